"""What runs user code now, and since when: kept by the threads that run it, looked at by health. Any thread.

A projection is not kept here: its thread runs one an event, and says with the batch where it is (`at_work`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["Calls", "Slot"]


class Slot:
    """One place that runs user code, a call at a time: what it is at, None for nothing, and since when.

    Two stores and a look at the clock a call. A reader may see the clock of the next call with the one before it.
    """

    __slots__ = ("kind", "name", "since", "text", "what")

    def __init__(self, kind: str, name: str = "", text: Callable[[Any], str] = str) -> None:
        """`kind` and `name` are what health says; `text` puts in words what it is at, when somebody asks."""
        self.kind = kind
        self.name = name
        self.text = text
        self.since = 0.0
        self.what: Any = None

    def begin(self, what: Any) -> None:
        """User code is about to run. The thread that runs it."""
        self.since = time.monotonic()
        self.what = what

    def end(self) -> None:
        """It returned, or raised."""
        self.what = None


class Calls:
    """The slots of one system."""

    def __init__(self) -> None:
        self._slots: dict[int, Slot] = {}

    def slot(self, kind: str, name: str = "", text: Callable[[Any], str] = str) -> Slot:
        """A new slot, shown until it is dropped."""
        slot = Slot(kind, name, text)
        self.add(slot)
        return slot

    def add(self, slot: Slot) -> None:
        """Show one that was made elsewhere."""
        self._slots[id(slot)] = slot

    def drop(self, slot: Slot) -> None:
        """Nothing runs there any more."""
        self._slots.pop(id(slot), None)

    def now(self) -> list[tuple[str, str, str, float]]:
        """Of each call that runs: its kind, its name, what it is at, and the monotonic time of its beginning."""
        found = []
        for slot in list(self._slots.values()):
            since, what = slot.since, slot.what
            if what is not None:
                found.append((slot.kind, slot.name, slot.text(what), since))
        return found
