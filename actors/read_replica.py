"""A read replica: the actor that applies committed events to its own environment.

One thread applies to one replica's tables. Queries read snapshots of them from other threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.mailbox import Mailbox, Request
from actors.messages import Applied, Apply, CatchUp, Join
from actors.progress import Progress
from actors.projecting import ModelRun, Projector
from actors.worker import Worker, tell
from storage import CodecError, EventLog, RecordedEvent

__all__ = ["READ_BATCH", "ReadReplica", "RetryStopped"]

logger = logging.getLogger("onewriter.replica")

READ_BATCH = 2_000
"""Events read from the log, or applied, in one transaction of a replica."""

RETRY_FIRST, RETRY_LAST = 0.1, 30.0


class RetryStopped(Request):
    """The supervisor to a replica: see whether a stopped model is due for another try."""

    __slots__ = ()


class ReadReplica(Worker):
    """Applies what sync sends. Messages: `Apply`, `CatchUp`, `Join`, `RetryStopped`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        projector: Projector,
        log: EventLog,
        progress: Progress,
        sync: Mailbox,
        listeners: Sequence[Callable[[str, int, float], None]] = (),
    ) -> None:
        super().__init__(name, mailbox, exited)
        self._projector = projector
        self._log = log
        self._progress = progress
        self._sync = sync
        self._listeners = listeners
        self._position = projector.position
        self._due: dict[str, float] = {}
        self._blocked = False

    def on_start(self) -> None:
        """Publish where the tables are, and ask sync for what they miss."""
        self._publish()
        self._sync.put(Applied(self.name, self._position, joining=True))

    def on_receive(self, message: Any) -> None:
        """Apply all that waits in one transaction, as far as it is one run of positions."""
        kind = message.__class__
        if kind is Apply:
            self._apply(self._gather(message))
        elif kind is CatchUp:
            self._catch_up(message.until)
        elif kind is Join:
            self._sync.put(Applied(self.name, self._position, joining=True))
        elif kind is RetryStopped:
            self._retry_stopped()
        else:
            super().on_receive(message)

    def _gather(self, first: Apply) -> Sequence[RecordedEvent]:
        waiting = self.mailbox.drain(64)
        if not waiting:
            return first.events
        events = list(first.events)
        for index, one in enumerate(waiting):
            if one.__class__ is not Apply or len(events) >= READ_BATCH:
                self.mailbox.hold(waiting[index:])
                break
            events += one.events
        return events

    def _apply(self, events: Sequence[RecordedEvent]) -> None:
        if events[0].position > self._position + 1:
            # Something was lost on the way, with an earlier incarnation: the log has it.
            self._sync.put(Applied(self.name, self._position, joining=True))
            return
        if events[-1].position > self._position:
            self._advance(events)
        self._sync.put(Applied(self.name, self._position))

    def _catch_up(self, until: int) -> None:
        try:
            events = self._log.read(self._position, READ_BATCH, until)
        except CodecError:
            events = self._readable(until)
            if not events:
                return  # Every model is stopped there; sync is told again once it can be read.
        if events:
            self._advance(events)
        self._sync.put(Applied(self.name, self._position))

    def _readable(self, until: int) -> list[RecordedEvent]:
        """The events before the one that can't be decoded; none when that is the next one, which stops every model."""
        events: list[RecordedEvent] = []
        while len(events) < READ_BATCH:
            position = self._position + len(events)
            try:
                more = self._log.read(position, 1, until)
            except CodecError as error:
                if not events:
                    self._blocked = True
                    for run in self._projector.runs:
                        if run.checkpoint <= position:
                            self._projector.stop(run, position + 1, "that can't be decoded", error)
                            self._report_stopped(run)
                return events
            if not more:
                return events
            events += more
        return events

    def _advance(self, events: Sequence[RecordedEvent]) -> None:
        for run in self._projector.apply(events):
            self._report_stopped(run)
        position = events[-1].position
        self._position = position
        self._publish()
        if self._listeners:
            lag = self._progress.lag_seconds(events[0].position - 1)
            tell(self._listeners, self.name, position, lag)

    def _publish(self) -> None:
        self._progress.applied(self.name, self._projector.checkpoints())

    def _retry_blocked(self) -> None:
        runs = [run for run in self._projector.runs if run.failure is not None]
        if time.monotonic() < max(self._due.get(run.model.name, 0.0) for run in runs):
            return
        self._blocked = False
        if self._readable(self._position + 1):
            for run in runs:
                run.failure = None
            self._publish()
            self._sync.put(Applied(self.name, self._position, joining=True))

    # -- models that stopped -----------------------------------------------------------------
    def _report_stopped(self, run: ModelRun) -> None:
        failure = run.failure
        assert failure is not None
        wait = min(RETRY_FIRST * 2 ** (failure.attempts - 1), RETRY_LAST)
        self._due[run.model.name] = time.monotonic() + wait
        self._progress.stopped(self.name, run.model.name, run.checkpoint, failure.error)
        logger.error(
            "model %s on %s stopped at event %s at position %d: %s; tried again in %.1f s",
            run.model.name,
            self.name,
            failure.type,
            failure.position,
            failure.error,
            wait,
        )

    def _retry_stopped(self) -> None:
        if self._blocked:
            self._retry_blocked()
            return
        for run in self._projector.runs:
            if run.failure is None or time.monotonic() < self._due.get(run.model.name, 0.0):
                continue
            events = self._log.read(run.checkpoint, READ_BATCH, self._position)
            if events and self._projector.apply(events, [run]):
                self._report_stopped(run)
            elif run.checkpoint >= self._position:
                run.failure = None
                self._publish()
            else:
                self.mailbox.put(RetryStopped())
