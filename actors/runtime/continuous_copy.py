"""Copies what is committed off the machine, again and again, as backups: a thread of its own.

A full backup that becomes due has another one, so increments go on. The writer never waits for it. While the
place is away nothing is kept for it but the log itself: one backup holds all that was committed since the one
before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.errors import UnadoptedCopy
from actors.health import CopyHealth
from actors.kernel.backoff import backoff
from actors.runtime.copy_failures import CopyFailures
from actors.runtime.full_copy import FullCopy, Stopped
from storage.backup.full_of_increment import Increment
from storage.backup.segment_source import is_on_chain
from storage.backup.targets import BackupTarget, backup_target
from storage.errors import InvalidBackup, OnewriterError
from storage.log.log_reader import LogReader

if TYPE_CHECKING:
    from actors.settings import Settings
    from storage.backup.segment_reader import Segment

__all__ = ["ContinuousCopy"]

logger = logging.getLogger("onewriter.copy")

SHARE = 0.25
"""Of its thread's time, at most, unless the log grows faster."""
FIRST_RETRY, LONGEST_RETRY = 0.5, 30.0
"""Seconds between attempts while they fail."""


class ContinuousCopy:
    """The copying of one log to `settings.copy_to`; callers' threads start and close it."""

    def __init__(
        self, log: LogReader, settings: Settings, copied: str | None, lag: Callable[[int], float]
    ) -> None:
        """`copied` is why the store is a copy that is not adopted; `lag` the age of what follows a position.

        Raises ValueError, StorageError for an address that can't be one.
        """
        assert settings.copy_to is not None
        self._log = log
        self._settings = settings
        self._lag = lag
        self._target: BackupTarget = backup_target(settings.copy_to)
        self._refused = copied
        self._closing = threading.Event()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onewriter-copy", daemon=True)
        self._seen = -1
        """The transaction of the log that was the last one when the last backup began."""
        self._id: str | None = None
        self._full_due_at: float | None = None
        """When the next full one is due, in seconds since 1970; None before that was looked at."""
        self._full: FullCopy | None = None
        """The full one that is being made."""
        self._failures, self._full_failures = CopyFailures(), CopyFailures()
        self._position = 0
        self._files = 0
        self._copied_at: float | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Copy what is left within `timeout` seconds, and stop; returns whether the thread has ended."""
        self._closing.set()
        if self._thread.ident is None:
            return True
        self._thread.join(max(timeout, 0.0))
        self._gone.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        full = self._full
        return (full is None or full.join(1.0)) and not self._thread.is_alive()

    def health(self, head: int) -> CopyHealth:
        """How far it is, where the log ends at `head`. Any thread."""
        position = self._position
        both = self._failures, self._full_failures
        failing = [since for one in both if (since := one.since) is not None]
        return CopyHealth(
            self._target.address,
            position,
            max(head - position, 0),
            round(self._lag(position), 6),
            self._files,
            None if self._copied_at is None else round(time.monotonic() - self._copied_at, 3),
            self._failures.error or self._full_failures.error,
            round(time.monotonic() - min(failing), 3) if failing else None,
        )

    def problem(self, head: int) -> str | None:
        """What an operator has to know about it, as a sentence; None if all is well. Any thread."""
        found = self.health(head)
        late = found.lag_seconds > self._settings.copy_limit
        failing = found.failing_seconds is not None and found.failing_seconds > self._settings.copy_limit
        if not (late or failing or self._refused):
            return None
        why = "" if found.last_error is None else f": {found.last_error}"
        return f"the copy in {found.to} is {found.lag} positions and {found.lag_seconds:.1f} s behind{why}"

    # -- its thread ------------------------------------------------------------------------------------------
    def _run(self) -> None:
        wait = 0.0
        try:
            while not self._refuse():
                closing = self._closing.wait(wait)
                try:
                    self._copy(closing)
                    self._failures.clear()
                    wait = self._settings.copy_interval
                except Stopped:
                    return
                except Exception as error:
                    wait = self._failed(error, self._failures)
                if closing:
                    return
        finally:
            self._target.close()

    def _refuse(self) -> bool:
        if self._refused is None:
            return False
        error = UnadoptedCopy(
            f"nothing is copied to {self._target.address}: the store is a copy ({self._refused}), and the "
            "set there may be its original's; adopt it, by managers=True or `onewriter adopt`"
        )
        self._failures.error = str(error)
        logger.error("%s", error)
        return True

    def _failed(self, error: Exception, failures: CopyFailures) -> float:
        """Log a failure, unless it is the same as the last one; returns seconds until the next attempt."""
        text = f"{type(error).__name__}: {error}"
        if text != failures.error:
            traced = None if isinstance(error, OnewriterError | OSError) else error
            logger.error("copying to %s: %s", self._target.address, text, exc_info=traced)
        failures.add(text)
        return backoff(FIRST_RETRY, LONGEST_RETRY, failures.count - 1)

    def _copy(self, closing: bool) -> None:
        """Copy what is new, if anything is."""
        self._end_full()
        with self._log.transaction() as log:
            seen = log.transaction.id()
        if seen == self._seen:
            return
        newest = self._target.newest()
        if newest is not None and self._continues(newest):
            self._position = newest.end.point.position
        if self._full_due_at is None:
            last = self._target.last_full()
            made_at = time.time() if last is None else last.header.begun.timestamp()
            self._full_due_at = made_at + self._settings.copy_full_every
        # At the end there may not be the time for a full one.
        due = not closing and self._full is None and time.time() > self._full_due_at
        if self._target.waiting:
            # It was made before an attempt failed: what was committed since then is not in it.
            self._take(whole_notes=False)
        full = self._take(whole_notes=due)
        newest = self._target.newest()
        self._id = None if newest is None else newest.header.id
        self._seen = seen
        if due and not full and newest is not None:
            self._full = FullCopy(
                self._target,
                self._log,
                Increment.read(newest),
                share=SHARE,
                keep=self._settings.copy_keep,
                stopping=self._closing.is_set,
            )

    def _take(self, *, whole_notes: bool) -> bool:
        """Add a file; returns whether it is a full one."""
        backup = self._target.take(
            self._log,
            whole_notes=whole_notes,
            share=SHARE,
            keep=self._settings.copy_keep,
            progress=self._progress,
        )
        if backup.full:
            self._full_due_at = self._next_full()
        self._position = backup.position
        self._files += 1
        self._copied_at = time.monotonic()
        return backup.full

    def _end_full(self) -> None:
        """Take in what became of the full one that was being made."""
        full = self._full
        if full is None or not full.ended:
            return
        self._full = None
        if isinstance(full.error, Stopped):
            return
        if full.error is None:
            self._files += 1
            self._full_due_at = self._next_full()
            self._full_failures.clear()
            return
        self._full_due_at = time.time() + self._failed(full.error, self._full_failures)

    def _next_full(self) -> float:
        return time.time() + self._settings.copy_full_every

    def _continues(self, newest: Segment) -> bool:
        """Whether the set can be continued; raises InvalidBackup if it is, or has become, another store's."""
        header = newest.header
        with self._log.transaction() as log:
            if header.history_id == self._log.history_id and is_on_chain(
                log, newest.end.point, self._log.first_history_id
            ):
                return True
        if self._id is None and header.first_history_id == self._log.first_history_id:
            # The store was restored from this set, or from an earlier one, and adopted.
            return False
        raise InvalidBackup(
            f"{self._target.address} has backups of another store, or another program copies to it: "
            f"position {newest.end.point.position} there is not of this store; copy to a place of its own"
        )

    def _progress(self, _position: int, _last: int) -> None:
        if self._gone.is_set():
            raise Stopped
