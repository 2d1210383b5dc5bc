"""A read replica: the actor that applies committed events to its own environment.

One thread applies to one replica's tables: live events, and between them what is filled from the log. Queries
read snapshots of the tables from other threads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from actors.kernel.actor import SupervisedActor, notify
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.kernel.running_calls import CallSlot
from actors.replication.backfill import Backfill
from actors.replication.build_progress import BuildProgress
from actors.replication.command_batches import DamagedCommand, read_commands
from actors.replication.committed_log import CommittedLog
from actors.replication.messages import (
    Applied,
    Apply,
    CatchUp,
    Join,
    ResetReplica,
    Resume,
    RetryStopped,
    StartBuild,
)
from actors.replication.model_copies import COPY_BEHIND, ModelCopies
from actors.replication.progress import Progress
from actors.replication.projector import Projector
from actors.replication.rebuild_lock import RebuildLock
from actors.replication.rebuild_throttle import adapted_limit
from actors.replication.replica_slot import ReplicaSlot
from actors.replication.replica_turns import ReplicaTurns
from storage import RecordedEvent, StorageError
from storage.files.damage import is_damage
from storage.log.stored_events import CommittedEvents, StoredEvents, bounds
from storage.replica.build_changes import BuildChanges

__all__ = ["READ_BATCH", "ReadReplica"]

logger = logging.getLogger("onewriter.replica")

READ_BATCH, MAX_BATCH = 2_000, 20_000
"""Events read from the log, or applied, in one transaction of a replica, up to the end of the last command:
at first, and at most, for a replica that lags and takes less than `BATCH_SECONDS`. What larger batches save
in LMDB is lost again when the rows no longer fit into the processor's cache."""

BATCH_SECONDS = 0.25
"""Seconds that a transaction should not exceed. For that long the answers of a replica are out of date that
is far behind anyway; and the larger its batch, the less each event costs, since a row that changes often is
written once."""

MIN_BATCH = 200
"""Events of a batch while a build does not keep up: small batches, so that it often gets its time between
them. And the fewest if events take long."""


