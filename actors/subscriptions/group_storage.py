"""Keeps what is stored of a consumer group up to date with its window. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

from actors.subscriptions.coalescing_writer import CoalescingWriter
from actors.subscriptions.delivery_window import DeliveryWindow
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.group_keys import backlog_key, state_key
from actors.subscriptions.group_state import GroupState, encode_backlog
from storage.log.notes import Note

__all__ = ["GroupStorage"]

STORE_AFTER = 10_000
"""Positions without a match, after which that is stored: they need not be looked at again."""


class GroupStorage:
    """Of one group. `lock` is the one that guards its window; the methods that say so want it held."""

    def __init__(
        self,
        name: str,
        wanted: EventFilter,
        start: str | int,
        window: DeliveryWindow,
        lock: threading.Lock,
        write: Callable[[Iterable[Note]], Future[Any]],
    ) -> None:
        self._name = name
        self._wanted = wanted
        self._start = start
        self._window = window
        self._lock = lock
        self._through = window.through
        self._last_number: int | None = None
        self._writes_changes = True
        """Whether the write that is under way has the changes in it."""
        self.writer = CoalescingWriter(self._collect, write, self._on_saved)

    def note_search(self, at_once: bool = False) -> None:
        """Have it stored that positions have no match: after many, or `at_once`. Lock held."""
        if self._window.through - self._through > (0 if at_once else STORE_AFTER):
            self._window.changes += 1
            self._through = self._window.through

    def stop_after(self, number: int | None) -> None:
        """Store no change after this one; None lifts that. With the lock held."""
        self._last_number = number

    def _collect(self) -> tuple[int, list[Note]]:
        with self._lock:
            window = self._window
            number = window.changes
            self._writes_changes = self._last_number is None or number <= self._last_number
            if not self._writes_changes:
                return number, []  # The name may be deleted by now.
            state = GroupState(self._wanted, self._start, window.through, window.open())
            self._through = window.through
            changed = [(stream, window.backlogs.get(stream)) for stream in window.changed]
            notes: list[Note] = [
                (backlog_key(self._name, stream), None if one is None else encode_backlog(one))
                for stream, one in changed
            ]
        return number, [(state_key(self._name), state.encode()), *notes]

    def _on_saved(self, number: int) -> None:
        with self._lock:
            if not self._writes_changes:
                return
            changed = self._window.changed
            for stream in [stream for stream, last in changed.items() if last <= number]:
                del changed[stream]
