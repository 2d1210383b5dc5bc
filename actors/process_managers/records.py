"""How a process manager is kept in notes of the write store: their keys, and what their values hold. Pure.

`pm/NAME/place` is how far it has come and the guard of every step; `about` its version and where it began;
`state/KEY` an instance; `timer/DUE ID` the key of the instance that set it; `input/TIME ID` a rejection that waits to
be handled; `past/POSITION STEP NUMBER` what was handled beside events, for when the states are built anew;
`skipped/ID` what an operator skipped; `unheard` how many rejections no handler took, and the last of them.
`quarantine/KEY` is an instance that is set aside and why, `held/LENGTH KEY ORDER` an input that waits for it, an
event by its position alone. `outbox/NAME/due/STEP NUMBER` is an effect to deliver, `outbox/NAME/parked/...` one given
up, `outbox/NAME/tried/...` how often one failed, `outbox/NAME/behind/LENGTH KEY STEP NUMBER` one that waits since an
effect of its instance before it is parked. `heard/LENGTH KEY PAST` tells which notes of the past an instance has,
`checkpoint/KEY` where its state stands for those that are gone, `fired/ID` that a timer among these fired, which the
checkpoint lists. Numbers
are big-endian, so that they sort.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from actors.domain.instance_keys import utf8
from actors.errors import InvalidMessage
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Timer
from actors.process_managers.key_fingerprint import same_keys
from storage.codec.codec import Codec
from storage.limits import MAX_NAME_BYTES
from storage.value_text import short_repr

__all__ = [
    "ManagerMetadata",
    "QuarantineRecord",
    "RecordKeys",
    "NoteReader",
    "OutboxEntry",
    "HandledInput",
    "Checkpoint",
    "DeliveryAttempts",
    "UnhandledRejections",
]

U64 = struct.Struct(">Q")
U16 = struct.Struct(">H")
EFFECT = struct.Struct(">QI")


class NoteReader(Protocol):
    """What is read of the write store; `storage.EventLog` is one, a test's dict another."""

    @property
    def history_id(self) -> str: ...

    def note(self, key: bytes) -> bytes | None: ...

    def notes(
        self, prefix: bytes, after: bytes = b"", limit: int | None = None
    ) -> list[tuple[bytes, bytes]]: ...


class Checkpoint(NamedTuple):
    """Up to which position everything is handled, the number of steps until then, and what there is now."""

    position: int
    step: int
    instances: int = 0
    timers: int = 0
    quarantined: int = 0

    def pack(self) -> bytes:
        """The note's value; no two steps leave the same."""
        value = PLACE.pack(*self[:4])
        return value + U64.pack(self.quarantined) if self.quarantined else value

    @classmethod
    def unpack(cls, value: bytes) -> Checkpoint:
        """The place that a note's value tells."""
        more = value[PLACE.size :]
        position, step, instances, timers = PLACE.unpack(value[: PLACE.size])
        return cls(position, step, instances, timers, U64.unpack(more)[0] if more else 0)


PLACE = struct.Struct(">QQQQ")


@dataclass(frozen=True, slots=True)
class ManagerMetadata:
    """`version` filled the states, from the events after `start` on.

    While they are built anew, that goes on to position `until`, and `clearing` says that states of the former
    version are still there; `past` is the last of what was handled beside events that is handled again. `restored` is the
    last instance that begins from its checkpoint, None once that is done with all. `told` has the field, or the code of the
    function, that tells the instances of each event.
    """

    version: int
    start: int
    until: int | None = None
    clearing: bool = False
    past: bytes = b""
    restored: bytes | None = None
    told: dict[str, str] | None = None

    def pack(self, codec: Codec) -> bytes:
        """The note's value."""
        return codec.encode(
            [self.version, self.start, self.until, self.clearing, self.past, self.restored, self.told]
        )

    @classmethod
    def unpack(cls, codec: Codec, value: bytes) -> ManagerMetadata:
        """What a note's value says."""
        return cls(*codec.decode(value))

    def raised(self, version: int, position: int, told: dict[str, str]) -> ManagerMetadata:
        """The same once the states are to be built anew for another version; `position` is what is handled.

        Checkpoints are of the instances of the former version: where any event is told to another one now, they go.
        """
        same = same_keys(self.told or {}, told)
        if self.until is not None and self.clearing and self.restored is None:
            same = False  # They are going already.
        until = position if self.until is None else self.until
        return ManagerMetadata(
            version, self.start, until, clearing=True, restored=b"" if same else None, told=told
        )

    def done(self) -> ManagerMetadata:
        """The same once the states are built."""
        return replace(self, until=None, clearing=False, past=b"")


class HandledInput(NamedTuple):
    """A rejection or a firing that was handled, and when."""

    order: Order
    input: Input


