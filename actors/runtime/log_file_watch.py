"""Whether the log's file is still the one on disk. The supervisor's thread checks; any thread asks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from actors.replication.replica_slot import moved_away
from storage.files.damage import file_identity
from storage.files.environment import DATA_FILE
from storage.log.log_reader import LogReader

__all__ = ["LogFileWatch"]

logger = logging.getLogger("onewriter.upkeep")


class LogFileWatch:
    """Of one log, as it was when this was made."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._path = log.path / DATA_FILE
        self._file = file_identity(self._path)
        self.gone: str | None = None
        """Set once the file is not the one on disk any more: what is committed from then on is lost."""
        self.moved: str | None = None
        """Set while the store's directory is elsewhere than where it was opened."""

    def check(self) -> None:
        """See whether it is gone, which is for good, or moved, which may be undone."""
        if self._log.is_being_replaced():
            return
        # Compacting replaces it, here or, where this only reads, in another process.
        self._log.follow_file()
        self._file = self._log.opened_file or self._file
        now = file_identity(self._path)
        if self._log.is_being_replaced():
            return
        if now != self._file and self._log.moved():
            if self.moved is None:
                self.moved = moved_away(self._log.path)
                logger.error("%s", self.moved)
            return
        self.moved = None
        if now == self._file:
            self.gone = None
        elif self.gone is None:
            self.gone = (
                f"the log in {self._log.path} was {'removed' if now is None else 'replaced'} while it was in "
                "use: what is committed is lost when the system is closed; save what subscribe() and the "
                "queries still give, and restore a backup"
            )
            logger.critical("%s", self.gone)

    def problems(self) -> Iterator[str]:
        """What is wrong with it, as sentences for health."""
        if self.gone is not None:
            yield self.gone
        if self.moved is not None:
            yield self.moved