class ReadReplica(SupervisedActor):
    """Applies what Sync sends. Messages: `Apply`, `CatchUp`, `Join`, `RetryStopped`, `Resume`,
    `ResetReplica`, `StartBuild`.

    After each one, and when none comes, it fills a slice of what is behind or being built.
    """

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        slot: ReplicaSlot,
        log: CommittedLog,
        progress: Progress,
        report: Callable[[Applied], None],
        rebuild_lock: RebuildLock,
        share: float,
        copies: ModelCopies,
        turns: ReplicaTurns,
        listeners: Sequence[Callable[[str, int, float], None]] = (),
        call_slot: CallSlot | None = None,
        on_switch: Callable[[], None] = lambda: None,
    ) -> None:
        """`copies` copies from other replicas of this process. `report` gets each position that is handled;
        `call_slot` shows the listener that runs. `on_switch` is called once a new build serves."""
        super().__init__(name, mailbox, exited)
        self._slot = slot
        self._log = log
        self._progress = progress
        self._report = report
        self._rebuild_lock = rebuild_lock
        self._share = share
        self._copies = copies
        self._turns = turns
        self._listeners = listeners
        self._call_slot = call_slot or CallSlot("listener")
        self._on_switch = on_switch
        self._limit = READ_BATCH
        self._settle_in()

    def _settle_in(self) -> None:
        """Take over what is open in the slot."""
        self._projector: Projector = self._slot.projector
        self._position = self._projector.position
        self._backfill = Backfill(
            self.name,
            self._projector,
            self._log,
            self._rebuild_lock,
            self._share,
            wake=lambda: self.mailbox.put(RetryStopped()),
            moved=lambda runs: self._publish(),  # noqa: ARG005
            stopped=self._report_stopped,
            switched=self._switched,
        )

    def _switched(self, run: BuildProgress) -> None:
        self._on_switch()
        self._progress.recheck(run.model.name)

    def on_start(self) -> None:
        """Publish where the tables are, and ask Sync for what they lack."""
        if self._slot.damage is not None:
            self._reset()
        else:
            self._publish()
            self._join()
        self.mailbox.idle_timeout = self._backfill.wait(self._position)

    def on_receive(self, message: Any) -> None:
        """Handle one message, then fill a slice of what is due. A damaged slot is left for a new one."""
        try:
            self._handle(message)
            self._fill()
        except Exception as error:
            if not is_damage(error, self._slot.store):
                raise
            self._slot.mark_damaged(self._slot.store, f"it is damaged: {error}")
            if self._slot.damage is None:
                raise
            self._reset()
            self._fill()

    def _handle(self, message: Any) -> None:
        kind = message.__class__
        if kind is Apply:
            self._apply(*self._gather(message), message.by)
        elif kind is CatchUp:
            self._catch_up(message.until, message.source)
        elif kind is Join:
            self._join()
        elif kind is Resume:
            self._backfill.resume()
            message.future.set_result(None)
        elif kind is StartBuild:
            self._start_build(message)
        elif kind is ResetReplica:
            if self._slot.damage is not None:
                self._reset()
        elif kind is not IdleTimeout and kind is not RetryStopped:
            super().on_receive(message)

    def _fill(self) -> None:
        wait = self._backfill.wait(self._position)
        if wait is not None and wait <= 0:
            self._backfill.run_slice(self._position)
            wait = self._backfill.wait(self._position)
        self.mailbox.idle_timeout = wait

    # -- live events -------------------------------------------------------------------------
    def _most(self) -> int:
        return MIN_BATCH if self._backfill.pressed else self._limit

    def _gather(self, first: Apply) -> tuple[Sequence[RecordedEvent], Sequence[BuildChanges]]:
        if isinstance(first.events, StoredEvents):
            return first.events, first.changes
        most = self._most()
        waiting = self.mailbox.drain(most, Apply)
        parts, number, changes = [first.events], len(first.events), list(first.changes)
        for index, one in enumerate(waiting):
            # Stored bytes are not joined with events, and either all have changes or none.
            if number >= most or bool(one.changes) != bool(changes) or isinstance(one.events, StoredEvents):
                self.mailbox.push_back(waiting[index:])
                break
            parts.append(one.events)
            changes += one.changes
            number += len(one.events)
        return CommittedEvents.joined(parts), changes

    def _live(self) -> list[BuildProgress]:
        """The models that have all that the replica has had, and get live events."""
        position = self._position
        return [run for run in self._projector.runs if run.failure is None and run.checkpoint >= position]

    def _apply(
        self, events: Sequence[RecordedEvent], changes: Sequence[BuildChanges], by: str | None
    ) -> None:
        first, last = bounds(events)
        if first > self._position + 1:
            # Something was lost with an earlier incarnation: the log has it.
            self._join()
            return
        if last > self._position:
            self._advance(events, changes)
            if by is not None and self._projector.differing:
                self._copy_differing(by)
        else:
            self._report_position()

    def _copy_differing(self, source: str) -> None:
        """Take over the rows of a replica that this one's are to be equal to."""
        differing = self._projector.differing
        runs = [run for run in self._live() if run.model.name in differing]
        self._copy(runs, source, lambda run: run.checkpoint)

    def _copy(
        self, runs: Sequence[BuildProgress], source: str, after: Callable[[BuildProgress], int]
    ) -> None:
        for run in self._copies.copy(runs, source, after):
            self._projector.copied(run)
            self._progress.recheck(run.model.name)
        self._position = max(self._position, min((run.checkpoint for run in self._live()), default=0))
        self._publish()

    def _catch_up(self, until: int, source: str | None) -> None:
        if not self._live():
            # No model here needs what lies before; those that stopped or are behind read it by themselves.
            self._position = max(until, self._position)
            self._report_position()
            return
        if source is not None:
            far = [run for run in self._live() if until - run.checkpoint >= COPY_BEHIND]
            if far:
                self._copy(far, source, lambda run: run.checkpoint + 1)
        events: Sequence[RecordedEvent] = ()
        if until > self._position:
            try:
                events = read_commands(self._log, self._position, self._most(), until)
            except DamagedCommand as error:
                self._backfill.stop_at_damage(self._live(), error)
                self._position = until
        if events:
            self._advance(events)
        else:
            self._report_position()

    def _advance(self, events: Sequence[RecordedEvent], changes: Sequence[BuildChanges] = ()) -> None:
        live = self._live()
        with self._turns.turn():
            began = time.monotonic()
            stopped = self._projector.apply(events, live, changes) if live else ()
            took = time.monotonic() - began
        self._limit = adapted_limit(self._limit, took, len(events), BATCH_SECONDS, MIN_BATCH, MAX_BATCH)
        first, position = bounds(events)
        self._position = position
        for run in stopped:
            self._backfill.report(run)
        self._publish()
        recorded = self._projector.take_recorded() if live else ()
        self._report_position(Apply(events, recorded, self.name) if recorded else None)
        if self._listeners:
            lag = self._progress.lag_seconds(first - 1)
            notify(self._call_slot, self._listeners, self.name, position, lag)

    def _join(self) -> None:
        self._report(Applied(self.name, self._position, joining=True, may_lead=self._may_lead()))

    def _report_position(self, shared: Apply | None = None) -> None:
        self._report(Applied(self.name, self._position, shared=shared, may_lead=self._may_lead()))

    def _may_lead(self) -> bool:
        """Whether all that it has to do is to apply what is committed."""
        projector = self._projector
        return not projector.building and len(self._live()) == len(projector.runs)

    def _publish(self) -> None:
        self._progress.applied(self.name, self._projector.checkpoints())

    def _report_stopped(self, run: BuildProgress) -> None:
        failure = run.failure
        assert failure is not None
        if run in self._projector.building:
            # What serves is not affected; but a caller may wait for the build.
            self._progress.moved()
            return
        why = f"{failure.error}; it then goes on by itself" if failure.full else failure.error
        self._progress.stopped(self.name, run.model.name, run.checkpoint, why, readable=failure.full)

    # -- builds and slots --------------------------------------------------------------------
    def _start_build(self, order: StartBuild) -> None:
        try:
            self._projector.start_build(order.model)
        except StorageError as error:
            if is_damage(error, self._slot.store):
                self.mailbox.put(order)
                raise
            order.fail(error)
            return
        order.future.set_result(None)

    def _reset(self) -> None:
        self._progress.exclude(self.name)
        self._rebuild_lock.release(self.name)
        self._slot.reset()
        self._settle_in()
        self._progress.mark_reset(self.name)
        self._publish()
        self._join()
