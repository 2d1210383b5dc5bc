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

RETRY_FULL = 2.0
"""Seconds after which at the latest a model that found no room tries again: that costs little."""


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
        waiting = self.mailbox.drain(64, Apply)
        if not waiting:
            return first.events
        events = list(first.events)
        for index, one in enumerate(waiting):
            if len(events) >= READ_BATCH:
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
        events, error = self._read(self._position, until)
        if events:
            self._advance(events)
        elif error is not None:
            self._pass(until, error)
        self._sync.put(Applied(self.name, self._position))

    def _read(self, after: int, until: int) -> tuple[Sequence[RecordedEvent], CodecError | None]:
        """The next events, or those before one that can't be decoded; its error when there are none before it."""
        try:
            return self._log.read(after, READ_BATCH, until), None
        except CodecError:
            pass
        events: list[RecordedEvent] = []
        try:
            while len(events) < READ_BATCH and after + len(events) < until:
                events += self._log.read(after + len(events), 1, until)
        except CodecError as error:
            return events, None if events else error
        return events, None

    def _pass(self, until: int, error: CodecError) -> None:
        """Stop the models that need the next event, which can't be decoded, and go on with the others."""
        for run in self._projector.running():
            if run.checkpoint <= self._position:
                self._stop_model(run, error)
        # The stopped ones read what they miss by themselves; with none left, nobody needs what lies before `until`.
        self._position = self._projector.position if self._projector.running() else until

    def _stop_model(self, run: ModelRun, error: CodecError) -> None:
        self._projector.stop(run, run.checkpoint + 1, "that can't be decoded", error)
        self._report_stopped(run)

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

    # -- models that stopped -----------------------------------------------------------------
    def _report_stopped(self, run: ModelRun) -> None:
        failure = run.failure
        assert failure is not None
        wait = min(RETRY_FIRST * 2 ** (failure.attempts - 1), RETRY_FULL if failure.full else RETRY_LAST)
        self._due[run.model.name] = time.monotonic() + wait
        why = f"{failure.error}; it then goes on by itself" if failure.full else failure.error
        self._progress.stopped(self.name, run.model.name, run.checkpoint, why, readable=failure.full)
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
        for run in self._projector.runs:
            if run.failure is None or time.monotonic() < self._due.get(run.model.name, 0.0):
                continue
            events, error = self._read(run.checkpoint, self._position)
            if error is not None:
                self._stop_model(run, error)
            elif events and self._projector.apply(events, [run]):
                self._report_stopped(run)
            elif run.checkpoint >= self._position:
                run.failure = None
                self._publish()
            else:
                self.mailbox.put(RetryStopped())
