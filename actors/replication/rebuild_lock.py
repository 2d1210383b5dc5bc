"""Which replica may rebuild: one at a time, so that the others serve undisturbed. Any replica's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

__all__ = ["RebuildLock", "RebuildQueue"]


class RebuildLock(Protocol):
    """Held by one replica at a time: by the replica, not by its actor, which may die and goes on when it is
    restarted."""

    def acquire(self, name: str, wake: Callable[[], None]) -> bool:
        """Whether this replica holds it now; if not, `wake` is called once when it does, or may."""
        ...

    def release(self, name: str) -> None:
        """The replica has nothing to rebuild any more, or can't."""
        ...


class RebuildQueue:
    """The rebuild lock of one system: replicas get it in the order in which they asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: str | None = None
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()

    @property
    def holder(self) -> str | None:
        """The replica that holds it."""
        return self._holder

    def acquire(self, name: str, wake: Callable[[], None]) -> bool:
        """As `RebuildLock.acquire`; `wake` is called when the replica holds it."""
        with self._lock:
            if self._holder is None:
                self._holder = name
            if self._holder == name:
                return True
            if all(waiting != name for waiting, _ in self._waiting):
                self._waiting.append((name, wake))
            return False

    def release(self, name: str) -> None:
        """As `RebuildLock.release`; the next replica in the queue gets it."""
        wake = None
        with self._lock:
            self._waiting = deque(one for one in self._waiting if one[0] != name)
            if self._holder == name:
                self._holder = None
                if self._waiting:
                    self._holder, wake = self._waiting.popleft()
        if wake is not None:
            wake()
