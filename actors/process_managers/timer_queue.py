"""The timers that are due next, in memory; the rest stays in its notes until these have fired. Pure."""

from __future__ import annotations

import heapq

from actors.process_managers.inputs import Timer
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_keys import RecordKeys, timer_of_key

__all__ = ["TimerQueue"]

LOADED = 10_000


class TimerQueue:
    """At most twice `LOADED` timers in the order in which they are due, cancelled ones among them."""

    def __init__(self, keys: RecordKeys, notes: NoteReader) -> None:
        self._keys = keys
        self._notes = notes
        self._heap: list[tuple[int, str, str]] = []
        self._horizon: tuple[int, str] | None = None
        self.load()

    def load(self) -> None:
        """Read the earliest timers; nothing may be in flight that changes them."""
        prefix = self._keys.timers
        found = self._notes.notes(prefix, limit=LOADED)
        self._heap = [
            (*timer_of_key(key, prefix), value.decode("utf-8", "surrogatepass")) for key, value in found
        ]
        self._horizon = self._heap[-1][:2] if len(found) == LOADED else None

    @property
    def exhausted(self) -> bool:
        """Whether there may be more in the notes and there are none here: `load` is due."""
        return not self._heap and self._horizon is not None

    def add(self, timer: Timer, key: str) -> None:
        """A timer was set by the instance `key`."""
        if self._horizon is None or (timer.due_us, timer.id) < self._horizon:
            heapq.heappush(self._heap, (timer.due_us, timer.id, key))
            if len(self._heap) > 2 * LOADED:
                self._heap = heapq.nsmallest(LOADED, self._heap)
                self._horizon = self._heap[-1][:2]

    def first(self) -> tuple[int, str, str] | None:
        """When the next one is due, its id and its instance's key; None when there is none here."""
        return self._heap[0] if self._heap else None

    def drop_first(self) -> None:
        """It fired, or was cancelled before."""
        heapq.heappop(self._heap)
