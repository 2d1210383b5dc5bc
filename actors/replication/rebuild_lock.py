"""Whose turn it is to rebuild: one replica at a time, so that the others serve undisturbed. Any replica's thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

__all__ = ["RebuildLock"]


class RebuildLock:
    """A turn that is handed on. It belongs to a replica, not to its actor: one that dies goes on when it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: str | None = None
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()

    @property
    def holder(self) -> str | None:
        """The replica whose turn it is."""
        return self._holder

    def acquire(self, name: str, wake: Callable[[], None]) -> bool:
        """Whether it is this replica's turn; if not, `wake` is called once when it has become that."""
        with self._lock:
            if self._holder is None:
                self._holder = name
            if self._holder == name:
                return True
            if all(waiting != name for waiting, _ in self._waiting):
                self._waiting.append((name, wake))
            return False

    def release(self, name: str) -> None:
        """The replica has nothing to rebuild any more, or can't: the next one has its turn."""
        wake = None
        with self._lock:
            self._waiting = deque(one for one in self._waiting if one[0] != name)
            if self._holder == name:
                self._holder = None
                if self._waiting:
                    self._holder, wake = self._waiting.popleft()
        if wake is not None:
            wake()
