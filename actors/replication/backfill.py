"""What a replica fills from the log between live batches: models that are behind, and builds beside those
that serve.

The replica's thread calls it, a slice at a time, so that live events and queries never wait for long. A model
that nothing else serves is filled without pauses. A build beside one that serves waits until the replica
holds the rebuild lock, and pauses after each slice, so that it gets only `share` of the time, or more if it
would never be done (`rebuild_throttle`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.kernel.backoff import backoff
from actors.replication.build_progress import BuildProgress
from actors.replication.command_batches import DamagedCommand, read_commands
from actors.replication.committed_log import CommittedLog
from actors.replication.projector import Projector
from actors.replication.rebuild_lock import RebuildLock
from actors.replication.rebuild_throttle import RebuildThrottle, adapted_limit
from actors.replication.replica_status import ProjectorStatus

if TYPE_CHECKING:
    from actors.health import Rebuild

__all__ = ["SLICE_SECONDS", "Backfill", "rebuilds_of"]

logger = logging.getLogger("onewriter.replica")

SLICE_SECONDS = 0.015
"""Seconds that one slice should take."""

LONG_SLICE_SECONDS = 0.25
"""The same while no model of the replica gets live events, so that nothing waits for them. In a large slice,
rows that change often are written once, and those of a new table in the order of their keys."""

MIN_EVENTS, MAX_EVENTS = 20, 20_000
"""Events of one slice: what a slow projection gets in any case, and what a transaction should not exceed,
except for the rest of the last command."""

RETRY_FIRST, RETRY_LAST = 0.1, 30.0

RETRY_FULL = 2.0
"""Seconds after which at the latest a model that found no room tries again: that costs little."""


class Backfill:
    """The backfill of one replica. Calls `stopped` for a model that stops, `moved` after each slice,
    `switched` after a switch."""

    def __init__(
        self,
        name: str,
        projector: Projector,
        log: CommittedLog,
        rebuild_lock: RebuildLock,
        share: float,
        *,
        wake: Callable[[], None],
        moved: Callable[[Sequence[BuildProgress]], None],
        stopped: Callable[[BuildProgress], None],
        switched: Callable[[BuildProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._projector = projector
        self._log = log
        self._rebuild_lock = rebuild_lock
        self._throttle = RebuildThrottle(share)
        self._wake = wake
        self._moved = moved
        self._stopped = stopped
        self._switched = switched
        self._clock = clock
        self._limit = 200
        self._seconds = SLICE_SECONDS
        self._pause_until = 0.0
        self._due: dict[str, float] = {}

    @property
    def pressed(self) -> bool:
        """Whether a build does not keep up with the live events: they are then to come in small batches."""
        return self._throttle.pressed

    # -- what there is to do -----------------------------------------------------------------
    def wait(self, position: int) -> float | None:
        """Seconds until the next slice is due, None while there is nothing to fill."""
        if self._behind(position):
            return 0.0
        if not self._projector.building:
            return None
        if self._alone():
            return 0.0
        if self._beside():
            return max(self._pause_until - self._clock(), 0.0)
        return None

    def _ready(self, run: BuildProgress) -> bool:
        return run.failure is None or self._due.get(run.key, 0.0) <= self._clock()

    def _behind(self, position: int) -> list[BuildProgress]:
        """The models that serve and lack events which the replica has had; those that stopped, once they are
        due."""
        return [run for run in self._projector.runs if run.checkpoint < position and self._ready(run)]

    def _throttled(self, run: BuildProgress) -> bool:
        """Whether something answers for the model meanwhile."""
        _, applied, failure = self._projector.serving(run.model.name)
        return applied > 0 and (failure is None or failure.full)

    def _alone(self) -> list[BuildProgress]:
        return [run for run in self._projector.building if self._ready(run) and not self._throttled(run)]

    def _beside(self) -> list[BuildProgress]:
        """The builds beside one that serves, while the replica holds the rebuild lock."""
        builds = [run for run in self._projector.building if self._throttled(run)]
        ready = [run for run in builds if self._ready(run)]
        if not ready:
            # A build that stopped releases the lock until it is tried again.
            self._rebuild_lock.release(self._name)
            self._throttle.reset()
            return []
        mine = self._rebuild_lock.acquire(self._name, self._wake)
        for run in builds:
            run.waiting = not mine
        return ready if mine else []

    # -- doing it ----------------------------------------------------------------------------
    def run_slice(self, position: int) -> None:
        """Fill what is due, for about `SLICE_SECONDS` or `LONG_SLICE_SECONDS`; `position` is what the replica
        has had."""
        live = any(run.failure is None and run.checkpoint >= position for run in self._projector.runs)
        self._seconds = SLICE_SECONDS if live else LONG_SLICE_SECONDS
        behind = self._behind(position)
        if behind:
            self._fill(behind, position)
            return
        runs = self._alone()
        pause = not runs
        if pause:
            self._seconds = SLICE_SECONDS
            runs = self._beside()
        if not runs or (pause and self._clock() < self._pause_until):
            return
        began = self._clock()
        end = began + self._throttle.budget(began - self._pause_until) if pause else began
        # What serves may be ahead, if its code is gone: readers must not go back behind it.
        target = max(position, *(self._projector.serving(run.model.name)[1] for run in runs))
        lacking = True
        while lacking:
            stopped = self._fill([run for run in runs if run.checkpoint < target], target)
            lacking = not stopped and self._clock() < end and any(run.checkpoint < target for run in runs)
        now = self._clock()
        if pause:
            self._throttle.note(now, min(run.checkpoint for run in runs), target, self._log.head)
            self._pause_until = now + (now - began) * (1 - self._throttle.share) / self._throttle.share
        for run in runs:
            run.rate.at(now, run.checkpoint, target)
            if run.checkpoint >= target and run.failure is None:
                self._switch(run)

    def _switch(self, run: BuildProgress) -> None:
        former = self._projector.serving(run.model.name)[0]
        self._projector.switch(run)
        self._throttle.reset()
        logger.info(
            "model %s on %s: version %d serves now instead of %d, at position %d",
            run.model.name,
            self._name,
            run.model.version,
            former,
            run.checkpoint,
        )
        if not self._projector.building:
            self._rebuild_lock.release(self._name)
        self._moved([run])
        self._switched(run)

    def _fill(self, runs: Sequence[BuildProgress], until: int) -> list[BuildProgress]:
        """Apply the next events to those of `runs` that lack them; returns the ones that stopped."""
        if not runs:
            return []
        began = self._clock()
        after = min(run.checkpoint for run in runs)
        for run in runs:
            # A model that lost what it had is first brought to where it failed: then the next failure takes
            # nothing back.
            if run.failure is not None and run.checkpoint < run.failure.before:
                until = min(until, run.failure.before)
        try:
            events = read_commands(self._log, after, self._limit, until)
        except DamagedCommand as error:
            return self.stop_at_damage([run for run in runs if run.checkpoint <= error.before], error)
        stopped = self._projector.apply(events, runs) if events else []
        for run in runs:
            # It has come past the event that it stopped at.
            if run not in stopped and run.failure is not None and run.checkpoint >= run.failure.position:
                run.failure = None
        for run in stopped:
            self.report(run)
        took = self._clock() - began
        self._limit = adapted_limit(self._limit, took, len(events), self._seconds, MIN_EVENTS, MAX_EVENTS)
        self._moved(runs)
        return stopped

    # -- models that stopped -----------------------------------------------------------------
    def stop_at_damage(self, runs: Sequence[BuildProgress], error: DamagedCommand) -> list[BuildProgress]:
        """Stop models before a command that can't be read; returns them. They try again as others do."""
        for run in runs:
            self._projector.stop(run, error.position, error.type, error.damage, error.before)
            self.report(run)
        return list(runs)

    def report(self, run: BuildProgress) -> None:
        """Report that a model stopped, and note when it is tried again."""
        failure = run.failure
        assert failure is not None
        wait = backoff(RETRY_FIRST, RETRY_FULL if failure.full else RETRY_LAST, failure.attempts - 1)
        self._due[run.key] = self._clock() + wait
        self._stopped(run)
        logger.error(
            "%s %s on %s stopped at event %s at position %d: %s; tried again in %.1f s",
            "the new build of model" if run in self._projector.building else "model",
            run.model.name,
            self._name,
            failure.type,
            failure.position,
            failure.error,
            wait,
        )

    def resume(self) -> None:
        """Let models go on that stopped at an event which they are to skip by now."""
        projector = self._projector
        stopped = [run for run in (*projector.runs, *projector.building) if run.failure is not None]
        for run in stopped:
            if run.failure is not None and projector.skips(run, run.failure.position):
                run.failure = None
        self._moved(stopped)


def rebuilds_of(name: str, projector: ProjectorStatus, head: int, now: float) -> list[Rebuild]:
    """The builds that a replica fills beside others, as anybody may see them. Any thread."""
    # Imported here: a worker process makes no report.
    from actors.health import Rebuild

    frozen = {one.name for one in projector.frozen}
    found = []
    for run in projector.building:
        failure = run.failure
        version = projector.serving(run.model.name)[0]
        rate = run.rate.per_second(run.checkpoint, now)
        left = run.rate.seconds_left(run.checkpoint, now)
        state = "stopped" if failure else "waiting" if run.waiting else "building"
        found.append(
            Rebuild(
                run.model.name,
                name,
                version,
                run.model.version,
                run.model.name in frozen,
                state,
                run.checkpoint,
                head,
                rate,
                left if state == "building" else None,
                None
                if failure is None
                else f"event {failure.type} at position {failure.position}: {failure.text}",
            )
        )
    return found
