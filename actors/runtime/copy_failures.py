"""Failures of the continuous copy, in a row. The copying thread notes them; any thread reads them."""

from __future__ import annotations

import time

__all__ = ["CopyFailures"]


class CopyFailures:
    """Those since the last success, of increments or of full backups."""

    def __init__(self) -> None:
        self.error: str | None = None
        """The last one, in words; None if there was none since."""
        self.since: float | None = None
        """When the first of them was, in seconds of the monotonic clock."""
        self.count = 0

    def add(self, error: str) -> None:
        """Note one."""
        if self.since is None:
            self.since = time.monotonic()
        self.error = error
        self.count += 1

    def clear(self) -> None:
        """Note a success."""
        self.error = self.since = None
        self.count = 0
