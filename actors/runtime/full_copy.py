"""A full backup of the continuous copy, made while increments go on: a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from storage.backup.full_of_increment import Increment
from storage.backup.targets import BackupTarget
from storage.log.log_reader import LogReader

__all__ = ["FullCopy", "Stopped"]


class Stopped(Exception):
    """Ends a backup in the middle: the system is closing, or another kind of backup is due by now."""


class FullCopy:
    """One full backup, in the place of an increment. It is dropped once `stopping()` is true."""

    def __init__(
        self,
        target: BackupTarget,
        log: LogReader,
        increment: Increment,
        *,
        share: float,
        keep: int | None,
        stopping: Callable[[], bool],
    ) -> None:
        """Begins at once."""
        self._target = target
        self._log = log
        self._increment = increment
        self._share = share
        self._keep = keep
        self._stopping = stopping
        self.error: Exception | None = None
        """Why it is not there, once the thread has ended."""
        self._thread = threading.Thread(target=self._run, name="onewriter-full-copy", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it is made, or has failed."""
        return not self._thread.is_alive()

    def join(self, timeout: float) -> bool:
        """Whether its thread has ended within `timeout` seconds."""
        self._thread.join(max(timeout, 0.0))
        return self.ended

    def _run(self) -> None:
        try:
            made = self._target.take_full_of(
                self._log, self._increment, self._share, self._keep, self._progress
            )
            if made is None:
                raise Stopped
        except Exception as error:
            self.error = error

    def _progress(self, _position: int, _last: int) -> None:
        if self._stopping():
            raise Stopped
