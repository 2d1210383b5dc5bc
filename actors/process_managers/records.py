"""What a process manager stores in notes of the write store. Pure; `record_keys` has their keys."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input
from actors.process_managers.key_fingerprint import same_keys
from storage.codec.codec import Codec

__all__ = [
    "Checkpoint",
    "DeliveryAttempts",
    "HandledInput",
    "InstanceSnapshot",
    "ManagerMetadata",
    "OutboxEntry",
    "QuarantineRecord",
    "UnhandledRejections",
]

CHECKPOINT = struct.Struct(">QQQQ")
QUARANTINED = struct.Struct(">Q")
PART = struct.Struct(">I")


class Checkpoint(NamedTuple):
    """Up to which position everything is handled, the number of steps until then, and what there is now.

    `part` is how many parts of the next event are handled, where upcasters made several events of it.
    """

    position: int
    step: int
    instances: int = 0
    timers: int = 0
    quarantined: int = 0
    part: int = 0

    def pack(self) -> bytes:
        """The note's value; no two steps leave the same."""
        value = CHECKPOINT.pack(*self[:4])
        if self.quarantined or self.part:
            value += QUARANTINED.pack(self.quarantined)
        return value + PART.pack(self.part) if self.part else value

    @classmethod
    def unpack(cls, value: bytes) -> Checkpoint:
        """What `pack` gave."""
        more = value[CHECKPOINT.size :]
        position, step, instances, timers = CHECKPOINT.unpack(value[: CHECKPOINT.size])
        quarantined = QUARANTINED.unpack(more[: QUARANTINED.size])[0] if more else 0
        part = PART.unpack(more[QUARANTINED.size :])[0] if len(more) > QUARANTINED.size else 0
        return cls(position, step, instances, timers, quarantined, part)


@dataclass(frozen=True, slots=True)
class ManagerMetadata:
    """`version` filled the states, from the events after `start` on.

    While they are rebuilt, that goes on to position `until`, and `clearing` says that states of the former
    version are still there; `replayed_through` is the key of the last record of the history that was handled
    again. `restored_through` is that of the last snapshot of an instance that was restored, None once all
    are. `key_fingerprints` has the field, or the code of the function, that gives the instance of each event.
    """

    version: int
    start: int
    until: int | None = None
    clearing: bool = False
    replayed_through: bytes = b""
    restored_through: bytes | None = None
    key_fingerprints: dict[str, str] | None = None

    def pack(self, codec: Codec) -> bytes:
        """The note's value."""
        return codec.encode(
            [
                self.version,
                self.start,
                self.until,
                self.clearing,
                self.replayed_through,
                self.restored_through,
                self.key_fingerprints,
            ]
        )

    @classmethod
    def unpack(cls, codec: Codec, value: bytes) -> ManagerMetadata:
        """What `pack` gave. Raises what the codec does for other bytes."""
        return cls(*codec.decode(value))

    def raised(self, version: int, position: int, key_fingerprints: dict[str, str]) -> ManagerMetadata:
        """The same once the states are to be rebuilt for another version; `position` is what is handled.

        Snapshots are of the instances of the former version: where any event is for another one now, they go.
        """
        same = same_keys(self.key_fingerprints or {}, key_fingerprints)
        if self.until is not None and self.clearing and self.restored_through is None:
            same = False  # They are going already.
        return ManagerMetadata(
            version,
            self.start,
            position if self.until is None else self.until,
            clearing=True,
            restored_through=b"" if same else None,
            key_fingerprints=key_fingerprints,
        )

    def done(self) -> ManagerMetadata:
        """The same once the states are rebuilt."""
        return replace(self, until=None, clearing=False, replayed_through=b"")


class HandledInput(NamedTuple):
    """A rejection or a firing that was handled, and when."""

    order: Order
    input: Input


class InstanceSnapshot(NamedTuple):
    """The packed `state` of an instance, None for none, which replaces its history up to `order`.

    `fired` has the ids of the timers in that history that an event had set and that fired.
    """

    order: Order
    state: bytes | None
    fired: list[bytes]


class QuarantineRecord(NamedTuple):
    """Why an instance is set aside: the input `id` that fails in it, what that is, and the error.

    `order` is that of the first input that is not handled; `error` is empty while what waited is being
    handled.
    """

    order: Order
    id: str = ""
    what: str = ""
    error: str = ""
    traceback: str = ""
    since_us: int = 0


class UnhandledRejections(NamedTuple):
    """How many rejections no handler took, and the last few of them in words."""

    total: int = 0
    last: tuple[str, ...] = ()


class OutboxEntry(NamedTuple):
    """An effect to deliver; `id` is the key that its handler gets.

    `reason` is why it was parked, after so many `attempts`.
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

    failed: int
    traceback: str
