"""The records of a process manager, to and from bytes. Pure; any thread."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from actors.domain.process_manager_spec import Rejection
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import (
    NO_INSTANCE,
    Input,
    Instance,
    Timer,
    input_of_rejection,
    input_of_timer,
)
from actors.process_managers.records import (
    DeliveryAttempts,
    HandledInput,
    InstanceSnapshot,
    OutboxEntry,
    QuarantineRecord,
    UnhandledRejections,
)
from actors.process_managers.unreadable_values import Unreadable, decode_readable, storable, unpack_plain
from storage import CodecError
from storage.codec.codec import Codec
from storage.value_text import short_repr

__all__ = ["RecordCodec"]

FIRST_VERSION = 1
"""The version that stored an input whose record does not tell: earlier checkouts left it out."""


class RecordCodec:
    """Packs and reads records. What can't be read, as its class is gone or changed, is an `Unreadable`."""

    def __init__(self, codec: Codec, version: int = FIRST_VERSION) -> None:
        """`version` is the manager's, which what it stores goes on with."""
        self._codec = codec
        self._sealed = codec.sealed
        self._version = version

    def own(self, value: Any) -> Any:
        """A copy of a value for a holder that may change it. Raises what the codec does for what can't be
        stored.
        """
        return value if isinstance(value, Unreadable) else self._codec.own(value)

    def own_input(self, input: Input) -> Input:
        """The same for the input of a handler."""
        message = input.message
        if input.kind != "rejection":
            message = self.own(message)
        elif not isinstance(message.command, Unreadable):
            details = self.own(message.details)
            message = Rejection(self.own(message.command), message.code, message.text, details)
        return input if message is input.message else replace(input, message=message)

    def own_instance(self, instance: Instance) -> Instance:
        """The same for the instance of a handler: one that fails may have changed lists and dicts of its
        state.
        """
        state = self.own(instance.state)
        return instance if state is instance.state else Instance(state, instance.timers)

    def as_stored(self, instance: Instance, value: bytes) -> Instance:
        """The instance as its record gives it, so that handlers do the same with it as after a restart."""
        faithful = self._codec.faithful
        if faithful(instance.state) and all(faithful(one.message) for one in instance.timers):
            return instance
        return self.instance(value)

    def pack_instance(self, instance: Instance) -> bytes:
        """Raises what the codec does for a state that can't be stored."""
        timers = [[one.due_us, one.id, storable(one.message), one.correlation] for one in instance.timers]
        return self._sealed.encode([instance.state, timers])

    def instance(self, value: bytes | None) -> Instance:
        """Raises what the codec does for a state that can't be read."""
        if value is None:
            return NO_INSTANCE
        try:
            state, timers = self._codec.decode(value)
        except CodecError as error:
            state, timers = unpack_plain(value)
            state = decode_readable(self._codec, state)
            if isinstance(state, Unreadable):
                raise error
            timers = [
                (due, id, decode_readable(self._codec, message), correlation)
                for due, id, message, correlation in timers
            ]
        return Instance(state, tuple(Timer(*one) for one in timers))

    def pack_input(self, input: Input) -> bytes:
        """The record of a rejection or a timer.

        Details of a rejection that can't be stored are left out; a code or text that can't be is put in
        words.
        """
        version = self._version if input.version is None else input.version
        if input.kind == "checkpoint":
            return self._sealed.encode([input.kind, input.key, 0, input.id, None, None, version])
        if input.kind == "timer":
            return self._sealed.encode(
                [
                    "timer",
                    input.key,
                    input.time_us,
                    input.id,
                    storable(input.message),
                    input.correlation,
                    version,
                ]
            )
        rejection = input.message
        plain = self._plain(rejection.code), self._plain(rejection.text)
        for parts in ([rejection.code, rejection.text, rejection.details], [*plain, rejection.details]):
            with suppress(Exception):
                return self._rejected(input, version, parts)
        return self._rejected(input, version, [*plain, {}])

    def _rejected(self, input: Input, version: int, parts: list[Any]) -> bytes:
        code, text, details = parts
        rejection = [storable(input.message.command), code, text, dict(details)]
        return self._sealed.encode(
            ["rejection", input.key, input.time_us, input.causation, rejection, input.correlation, version]
        )

    def _plain(self, value: Any) -> Any:
        """A code or text that can be stored: lone surrogates are escaped, other values are put in words."""
        if isinstance(value, str):
            return str.__str__(value).encode(errors="backslashreplace").decode()
        try:
            self._sealed.encode(value)
        except Exception:
            return short_repr(value, 100).encode(errors="backslashreplace").decode()
        return value

    def input(self, value: bytes) -> Input:
        try:
            kind, key, time_us, id, message, correlation, *more = self._codec.decode(value)
        except CodecError:
            kind, key, time_us, id, message, correlation, *more = unpack_plain(value)
            message = decode_readable(self._codec, message) if kind == "timer" else self._rejection(message)
        version = more[0] if more else FIRST_VERSION
        if kind == "checkpoint":
            return Input(kind, id, key, None, 0, None, None)
        if kind == "timer":
            return replace(input_of_timer(key, Timer(time_us, id, message, correlation)), version=version)
        rejection = input_of_rejection(id, key, Rejection(*message), time_us, correlation)
        return replace(rejection, version=version)

    def _rejection(self, message: list[Any]) -> list[Any]:
        """The parts of a rejection whose command, or details, can't be read as their class is gone or
        changed.
        """
        command, code, text, details = message
        readable, known = decode_readable(self._codec, command), decode_readable(self._codec, details)
        if isinstance(known, Unreadable) and not isinstance(readable, Unreadable):
            cls = type(readable)
            return [Unreadable(cls.__name__, cls, known.error, command), code, text, details]
        return [readable, code, text, details if isinstance(known, Unreadable) else known]

    def handled(self, suffix: bytes, value: bytes) -> HandledInput:
        """An input of the history; `suffix` is the end of its key."""
        return HandledInput(Order.of_history_suffix(suffix), self.input(value))

    def pack_handled(self, input: Input) -> bytes:
        """Of a firing without its message: a rebuild takes that from the timer as it is set then."""
        return self.pack_input(replace(input, message=None) if input.kind == "timer" else input)

    def pack_snapshot(self, snapshot: InstanceSnapshot) -> bytes:
        """The record of an instance's snapshot."""
        order, state, fired = snapshot
        return self._sealed.encode([list(order), state, fired] if fired else [list(order), state])

    def snapshot(self, value: bytes) -> InstanceSnapshot:
        """What `pack_snapshot` gave."""
        order, state, *fired = self._codec.decode(value)
        return InstanceSnapshot(Order(*order), state, list(fired[0]) if fired else [])

    def pack_quarantine(self, record: QuarantineRecord) -> bytes:
        """The record of an instance that is set aside."""
        return self._sealed.encode([list(record.order), *record[1:]])

    def quarantine(self, value: bytes) -> QuarantineRecord:
        """What `pack_quarantine` gave."""
        order, *rest = self._codec.decode(value)
        return QuarantineRecord(Order(*order), *rest)

    def pack_held(self, input: Input, silent: bool) -> bytes:
        """An event is read again from the log."""
        return self._sealed.encode(
            [silent, input.id, None if input.kind == "event" else self.pack_input(input)]
        )

    def held(self, value: bytes) -> tuple[bool, str, bytes | None]:
        """Whether nothing is to be executed for it, its id, and what it is, None for an event."""
        silent, id, packed = self._codec.decode(value)
        return silent, id, packed

    def pack_entry(self, entry: OutboxEntry) -> bytes:
        return self._sealed.encode(list(entry._replace(payload=storable(entry.payload))))

    def entry(self, value: bytes) -> OutboxEntry:
        try:
            return OutboxEntry(*self._codec.decode(value))
        except CodecError:
            entry = OutboxEntry(*unpack_plain(value))
            return entry._replace(payload=decode_readable(self._codec, entry.payload))

    def pack_unhandled(self, unhandled: UnhandledRejections) -> bytes:
        """The record of the rejections that no handler took."""
        return self._sealed.encode([unhandled.total, list(unhandled.last)])

    def unhandled(self, value: bytes | None) -> UnhandledRejections:
        """What `pack_unhandled` gave; none for no record."""
        if value is None:
            return UnhandledRejections()
        total, last = self._codec.decode(value)
        return UnhandledRejections(total, tuple(last))

    def pack_attempts(self, attempts: DeliveryAttempts) -> bytes:
        """The record of how often an effect failed."""
        return self._sealed.encode(list(attempts))

    def attempts(self, value: bytes) -> DeliveryAttempts:
        """What `pack_attempts` gave."""
        return DeliveryAttempts(*self._codec.decode(value))

    def pack_skip(self, reason: str, text: str, time_us: int) -> bytes:
        """The record of an input that an operator skipped; `text` is why it had failed."""
        return self._sealed.encode([reason, text, time_us])