class QuarantineRecord(NamedTuple):
    """Why an instance is set aside: the input that it can't bear, its place, and the error, `text` with the traceback.

    `order` is the first place that is not handled; `error` is empty while what waited is being handled.
    """

    order: Order
    id: str = ""
    what: str = ""
    error: str = ""
    text: str = ""
    since_us: int = 0


class UnhandledRejections(NamedTuple):
    """How many rejections no handler took, and the last few of them in words."""

    total: int = 0
    last: tuple[str, ...] = ()


class OutboxEntry(NamedTuple):
    """An effect to deliver; `id` is the key that its handler gets. `reason` is why it was parked.

    It was so after `attempts`.
    """

    id: str
    key: str
    name: str
    payload: Any
    time_us: int
    correlation: str | None
    reason: str = ""
    attempts: int = 0


class DeliveryAttempts(NamedTuple):
    """How often an effect failed, and the traceback of the last attempt."""

    attempts: int
    text: str


class RecordKeys:
    """The keys of one manager's notes."""

    def __init__(self, name: str) -> None:
        base = f"pm/{name}/".encode()
        self.place = base + b"place"
        self.about = base + b"about"
        self.states = base + b"state/"
        self.timers = base + b"timer/"
        self.inputs = base + b"input/"
        self.pasts = base + b"past/"
        self.skips = base + b"skipped/"
        self.unheard = base + b"unheard"
        self.heard = base + b"heard/"
        self.checkpoints = base + b"checkpoint/"
        self.fired = base + b"fired/"
        self.indexed = base + b"indexed"
        self.quarantines = base + b"quarantine/"
        self.held = base + b"held/"
        self.due = f"outbox/{name}/due/".encode()
        self.parked = f"outbox/{name}/parked/".encode()
        self.tried = f"outbox/{name}/tried/".encode()
        self.behind = f"outbox/{name}/behind/".encode()

    def state(self, key: str) -> bytes:
        """Of an instance; raises `InvalidMessage` for what can't tell one."""
        data = utf8(key)
        if not 0 < len(data) <= MAX_NAME_BYTES:
            raise InvalidMessage(
                f"an instance is told by a text of 1 to {MAX_NAME_BYTES} bytes in UTF-8, not "
                f"{short_repr(key)}"
            )
        return self.states + data

    def quarantine(self, key: str) -> bytes:
        """Of an instance that is set aside; `key` as `shown_key` gives it."""
        return self.quarantines + utf8(key)

    def held_for(self, key: str) -> bytes:
        """How the keys begin of what waits for an instance; `key` as `shown_key` gives it."""
        data = utf8(key)
        return self.held + U16.pack(len(data)) + data

    def heard_by(self, key: str) -> bytes:
        """How the keys begin that tell which notes of the past are an instance's."""
        data = utf8(key)
        return self.heard + U16.pack(len(data)) + data

    def checkpoint(self, key: str) -> bytes:
        """Of an instance that heard so much that its state stands for it, or that ended after it had heard something."""
        return self.checkpoints + utf8(key)

    def fired_at(self, id: bytes) -> bytes:
        """That a timer fired which an event set, where nothing else tells it any more."""
        return self.fired + id

    def timer(self, timer: Timer) -> bytes:
        return self.timer_at(timer.due_us, timer.id)

    def timer_at(self, due_us: int, id: str) -> bytes:
        return self.timers + U64.pack(due_us) + id.encode()

    def input(self, input: Input) -> bytes:
        return self.inputs + U64.pack(input.time_us) + input.id.encode()

    def past(self, order: Order) -> bytes:
        return self.pasts + order.past()

    def skip(self, id: str) -> bytes:
        return self.skips + id.encode()

    def effect(self, step: int, number: int) -> bytes:
        return self.due + EFFECT.pack(step, number)

    def behind_of(self, key: str) -> bytes:
        """How the keys begin of the effects of an instance that wait behind a parked one."""
        data = utf8(key)
        return self.behind + U16.pack(len(data)) + data

    def of_behind(self, key: bytes) -> tuple[str, bytes]:
        """The instance of such a key, and its end, which is that of the effect's key."""
        data = key[len(self.behind) + U16.size :]
        return data[: -EFFECT.size].decode("utf-8", "surrogatepass"), data[-EFFECT.size :]

    def tried_of(self, due: bytes) -> bytes:
        """Of the effect with this key."""
        return self.tried + due[len(self.due) :]


def timer_of_key(key: bytes, prefix: bytes) -> tuple[int, str]:
    """When a timer is due and its id, of the key of its note."""
    rest = key[len(prefix) :]
    return U64.unpack(rest[: U64.size])[0], rest[U64.size :].decode()


def ids_of(notes: Iterable[tuple[bytes, bytes]], prefix: bytes) -> set[str]:
    """The ids at the end of the keys of these notes."""
    return {key[len(prefix) :].decode() for key, _ in notes}
