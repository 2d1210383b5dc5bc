"""One replica in this process: its slot, its read replica and its query actors, and their maintenance.

With threads the parent has one for each replica; with worker processes each worker has its own. This is the
only place where a `ReadReplica` and a `QueryActor` are built.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.running_calls import CallSlot
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_actor import QueryActor
from actors.queries.query_endpoint import QueryEndpoint
from actors.queries.query_job import QueryJob
from actors.queries.result_cache import ResultCache
from actors.replication.committed_log import CommittedLog
from actors.replication.current_event import CurrentEvent, ProjectionWatch
from actors.replication.messages import Applied, ResetReplica, Resume, RetryStopped, StartBuild
from actors.replication.model_copies import ModelCopies
from actors.replication.progress import Progress
from actors.replication.read_replica import ReadReplica
from actors.replication.rebuild_lock import RebuildLock
from actors.replication.replica_slot import ReplicaSlot
from actors.replication.replica_status import SnapshotSource
from actors.replication.replica_turns import ReplicaTurns
from storage import ReplicaStore
from storage.codec.codec import Codec

__all__ = ["FILES_CHECK_EVERY", "LocalReplica"]

FILES_CHECK_EVERY = 1.0
"""Seconds from one check that the files in use are those on disk to the next."""

Exited = Callable[[str, BaseException | None], None]


class LocalReplica:
    """Builds the actors of one replica, and outlives them."""

    def __init__(
        self,
        slot: ReplicaSlot,
        mailbox: Mailbox,
        endpoints: Sequence[QueryEndpoint],
        *,
        log: CommittedLog,
        codec: Codec,
        progress: Progress,
        stores: Mapping[str, ReplicaStore],
        cache: ResultCache | None,
        report: Callable[[Applied], None],
        rebuild_lock: RebuildLock,
        rebuild_share: float,
        redirect: Callable[[QueryJob], None],
        turns: ReplicaTurns | None = None,
        listeners: Sequence[Callable[[str, int, float], None]] = (),
        call_slot: CallSlot | None = None,
    ) -> None:
        """`mailbox` is the read replica's. `report` gets each position that is handled, `redirect` finds
        another replica for a query.

        `stores` has the slot's store of each moment; `call_slot` shows the one of the `listeners` that runs.
        Replicas that share `turns` apply one at a time.
        """
        self.slot = slot
        self._mailbox = mailbox
        self._endpoints = endpoints
        self._log = log
        self._codec = codec
        self._progress = progress
        self._stores = stores
        self._cache = cache
        self._report = report
        self._rebuild_lock = rebuild_lock
        self._rebuild_share = rebuild_share
        self._redirect = redirect
        self._turns = turns or ReplicaTurns()
        self._listeners = listeners
        self._call_slot = call_slot
        self._watch = ProjectionWatch()
        self._files_checked = time.monotonic()

    # -- actors, not yet started -------------------------------------------------------------
    def replica_actor(self, exited: Exited) -> ActorSlot:
        """The one that applies events; it calls `exited` as it ends."""

        def start(actor: ActorSlot) -> Any:
            return ReadReplica.start(
                actor.name,
                actor.mailbox,
                exited,
                slot=self.slot,
                log=self._log,
                progress=self._progress,
                report=self._report,
                rebuild_lock=self._rebuild_lock,
                share=self._rebuild_share,
                copies=ModelCopies(self.slot.name, self._stores),
                turns=self._turns,
                listeners=self._listeners,
                call_slot=self._call_slot,
                on_switch=self._drop_results,
            )

        return ActorSlot(self.slot.name, self._mailbox, start)

    def _drop_results(self) -> None:
        """Results of a build that is replaced: what they have of a person may have been forgotten."""
        if self._cache is not None and self._codec.personal:
            self._cache.clear()

    def query_actors(self, exited: Exited) -> list[ActorSlot]:
        """Those that answer queries, one for each endpoint; each calls `exited` as it ends."""

        def start(actor: ActorSlot, endpoint: QueryEndpoint) -> Any:
            return QueryActor.start(
                actor.name,
                actor.mailbox,
                exited,
                replica=self.slot.name,
                stores=self._stores,
                stats=endpoint.stats,
                progress=self._progress,
                redirect=self._redirect,
                mark_damaged=self.mark_damaged,
                inline=self._log.inline_snapshot,
                codec=self._codec,
                cache=self._cache,
            )

        return [ActorSlot(one.name, one.mailbox, partial(start, endpoint=one)) for one in self._endpoints]

    # -- what the replica is to do: any thread -----------------------------------------------
    def mark_damaged(self, store: SnapshotSource, reason: str) -> bool:
        """As `ReplicaHost.mark_damaged`."""
        slot = self.slot
        if slot.mark_damaged(store, reason, lambda: self._progress.exclude(slot.name)):
            self._mailbox.put(ResetReplica())
        return slot.is_retired(store)

    def start_build(self, model: str) -> Reply[None]:
        """As `ReplicaHost.start_build`."""
        order = StartBuild(model)
        self._mailbox.put(order)
        return order.future

    def resume(self) -> Reply[None]:
        """As `ReplicaHost.resume`."""
        order = Resume()
        self._mailbox.put(order)
        return order.future

    def current_event(self) -> CurrentEvent | None:
        """As `ReplicaHost.current_event`."""
        return self._watch.now(self.slot.projector)

    # -- from time to time -------------------------------------------------------------------
    def run_maintenance(self) -> None:
        """See what the projections are at, retry stopped models, look for the files. Supervisor's thread."""
        projector = self.slot.projector
        self._watch.look(projector)
        if any(run.failure is not None for run in (*projector.runs, *projector.building)):
            self._mailbox.put(RetryStopped())
        now = time.monotonic()
        if now - self._files_checked > FILES_CHECK_EVERY:
            self._files_checked = now
            store = self.slot.store
            if self.slot.damage is None and (why := self.slot.missing()) is not None:
                self.mark_damaged(store, why)
