"""Applying events to the tables of one replica: which model takes which event, and what a failure stops.

Only whole commands, so that no query sees half of one: a model that fails at an event stops before its
command. No thread and no mailbox: the read replica's thread calls it, and tests do without one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from actors.domain.read_model import ReadModel
from actors.replication.build_progress import BuildProgress, FrozenBuild, ProjectionFailure
from actors.replication.command_batches import before_command, middle_command
from actors.replication.event_handlers import EventHandler, on_own_copy
from actors.replication.shared_changes import SharedChanges
from actors.replication.skipped_events import SkippedEvents
from actors.replication.wanted_events import WantedEvents
from storage import RecordedEvent, ReplicaStore, StorageError, StoreFull, WriteTransaction
from storage.files.damage import is_damage
from storage.log.history import unknown
from storage.log.records import Undecodable
from storage.log.stored_events import bounds
from storage.replica.build_changes import BuildChanges
from storage.replica.builds import Build

__all__ = ["Projector"]


class _Stop(Exception):
    """A projection failed on one event; the transaction has to be done again without it."""

    def __init__(self, run: BuildProgress, recorded: RecordedEvent, error: BaseException) -> None:
        self.run = run
        self.recorded = recorded
        self.error = error


class Projector:
    """The models of one replica: the builds that serve, the frozen ones, and those that are filled beside
    one.

    The replica's thread changes it. Each list is replaced, never changed, so that any thread may read.
    """

    def __init__(
        self,
        store: ReplicaStore,
        models: Sequence[ReadModel],
        skips: SkippedEvents | None = None,
        digest: Callable[[int], bytes] = unknown,
        types: Collection[str] = (),
    ) -> None:
        """`models` are all versions that are declared of the models that the replica has.

        `digest` gives that of the event at a position of the log, which is stored with the checkpoints there.
        `types` are the stored names of the domain's events.
        """
        self._wanted = WantedEvents(store.codec, types)
        self._digest = digest
        self._store = store
        self._models = models
        self._skips = SkippedEvents() if skips is None else skips
        self.runs: list[BuildProgress] = []
        self.frozen: list[FrozenBuild] = []
        self.building: list[BuildProgress] = []
        self.applied_events = 0
        self._recorded: Sequence[BuildChanges] = ()
        self._shared = SharedChanges(store.path.name, self._replaced)
        self.began = 0.0
        """When the transaction at hand began, a monotonic time; 0.0 between transactions."""
        self.at: RecordedEvent | None = None
        self.by: BuildProgress | None = None
        """The event that a projection has now, and whose; None while what they did is being committed."""
        self._look()

    def _look(self) -> None:
        """Take over the builds as the store has them, keeping what is known of those that were there."""
        known = {run.key: run for run in (*self.runs, *self.building)}
        checkpoints = self._store.build_checkpoints()

        def run_of(build: Build) -> BuildProgress:
            run = known.get(build.key)
            return run or BuildProgress(self._code(build), build.key, checkpoints[build.key])

        runs, frozen, building = [], [], []
        for name in dict.fromkeys(model.name for model in self._models):
            active, wanted = self._store.active(name), self._store.wanted(name)
            if active.schema is None:
                frozen.append(FrozenBuild(name, active.version, checkpoints[active.key]))
            else:
                runs.append(run_of(active))
            if wanted.key != active.key:
                building.append(run_of(wanted))
        self.runs, self.frozen, self.building = runs, frozen, building

    def _replaced(self, name: str) -> bool:
        """Whether a new build of a model is under way here, or is to be."""
        if any(run.model.name == name for run in self.building):
            return True
        with suppress(StorageError):
            return self._store.outdated(name)
        return False

    def _code(self, build: Build) -> ReadModel:
        return next(
            model for model in self._models if (model.name, model.version) == (build.model, build.version)
        )

    @property
    def position(self) -> int:
        """The furthest that a running model has come; those behind it catch up by themselves."""
        return max((run.checkpoint for run in self.running() or self.runs), default=0)

    @property
    def position_at(self) -> int:
        """As `ProjectorStatus.position_at`."""
        at = self.at
        return 0 if at is None else at.position

    @property
    def differing(self) -> Mapping[str, int]:
        """As `ProjectorStatus.differing`."""
        return self._shared.differing

    def take_recorded(self) -> Sequence[BuildChanges]:
        """What the last `apply` changed, for other replicas; nothing unless it was one whole transaction.

        It is given once: the rows of a large batch are not kept.
        """
        recorded, self._recorded = self._recorded, ()
        return recorded

    def copied(self, run: BuildProgress) -> None:
        """A build was replaced by that of another replica."""
        self._shared.settle(run.model.name)

    def running(self) -> list[BuildProgress]:
        """The models that serve and are not stopped."""
        return [run for run in self.runs if run.failure is None]

    def checkpoints(self) -> list[tuple[str, int]]:
        """The models that are not stopped, the frozen ones too, and what each has applied."""
        frozen = [(one.name, one.checkpoint) for one in self.frozen]
        return [(run.model.name, run.checkpoint) for run in self.running()] + frozen

    def serving(self, name: str) -> tuple[int, int, ProjectionFailure | None]:
        """Version, checkpoint and failure of the build of a model that serves."""
        for one in self.frozen:
            if one.name == name:
                return one.version, one.checkpoint, None
        run = next(run for run in self.runs if run.model.name == name)
        return run.model.version, run.checkpoint, run.failure

    def start_build(self, name: str) -> None:
        """Begin a new build of a model beside the one that serves.

        One that has begun already goes on, unless events that it may have had, or skipped, were corrected or
        given back since.
        """
        if all(run.model.name != name for run in self.building) or self._store.outdated(name):
            self._store.start_build(name)
            self._look()

    def switch(self, run: BuildProgress) -> None:
        """Let a build serve from now on, and remove the former one."""
        self._store.activate(run.key)
        self._shared.switched(run)
        run.failure = None
        self._look()

    def stop(
        self, run: BuildProgress, position: int, type_: str, error: BaseException, before: int | None = None
    ) -> None:
        """Stop a model because of the event at `position`, of the command after `before`."""
        attempts = run.failure.attempts + 1 if run.failure else 1
        run.failure = ProjectionFailure(position, type_, error, attempts, before)

    def skips(self, run: BuildProgress, position: int) -> bool:
        """Whether an operator has the model pass this event over."""
        return position in self._skips.of(run.model.name)

    def apply(
        self,
        events: Sequence[RecordedEvent],
        runs: Sequence[BuildProgress] | None = None,
        changes: Sequence[BuildChanges] = (),
    ) -> list[BuildProgress]:
        """Apply the events of consecutive commands to each running model in one transaction; returns the
        models that stopped.

        A model that raises, or meets what can't be decoded, keeps what it had applied before that command;
        the others are not affected. Events that a model has applied already are skipped. If the disk has no
        room for a command, all models that were to apply it stop before it. A damaged replica raises.

        Builds for which `changes` has what another replica changed for these events make the same changes,
        if their content was the same before.
        """
        self._recorded = ()
        stopped: list[BuildProgress] = []
        limits: dict[BuildProgress, int] = {}
        runs = self.running() if runs is None else runs
        one_by_one = False
        while True:
            try:
                self._transaction(events, runs, limits, one_by_one, changes)
            except _Stop as stop:
                limits[stop.run] = before = before_command(events, stop.recorded)
                self.stop(stop.run, stop.recorded.position, stop.recorded.type, stop.error, before)
                stopped.append(stop.run)
            except StorageError as error:
                if is_damage(error, self._store):
                    raise
                if changes:
                    changes = ()
                    continue
                # The tables refused what was buffered, or have no room for it: find the command by bisection,
                # and then go event by event within it, to find the model.
                middle = middle_command(events)
                if middle is not None:
                    for half in (events[:middle], events[middle:]):
                        stopped += self.apply(half, [run for run in runs if run not in stopped])
                    self._recorded = ()
                    return stopped
                if not one_by_one:
                    one_by_one = True
                    continue
                if not isinstance(error, StoreFull):
                    raise
                event = events[0]
                for run in runs:
                    if run not in stopped and run.checkpoint < events[-1].position:
                        self.stop(run, event.position, event.type, error)
                        stopped.append(run)
                return stopped
            else:
                self.applied_events += len(events)
                return stopped

    def _transaction(
        self,
        events: Sequence[RecordedEvent],
        runs: Sequence[BuildProgress],
        limits: dict[BuildProgress, int],
        one_by_one: bool,
        changes: Sequence[BuildChanges],
    ) -> None:
        first, last = bounds(events)
        # One may have fallen back, in an engine that lost what it had: it has to read the log again.
        due = [(run, until) for run in runs if first - 1 <= run.checkpoint < (until := limits.get(run, last))]
        if not due:
            return
        self.began = time.monotonic()
        try:
            with self._store.write() as transaction:
                left = self._shared.make(transaction, due, changes) if changes else due
                if left:
                    self._project(transaction, events, left, one_by_one)
                self.at = self.by = None
                digest = self._digest(last)
                for run, until in due:
                    transaction.set_checkpoint(
                        run.key, until, digest if until == last else self._digest(until)
                    )
        except BaseException:
            # Each engine commits on its own: some may have, before the one that could not; others fall back.
            with suppress(StorageError):
                at = self._store.build_checkpoints()
                for run in runs:
                    run.checkpoint = at[run.key]
            raise
        finally:
            self.began, self.at, self.by = 0.0, None, None
        for run, until in due:
            run.checkpoint = until
        self._recorded = () if limits else transaction.recorded

    def _project(
        self,
        transaction: WriteTransaction,
        events: Sequence[RecordedEvent],
        due: Sequence[tuple[BuildProgress, int]],
        one_by_one: bool,
    ) -> None:
        takers: dict[type, list[EventHandler]] = {}
        # Event by event, not model by model: events from the log are decoded as they come, and freed before
        # the next one.
        for recorded in self._wanted.of(events, [run.model for run, _ in due]):
            event = recorded.event
            kind = event.__class__
            mine = takers.get(kind)
            if mine is None:
                if kind is Undecodable:
                    mine = self._stopped_by(recorded.type, due)
                else:
                    mine = takers[kind] = self._takers(kind, transaction, due)
            for taker in mine:
                run, fn, wants_recorded, target, after, until, skipped = taker
                if not after < recorded.position <= until or recorded.position in skipped:
                    continue
                if fn is None:
                    raise _Stop(run, recorded, event.error)
                # Two stores an event are all that it costs to say, later, at which one it hangs.
                self.by, self.at = run, recorded
                try:
                    if wants_recorded:
                        fn(event, target, recorded)
                    else:
                        fn(event, target)
                    if one_by_one:
                        transaction.flush()
                except BaseException as error:
                    if is_damage(error, self._store):
                        raise
                    raise _Stop(run, recorded, error) from error

    def _takers(
        self, kind: type, transaction: WriteTransaction, due: Sequence[tuple[BuildProgress, int]]
    ) -> list[EventHandler]:
        """Which models take events of this class, and how."""
        found: list[EventHandler] = []
        codec = self._store.codec
        for run, until in due:
            handler = run.model.handlers.get(kind)
            if handler is not None:
                target = transaction.target(run.key)
                skipped = self._skips.of(run.model.name)
                found.append(
                    EventHandler(
                        run, handler.fn, handler.wants_recorded, target, run.checkpoint, until, skipped
                    )
                )
        # A model alone sees events as they are in the log: nobody else sees what it does to a list in them.
        return [
            taker._replace(fn=on_own_copy(codec, kind, taker.fn, taker.wants_recorded))
            for taker in found[:-1]
        ] + found[-1:]

    def _stopped_by(self, type_: str, due: Sequence[tuple[BuildProgress, int]]) -> list[EventHandler]:
        """The models that an undecodable event of this stored type stops: those that want it."""
        return [
            EventHandler(run, None, False, None, run.checkpoint, until, self._skips.of(run.model.name))
            for run, until in due
            if type_ in self._wanted.sources(run.model)
        ]
