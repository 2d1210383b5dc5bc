"""Housekeeping that needs a clock, done by the supervisor's thread at every tick."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from actors.replication.read_replica import RetryStopped
from actors.replication.replica_slot import moved_away
from storage.files.damage import file_identity
from storage.files.environment import DATA_FILE

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["Maintenance"]

logger = logging.getLogger("onewriter.upkeep")

READER_CHECK_EVERY = 60.0
FILES_CHECK_EVERY = 1.0
HELD_AT_MOST = 0.02

OCCUPIED_AFTER = 0.5
"""Seconds that a query may hold up those behind it before they go to another replica."""


class Maintenance:
    """What has to be looked at from time to time in one running system."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._readers_checked = self._files_checked = time.monotonic()
        self._reported: tuple[str, str, float] | None = None
        self._log_place = runtime.log.path / DATA_FILE
        self._log_file = file_identity(self._log_place)
        self.log_gone: str | None = None
        """Set once the log's file is not the one on disk any more: what is committed from then on is lost."""
        self.log_moved: str | None = None
        """Set while the store's directory is elsewhere than where it was opened."""

    def run(self) -> None:
        """Expire old views, retry stopped models, look for replicas whose files are gone, watch deciders and queries that hang, store answers again that could not be stored, free dead readers' slots."""
        runtime = self._runtime
        runtime.monitor.look()
        expired = runtime.views.expire(runtime.settings.view_max_age)
        if expired:
            logger.warning(
                "%d views were older than %g s and are closed", expired, runtime.settings.view_max_age
            )
        for name, slot in runtime.slots.items():
            if any(run.failure is not None for run in (*slot.projector.runs, *slot.projector.building)):
                runtime.children[name].mailbox.put(RetryStopped())
        self._watch_decider()
        self.mark_occupied()
        runtime.consumers.look()
        if runtime.crew is not None:
            runtime.crew.check()
        now = time.monotonic()
        if now - self._readers_checked > READER_CHECK_EVERY:
            self._readers_checked = now
            runtime.log.reader_check()
        if now - self._files_checked > FILES_CHECK_EVERY:
            self._files_checked = now
            for name, slot in runtime.slots.items():
                store = slot.store
                if slot.damage is None and (why := slot.missing()) is not None:
                    runtime.mark_damaged(name, store, why)
            self._watch_log()

    def mark_occupied(self) -> None:
        """Have replicas passed over whose query actors, or whose worker processes, do not get on."""
        runtime = self._runtime
        occupied = set(runtime.balancer.occupied(OCCUPIED_AFTER))
        if runtime.crew is not None:
            occupied |= runtime.crew.unresponsive()
        runtime.progress.set_occupied(occupied)

    def _watch_log(self) -> None:
        now = file_identity(self._log_place)
        if now != self._log_file and self._runtime.log.moved():
            if self.log_moved is None:
                self.log_moved = moved_away(self._runtime.log.path)
                logger.error("%s", self.log_moved)
            return
        self.log_moved = None
        if self.log_gone is None and now != self._log_file:
            self.log_gone = (
                f"the log in {self._runtime.path} was {'removed' if now is None else 'replaced'} while it was in use: what is committed "
                "is lost when the system is closed; save what subscribe() and the queries still give, and restore a backup"
            )
            logger.critical("%s", self.log_gone)

    def _watch_decider(self) -> None:
        activity = self._runtime.desk.activity
        if activity is not None and time.monotonic() - activity[2] > HELD_AT_MOST:
            # The batch before has its replies held for the next fsync, which a slow decider puts off, and its news.
            self._runtime.desk.release()
            self._runtime.desk.notifier.flush_now()
        if activity is None or activity == self._reported:
            return
        command, stream, since = activity
        if time.monotonic() - since > self._runtime.settings.decider_limit:
            self._reported = activity
            logger.error(
                "%s on stream %r has been deciding for more than %g s; no other command can be handled until it "
                "returns, and a thread can't be stopped from outside",
                command,
                stream,
                self._runtime.settings.decider_limit,
            )
