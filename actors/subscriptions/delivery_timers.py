"""When deliveries run out, and when events may be delivered again. Pure; guarded by the group's lock."""

from __future__ import annotations

import heapq

from actors.subscriptions.delivery_state import DeliveryState

__all__ = ["DeliveryTimers"]

SLACK = 64
"""Timers that are over and may be left, beside twice the window."""


class DeliveryTimers:
    """A heap of times. One whose event was settled, or got another time, is dropped when it is met."""

    __slots__ = ("_entries", "_heap")

    def __init__(self, entries: dict[int, DeliveryState]) -> None:
        """`entries` are those of the window, by position."""
        self._entries = entries
        self._heap: list[tuple[float, int]] = []

    def set(self, entry: DeliveryState, due: float, window: int) -> None:
        """Have this entry looked at when it is `due`; `window` is how many entries there are at most."""
        entry.due = due
        if len(self._heap) > 2 * window + SLACK:
            self._heap = [one for one in self._heap if self._is_set(*one)]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (due, entry.recorded.position))

    def next_due(self) -> float | None:
        """When the next entry has to be looked at, None where none waits for a time."""
        heap = self._heap
        while heap and not self._is_set(*heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def take_due(self, now: float) -> DeliveryState | None:
        """The next entry whose time has come, once; None where there is none."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return self._entries[heapq.heappop(self._heap)[1]]

    def _is_set(self, due: float, position: int) -> bool:
        entry = self._entries.get(position)
        return entry is not None and entry.due == due
