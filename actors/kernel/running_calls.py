"""Which calls of user code are running, and since when: written by the threads that make them, read by
health.

Projections are not among them: they are called for each event, and `ReplicaHost.current_event` says which one
they are at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["RunningCalls", "CallSlot"]


class CallSlot:
    """For one place that runs user code, a call at a time: the current call, None between calls, and its
    beginning.

    It costs two stores and a look at the clock a call. A reader may see the clock of the next call with the
    one before.
    """

    __slots__ = ("kind", "name", "since", "text", "what")

    def __init__(self, kind: str, name: str = "", text: Callable[[Any], str] = str) -> None:
        """`kind` and `name` go into health; `text` describes the current call, and is called on demand."""
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


class RunningCalls:
    """The call slots of one system. Any thread."""

    def __init__(self) -> None:
        self._slots: dict[int, CallSlot] = {}

    def slot(self, kind: str, name: str = "", text: Callable[[Any], str] = str) -> CallSlot:
        """A new slot, listed until it is dropped."""
        slot = CallSlot(kind, name, text)
        self.add(slot)
        return slot

    def add(self, slot: CallSlot) -> None:
        """List a slot that was made elsewhere."""
        self._slots[id(slot)] = slot

    def drop(self, slot: CallSlot) -> None:
        """List it no more."""
        self._slots.pop(id(slot), None)

    def now(self) -> list[tuple[str, str, str, float]]:
        """Of each running call: kind, name, what it is called for, and the monotonic time of its
        beginning.
        """
        found = []
        for slot in list(self._slots.values()):
            since, what = slot.since, slot.what
            if what is not None:
                found.append((slot.kind, slot.name, slot.text(what), since))
        return found
