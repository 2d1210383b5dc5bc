"""Marks the effects that are being delivered, beside the log: one that ends the process counts as tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b

from actors.kernel.delivery_marks import DeliveryMarks, Item, owner_of
from actors.process_managers.records import OutboxEntry

__all__ = ["OutstandingEffects"]


class OutstandingEffects:
    """Of one incarnation of an outbox; its thread, but for `marked`, which is for the delivery threads."""

    def __init__(self, marks: DeliveryMarks, manager: str) -> None:
        self._marks = marks
        self._owner = owner_of("process manager", manager)
        self._left = marks.left(self._owner)
        self._slots = marks.found(self._owner)

    @contextmanager
    def marked(self, entry: OutboxEntry, attempt: int) -> Iterator[None]:
        """An effect is delivered, for the time of the block."""
        slot = self._marks.note(self._owner, *_item(entry), attempt)
        try:
            yield
        finally:
            self._marks.give_back([slot])

    def ended_attempt(self, key: bytes, entry: OutboxEntry) -> int:
        """In which attempt of a loaded effect the process ended, 0 for none."""
        left = self._left.pop(_item(entry), None) if self._left else None
        if left is None:
            return 0
        self._slots[key], attempt = left
        return attempt

    def settled(self, keys: Iterable[bytes]) -> None:
        """How often these were tried is on disk, or they have left the outbox."""
        for key in keys if self._slots else ():
            self._marks.give_back([self._slots.pop(key, 0)])

    def all_loaded(self) -> None:
        """All effects were loaded: the other ones that are marked were delivered."""
        if self._left:
            self._marks.give_back([slot for slot, _ in self._left.values()])
            self._left.clear()


def _item(entry: OutboxEntry) -> Item:
    digest = blake2b(entry.id.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
