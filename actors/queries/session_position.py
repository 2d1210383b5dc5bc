"""What a session knows: the position up to which it has written and seen. Any thread."""

from __future__ import annotations

import threading

__all__ = ["SessionPosition"]


class SessionPosition:
    """A position, `value`, that never goes back."""

    __slots__ = ("_lock", "value")

    def __init__(self, value: int) -> None:
        self.value = value
        self._lock = threading.Lock()

    def reach(self, position: int) -> None:
        """Have what is read from now on show this position at least."""
        with self._lock:
            if position > self.value:
                self.value = position
