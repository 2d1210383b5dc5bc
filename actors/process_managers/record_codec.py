"""What the notes of a process manager hold, to and from bytes. Pure; any thread."""

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
    OutboxEntry,
    QuarantineRecord,
    RecordKeys,
    UnhandledRejections,
)
from actors.process_managers.unreadable_values import Unreadable, decode_readable, storable, unpack_plain
from storage import CodecError
from storage.codec.codec import Codec
from storage.value_text import short_repr

__all__ = ["RecordCodec"]

FIRST_VERSION = 1
"""What goes for the version that stored an input, where the note does not tell: checkouts of old left it out."""


class RecordCodec:
    """What the notes hold, to and from bytes. What can't be read for a class that is gone or changed is an `Unreadable`."""

    def __init__(self, codec: Codec, version: int = FIRST_VERSION) -> None:
        """`version` is the manager's, which what it stores goes on with."""
        self._codec = codec
        self._version = version

    def own(self, value: Any) -> Any:
        """A value for somebody who may do with it what it likes; raises what the codec does for what can't be stored."""
        return value if isinstance(value, Unreadable) else self._codec.own(value)

    def own_input(self, input: Input) -> Input:
        """The same for what a handler is told."""
        said = message = input.message
        if input.kind == "rejection" and not isinstance(said.command, Unreadable):
            message = Rejection(self.own(said.command), said.code, said.text, self.own(said.details))
        elif input.kind == "rejection":
            pass
        else:
            message = self.own(said)
        return input if message is said else replace(input, message=message)

    def own_instance(self, instance: Instance) -> Instance:
        """The same for the instance that it is told: one that fails may have changed lists and dicts of its state before."""
        state = self.own(instance.state)
        return instance if state is instance.state else Instance(state, instance.timers)

    def as_stored(self, instance: Instance, value: bytes) -> Instance:
        """The instance as the note's value gives it again: what its handlers make of it is the same after a restart."""
        faithful = self._codec.faithful
        if faithful(instance.state) and all(faithful(one.message) for one in instance.timers):
            return instance
        return self.instance(value)

    def pack_instance(self, instance: Instance) -> bytes:
        """Raises what the codec does for a state that can't be stored."""
        timers = [[one.due_us, one.id, storable(one.message), one.correlation] for one in instance.timers]
        return self._codec.encode([instance.state, timers])

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
        """Of a rejection or a timer; of what is said, details that can't be stored are left out, and a code or text is told."""
        version = self._version if input.version is None else input.version
        if input.kind == "checkpoint":
            return self._codec.encode([input.kind, input.key, 0, input.id, None, None, version])
        if input.kind == "timer":
            return self._codec.encode(
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
        said = input.message
        plain = self._plain(said.code), self._plain(said.text)
        for told in ([said.code, said.text, said.details], [*plain, said.details]):
            with suppress(Exception):
                return self._rejected(input, version, told)
        return self._rejected(input, version, [*plain, {}])

    def _rejected(self, input: Input, version: int, told: list[Any]) -> bytes:
        code, text, details = told
        said = [storable(input.message.command), code, text, dict(details)]
        return self._codec.encode(
            ["rejection", input.key, input.time_us, input.causation, said, input.correlation, version]
        )

    def _plain(self, value: Any) -> Any:
        """A code or text that can be stored: lone surrogates are escaped, another value that can't be is put in words."""
        if isinstance(value, str):
            return str.__str__(value).encode(errors="backslashreplace").decode()
        try:
            self._codec.encode(value)
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
        """What is said of a refused command whose class, or a class in the details, can't be read."""
        command, code, text, details = message
        readable, told = decode_readable(self._codec, command), decode_readable(self._codec, details)
        if isinstance(told, Unreadable) and not isinstance(readable, Unreadable):
            cls = type(readable)
            return [Unreadable(cls.__name__, cls, told.error, command), code, text, details]
        return [readable, code, text, details if isinstance(told, Unreadable) else told]

    def past(self, keys: RecordKeys, key: bytes, value: bytes) -> HandledInput:
        return HandledInput(Order.of_past(key[len(keys.pasts) :]), self.input(value))

    def pack_past(self, input: Input) -> bytes:
        """Of a firing without what it tells: that is what the timer is set with, when the states are built anew."""
        return self.pack_input(replace(input, message=None) if input.kind == "timer" else input)

    def pack_checkpoint(self, order: Order, state: bytes | None, fired: list[bytes]) -> bytes:
        """`fired` are the ends of the keys of the notes of what fired of it."""
        return self._codec.encode([list(order), state, fired] if fired else [list(order), state])

    def checkpoint(self, value: bytes) -> tuple[Order, bytes | None, list[bytes]]:
        order, state, *fired = self._codec.decode(value)
        return Order(*order), state, list(fired[0]) if fired else []

    def pack_aside(self, aside: QuarantineRecord) -> bytes:
        return self._codec.encode([list(aside.order), *aside[1:]])

    def aside(self, value: bytes) -> QuarantineRecord:
        order, *rest = self._codec.decode(value)
        return QuarantineRecord(Order(*order), *rest)

    def pack_held(self, input: Input, silent: bool) -> bytes:
        """An event is read again from the log."""
        return self._codec.encode(
            [silent, input.id, None if input.kind == "event" else self.pack_input(input)]
        )

    def held(self, value: bytes) -> tuple[bool, str, bytes | None]:
        """Whether nothing is to be executed for it, its id, and what it is, None for an event."""
        silent, id, packed = self._codec.decode(value)
        return silent, id, packed

    def pack_entry(self, entry: OutboxEntry) -> bytes:
        return self._codec.encode(list(entry._replace(payload=storable(entry.payload))))

    def entry(self, value: bytes) -> OutboxEntry:
        try:
            return OutboxEntry(*self._codec.decode(value))
        except CodecError:
            entry = OutboxEntry(*unpack_plain(value))
            return entry._replace(payload=decode_readable(self._codec, entry.payload))

    def pack_unheard(self, unheard: UnhandledRejections) -> bytes:
        return self._codec.encode([unheard.total, list(unheard.last)])

    def unheard(self, value: bytes | None) -> UnhandledRejections:
        if value is None:
            return UnhandledRejections()
        total, last = self._codec.decode(value)
        return UnhandledRejections(total, tuple(last))

    def pack_tried(self, tried: DeliveryAttempts) -> bytes:
        return self._codec.encode([tried.attempts, tried.text])

    def tried(self, value: bytes) -> DeliveryAttempts:
        return DeliveryAttempts(*self._codec.decode(value))

    def pack_skip(self, reason: str, text: str, time_us: int) -> bytes:
        return self._codec.encode([reason, text, time_us])
