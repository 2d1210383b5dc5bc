"""The outstanding deliveries of one consumer group, noted beside the log. With the group's lock held."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.kernel.delivery_marks import CLOSED, SLOT, DeliveryMarks, owner_of
from actors.subscriptions.delivery_state import DeliveryState

__all__ = ["OutstandingDeliveries"]

_write = SLOT.pack_into


class OutstandingDeliveries:
    """Of one group, from its opening on.

    A slot whose delivery was acknowledged is written over by the next delivery, or given back once there is
    none: that is one write for each. An event counts as left only while it is open, so an older mark of one
    that is settled says nothing.
    """

    __slots__ = ("_closed", "_map", "_marks", "_owner", "left", "used")

    def __init__(self, marks: DeliveryMarks, name: str) -> None:
        self._marks = marks
        self._owner = owner_of("consumer", name)
        self.left = marks.left(self._owner)
        """What a process that died had out and nobody has loaded yet."""
        self._closed = False
        self._map: Any = None
        self.used: list[int] = []
        """Slots whose deliveries were acknowledged. Whoever acknowledges one adds its slot."""

    def found(self, entry: DeliveryState) -> bool:
        """An entry was loaded: if it was out when the process ended, that was an attempt."""
        recorded = entry.recorded
        left = self.left.pop((recorded.position, recorded.time_us), None)
        if left is not None:
            entry.slot, attempts = left
            self._map = self._marks.map
            entry.attempts = max(entry.attempts, attempts)
            entry.ended = True
        return left is not None

    def drop(self, through: int) -> None:
        """Forget what was out up to a position, but for what was found: it is settled."""
        for item in [item for item in self.left if item[0] <= through]:
            self._marks.give_back([self.left.pop(item)[0]])

    def hand_out(self, entry: DeliveryState) -> None:
        """An entry is about to be delivered."""
        slot = entry.slot or (self.used.pop() if self.used else 0)
        recorded = entry.recorded
        if slot:
            try:
                _write(self._map, slot, self._owner, recorded.position, recorded.time_us, entry.attempts)
            except CLOSED:
                slot = 0  # The system was closed in this moment.
        elif not self._closed:
            slot = self._marks.note(self._owner, recorded.position, recorded.time_us, entry.attempts)
            self._map = self._marks.map
        entry.slot = slot

    def taken_back(self, entry: DeliveryState) -> None:
        """It is not out any more, and may be again."""
        if entry.slot:
            self._marks.give_back([entry.slot])
            entry.slot = 0

    def idle(self) -> None:
        """There is nothing to deliver, or nobody to deliver to."""
        if self.used:
            self._marks.give_back(self.used)
            self.used.clear()

    def reopen(self) -> None:
        """The group goes on: what is delivered from now on is noted again."""
        self._closed = False

    def close(self, entries: Iterable[DeliveryState]) -> None:
        """The group is forgotten, and so are these, which it has in flight: nothing of it is noted
        from now on.
        """
        self._closed = True
        for entry in entries:
            self.taken_back(entry)
        self.idle()
        self._marks.give_back([slot for slot, _ in self.left.values()])
        self.left.clear()
