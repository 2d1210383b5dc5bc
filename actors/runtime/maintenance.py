"""The maintenance of a running system. The supervisor's thread runs it at every tick."""

from __future__ import annotations

import logging
import time

from actors.runtime.archive_moves import ArchiveMoves
from actors.runtime.id_retention import IdRetention
from actors.runtime.monitor import Monitor
from actors.runtime.parts import Parts

__all__ = ["Maintenance"]

logger = logging.getLogger("onewriter.upkeep")

READER_CHECK_EVERY = 60.0
LOG_FILE_CHECK_EVERY = 1.0
HELD_AT_MOST = 0.02
"""Seconds that replies of the last batch are held back for the next fsync while a decider runs."""


class Maintenance:
    """Of one running system."""

    def __init__(self, parts: Parts, monitor: Monitor, archive_moves: ArchiveMoves) -> None:
        self._parts = parts
        self._monitor = monitor
        self._archive_moves = archive_moves
        self._readers_checked = self._log_file_checked = time.monotonic()
        self._reported: tuple[str, str, float] | None = None
        seconds = parts.settings.id_retention
        self.id_retention: IdRetention | None = None
        if seconds is not None and parts.settings.mode == "write":
            self.id_retention = IdRetention(parts, seconds)

    def run(self) -> None:
        """Sample what moves, close old views, watch the running decider, store answers of consumers that
        could not be stored, free the slots of dead readers, look for the log's file and the room for it, see
        whether callers have to wait, forget old ids, move events to an archive that is not finished, and have
        the host look after the replicas."""
        parts = self._parts
        self._monitor.look()
        expired = parts.views.expire(parts.settings.view_max_age)
        if expired:
            logger.warning(
                "%d views were older than %g s and are closed", expired, parts.settings.view_max_age
            )
        self._watch_decider()
        parts.consumers.retry_writes()
        now = time.monotonic()
        if now - self._readers_checked > READER_CHECK_EVERY:
            self._readers_checked = now
            parts.log.reader_check()
        if now - self._log_file_checked > LOG_FILE_CHECK_EVERY:
            self._log_file_checked = now
            parts.log_file.check()
        parts.room.look(now)
        if parts.pace is not None:
            parts.pace.look()
        if self.id_retention is not None:
            self.id_retention.run()
        self._archive_moves.run()
        parts.replicas.run_maintenance()
        parts.changed_code.run()

    def _watch_decider(self) -> None:
        writer, limit = self._parts.writer, self._parts.settings.decider_limit
        activity = writer.activity
        if activity is not None and time.monotonic() - activity[2] > HELD_AT_MOST:
            # A slow decider delays the next fsync, for which the replies of the last batch and the replicas
            # wait.
            writer.release_replies()
            writer.notifier.flush_now()
        if activity is None or activity == self._reported:
            return
        command, stream, since = activity
        if time.monotonic() - since > limit:
            self._reported = activity
            logger.error(
                "%s on stream %r has been deciding for more than %g s; no other command can be handled until "
                "it returns, and a thread can't be stopped from outside",
                command,
                stream,
                limit,
            )
