"""What a worker sends to its parent: positions, builds, failures, logging. Any thread of the worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

from actors.queries.result_cache import ResultCache
from actors.replication.build_progress import BuildProgress
from actors.replication.replica_slot import ReplicaSlot
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.framing import Connection, frame

__all__ = ["ForwardingLogHandler", "StatusReporter"]


class StatusReporter:
    """Writes to the control connection, and waits until the parent reads, which it always does unless it is
    gone."""

    def __init__(self, connection: Connection, slot: ReplicaSlot, cache: ResultCache | None) -> None:
        """Reports of the replica in `slot`."""
        self._connection = connection
        self._slot = slot
        self._cache = cache
        self._sent_position = -1
        self._sent_state = b""
        self._is_building_or_failed = False
        self._lock = threading.Lock()

    def send(self, *words: Any) -> None:
        """Send a message; where the parent is gone, nothing."""
        # Who reads the connection finds the end, too.
        with suppress(OSError):
            self._connection.send_all(frame(protocol.pack(*words)))

    # -- positions ---------------------------------------------------------------------------
    def positions(self, running: Iterable[tuple[str, int]]) -> list[Any]:
        """For each model: its checkpoint, its last change, its build, and whether it is among those
        `running`."""
        state = self._slot.store.state
        runs = {model for model, _ in running}
        return [
            (model, state.checkpoint(model), state.changed(model), state.build(model), model in runs)
            for model in state.active
        ]

    def send_applied(self, running: Iterable[tuple[str, int]]) -> None:
        """The replica published where its models are. Its thread."""
        slot = self._slot
        running = list(running)
        self._sent_position = position = max((at for _, at in running), default=0)
        self.send(protocol.APPLIED, position, slot.projector.applied_events, self.positions(running))
        # The parent goes on showing a build or a failure until it hears of its end.
        if slot.projector.building or self._is_building_or_failed:
            self.send_state()

    def send_handled(self, position: int) -> None:
        """The replica has handled everything up to there, which may be more than any running model has
        applied."""
        if position > self._sent_position:
            slot = self._slot
            self._sent_position = position
            running = slot.projector.checkpoints()
            self.send(protocol.APPLIED, position, slot.projector.applied_events, self.positions(running))

    # -- everything else ---------------------------------------------------------------------
    def send_state(self) -> None:
        """Send how builds and failures are, unless the parent knows that already."""
        with self._lock:
            state = self.describe()
            said = protocol.pack(state)
            if said != self._sent_state:
                self._sent_state = said
                self.send(protocol.STATE, state)

    def describe(self) -> dict[str, Any]:
        """What `RemoteReplicaSlot.update` takes."""
        slot = self._slot
        projector = slot.projector
        now = time.monotonic()
        self._is_building_or_failed = any(run.failure is not None for run in projector.runs) or bool(
            projector.building
        )
        return {
            "runs": [_run(run, now) for run in projector.runs],
            "building": [_run(run, now) for run in projector.building],
            "frozen": [tuple(one) for one in projector.frozen],
            "applied_events": projector.applied_events,
            "reset_reason": slot.reset_reason,
            "cache": None if self._cache is None else astuple(self._cache.health()),
        }


def _run(run: BuildProgress, now: float) -> tuple[Any, ...]:
    failure = run.failure
    rate = run.rate.per_second(run.checkpoint, now), run.rate.seconds_left(run.checkpoint, now)
    return (
        run.model.name,
        run.model.version,
        run.key,
        run.checkpoint,
        None
        if failure is None
        else (failure.position, failure.type, failure.full, failure.error, failure.text),
        run.waiting,
        rate,
    )


class ForwardingLogHandler(logging.Handler):
    """Gives the worker's log records to the parent's logging."""

    def __init__(self, reporter: StatusReporter) -> None:
        super().__init__()
        self._reporter = reporter
        self._format = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        trace = record.exc_text or ""
        if record.exc_info and not trace:
            trace = self._format.formatException(record.exc_info)
        try:
            text = record.getMessage()
        except Exception:
            text = f"{record.msg!r} {record.args!r}"
        self._reporter.send(
            protocol.LOGGED, record.name, record.levelno, text, trace, record.created, record.threadName or ""
        )
