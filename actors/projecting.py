"""Applying events to the tables of one replica: which model takes which event, and what a failure stops.

No thread and no mailbox: the read replica's thread calls it, and tests do without one.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from actors.read_model import ReadModel
from storage import RecordedEvent, ReplicaStore, StorageError, StoreFull, WriteTransaction

__all__ = ["ModelRun", "ProjectionFailure", "Projector"]


class ProjectionFailure:
    """Where and why a model stopped."""

    __slots__ = ("attempts", "error", "full", "position", "text", "type")

    def __init__(self, position: int, type_: str, error: BaseException, attempts: int) -> None:
        self.position = position
        self.type = type_
        self.full = isinstance(error, StoreFull)
        self.error = f"{type(error).__name__}: {error}"
        self.text = "".join(traceback.format_exception(error))
        self.attempts = attempts


class ModelRun:
    """One model on one replica: its checkpoint, and its failure while it is stopped."""

    __slots__ = ("checkpoint", "failure", "model")

    def __init__(self, model: ReadModel, checkpoint: int) -> None:
        self.model = model
        self.checkpoint = checkpoint
        self.failure: ProjectionFailure | None = None


class _Stop(Exception):
    """A projection failed on one event; the transaction has to be done again without it."""

    def __init__(self, run: ModelRun, recorded: RecordedEvent, error: BaseException) -> None:
        self.run = run
        self.recorded = recorded
        self.error = error


class Projector:
    """The models of one replica and their checkpoints."""

    def __init__(self, store: ReplicaStore, models: Sequence[ReadModel]) -> None:
        self._store = store
        checkpoints = store.checkpoints()
        self.runs = [ModelRun(model, checkpoints[model.name]) for model in models]
        self.applied_events = 0

    @property
    def position(self) -> int:
        """What every running model has applied; the position to continue after."""
        running = [run.checkpoint for run in self.runs if run.failure is None]
        return min(running or [run.checkpoint for run in self.runs], default=0)

    def running(self) -> list[ModelRun]:
        """The models that are not stopped."""
        return [run for run in self.runs if run.failure is None]

    def checkpoints(self) -> list[tuple[str, int]]:
        """The running models and what each has applied."""
        return [(run.model.name, run.checkpoint) for run in self.running()]

    def stop(self, run: ModelRun, position: int, type_: str, error: BaseException) -> None:
        """Stop a model before the event at `position`."""
        attempts = run.failure.attempts + 1 if run.failure else 1
        run.failure = ProjectionFailure(position, type_, error, attempts)

    def apply(
        self, events: Sequence[RecordedEvent], runs: Sequence[ModelRun] | None = None
    ) -> list[ModelRun]:
        """Apply consecutive events to each running model in one transaction; returns the models that stopped.

        A model that raises keeps what it had applied before that event; the others are not
        disturbed. Events that a model has applied already are passed over. Where the disk has no
        room for an event, all that were to apply it stop before it.
        """
        stopped: list[ModelRun] = []
        limits: dict[str, int] = {}
        runs = self.running() if runs is None else runs
        while True:
            try:
                self._transaction(events, runs, limits)
            except _Stop as stop:
                limits[stop.run.model.name] = stop.recorded.position - 1
                self.stop(stop.run, stop.recorded.position, stop.recorded.type, stop.error)
                stopped.append(stop.run)
            except StorageError as error:
                # The tables refused what was buffered, or have no room for it: go event by event to find whose it was.
                if len(events) > 1:
                    for one in events:
                        stopped += self.apply([one], [run for run in runs if run not in stopped])
                    return stopped
                if not isinstance(error, StoreFull):
                    raise
                [event] = events
                for run in runs:
                    if run not in stopped and run.checkpoint < event.position:
                        self.stop(run, event.position, event.type, error)
                        stopped.append(run)
                return stopped
            else:
                self.applied_events += len(events)
                return stopped

    def _transaction(
        self, events: Sequence[RecordedEvent], runs: Sequence[ModelRun], limits: dict[str, int]
    ) -> None:
        last = events[-1].position
        reached: list[tuple[ModelRun, int]] = []
        with self._store.write() as transaction:
            for run in runs:
                until = limits.get(run.model.name, last)
                if until <= run.checkpoint:
                    continue
                self._project(run, transaction, events, until)
                transaction.set_checkpoint(run.model.name, until)
                reached.append((run, until))
        for run, until in reached:
            run.checkpoint = until

    def _project(
        self, run: ModelRun, transaction: WriteTransaction, events: Sequence[RecordedEvent], until: int
    ) -> None:
        tables = transaction.tables(run.model.name)
        handlers = run.model.handlers
        after = run.checkpoint
        for recorded in events:
            handler = handlers.get(recorded.event.__class__)
            if handler is None or recorded.position <= after:
                continue
            if recorded.position > until:
                return
            try:
                if handler.wants_recorded:
                    handler.fn(recorded.event, tables, recorded)
                else:
                    handler.fn(recorded.event, tables)
                if len(events) == 1:
                    transaction.flush()
            except BaseException as error:
                raise _Stop(run, recorded, error) from error
