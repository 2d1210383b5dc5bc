"""The way to the consumers of an open system: their registry, and all that it imports, is made when the first
consumer is asked for. Any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.errors import SystemClosed

if TYPE_CHECKING:
    from actors.subscriptions.consumer_registry import ConsumerRegistry

__all__ = ["ConsumerAccess"]


class ConsumerAccess:
    """What the rest of a system does with its consumers, which may be none."""

    def __init__(self, make: Callable[[], ConsumerRegistry]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: ConsumerRegistry | None = None
        self.closed = False

    @property
    def registry(self) -> ConsumerRegistry:
        """The first call makes it. Raises `SystemClosed` after `close`, if none was made before."""
        with self._lock:
            if self._made is None:
                if self.closed:
                    raise SystemClosed("the system is closed; open it again with System.open")
                self._made = self._make()
            return self._made

    def any_open(self) -> bool:
        """As `ConsumerRegistry.any_open`."""
        return self._made is not None and self._made.any_open()

    def problems(self) -> list[str]:
        """As `ConsumerRegistry.problems`."""
        return [] if self._made is None else self._made.problems()

    def retry_writes(self) -> None:
        """As `ConsumerRegistry.retry_writes`."""
        if self._made is not None:
            self._made.retry_writes()

    def has(self, thread: int) -> bool:
        """As `ConsumerRegistry.has`."""
        return self._made is not None and self._made.has(thread)

    def close(self, timeout: float, asker: int) -> None:
        """As `ConsumerRegistry.close`."""
        with self._lock:
            self.closed = True
        if self._made is not None:
            self._made.close(timeout, asker)
