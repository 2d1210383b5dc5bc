"""What lives in a worker process: a replica, its query actors, their supervisor, and what stands for sync and the writer.

The main thread opens it, hears the parent until the connection ends, and closes it.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any, cast

from actors.domain.specs import CompiledDomain
from actors.errors import described
from actors.kernel.actor import ActorKilled
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.supervisor import ActorSlot, Supervisor
from actors.queries.cache import ResultCache
from actors.queries.query_actor import QueryActor
from actors.queries.query_endpoint import QueryStats
from actors.queries.query_job import QueryJob
from actors.replication.current_event import ProjectionWatch
from actors.replication.placement import place_models
from actors.replication.read_replica import ReadReplica, ResetReplica, Resume, RetryStopped, StartBuild
from actors.replication.replica_slot import ReplicaSlot, open_slots
from actors.replication.skipped_events import SkippedEvents, read_skips
from actors.settings import Settings
from actors.worker_processes.child.position_feed import PositionFeed, RemoteRebuildLock
from actors.worker_processes.child.query_server import QueryServerMailbox
from actors.worker_processes.child.reporting_progress import ReportingProgress
from actors.worker_processes.child.status_reporter import StatusReporter
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Connection
from actors.worker_processes.wire.query_codec import QueryCodec
from storage import OnewriterError, ReplicaStore
from storage.files.opening_resources import OpeningResources
from storage.log.log_follower import LogFollower

__all__ = ["WorkerHost"]

FILES_CHECK_EVERY = 1.0
REPLICAS = "replicas"

LOCKED_FOR = 20.0
"""Seconds that a worker waits for one before it, which may not have ended yet, to let the replica go."""


class WorkerHost:
    """One replica and its actors in this process."""

    def __init__(
        self,
        config: dict[str, Any],
        domain: CompiledDomain,
        settings: Settings,
        control: Connection,
        query_connections: list[Connection],
    ) -> None:
        self.name: str = config["replica"]
        self._config = config
        self._domain = domain
        self._settings = settings
        self._control = control
        self._query_connections = query_connections
        self._resources = OpeningResources()
        self._stores: dict[str, ReplicaStore] = {}
        size = settings.result_cache // settings.replicas
        cached = size and any(spec.cache for spec in domain.queries.values())
        self._cache = ResultCache(domain.codec, size) if cached else None
        self.reporter = StatusReporter(control, self._cache)
        self._children: dict[str, ActorSlot] = {}
        self._checked = time.monotonic()
        self._watch = ProjectionWatch()

    # -- opening -----------------------------------------------------------------------------
    def open(self) -> None:
        """Open the log and the replica. Raises what that does, and nothing stays open then."""
        config, domain, settings = self._config, self._domain, self._settings
        placed = place_models(domain.models, settings.replica_names)
        resources = self._resources
        try:
            inline = [model.schema for model in domain.models.values() if model.inline]
            opened = resources.slot(LogFollower.close)
            opened.resource = log = LogFollower.open(
                config["path"], domain.codec, map_size=settings.map_size, inline=inline
            )
            log.advance(config["head"])
            self._log = log
            self._skips = SkippedEvents.read(log)
            folder = os.path.join(config["path"], REPLICAS)
            slots = open_slots(
                folder,
                placed,
                domain,
                log,
                settings,
                self._skips,
                self._stores,
                resources,
                [self.name],
                LOCKED_FOR,
            )
            self._slot: ReplicaSlot = slots[self.name]
        except BaseException:
            resources.roll_back()
            raise
        models = [name for name, replicas in placed.items() if self.name in replicas]
        self.reporter.attach(self._slot)
        self._progress = ReportingProgress(
            log.head, self.name, models, self.reporter.send, self.reporter.applied, self.reporter.state
        )
        self._mailbox = Mailbox()
        self._rebuild_lock = RemoteRebuildLock(self.reporter.send)
        self._positions = PositionFeed(self._mailbox, log.head, self.reporter.handled)
        self._supervisor = Supervisor("supervisor", self._children, self._run_maintenance)
        self._build_actors()

    def _build_actors(self) -> None:
        def start_replica(child: ActorSlot) -> Any:
            return ReadReplica.start(
                child.name,
                child.mailbox,
                self._exited,
                slot=self._slot,
                log=cast(Any, self._log),
                progress=self._progress,
                sync=cast(Any, self._positions),
                rebuild_lock=cast(Any, self._rebuild_lock),
                share=self._settings.rebuild_share,
            )

        def start_queries(child: ActorSlot, stats: QueryStats) -> Any:
            return QueryActor.start(
                child.name,
                child.mailbox,
                self._exited,
                replica=self.name,
                stores=self._stores,
                stats=stats,
                redirect=_redirect,
                progress=self._progress,
                mark_damaged=self._mark_damaged,
                inline=self._log.inline_snapshot,
                codec=self._domain.codec,
                cache=self._cache,
            )

        self._children[self.name] = ActorSlot(self.name, self._mailbox, start_replica)
        query_connections = QueryCodec(self._domain.queries.values(), self._domain.codec)
        for number, connection in enumerate(self._query_connections, 1):
            name = f"{self.name}.query-{number}"
            mailbox = QueryServerMailbox(connection, self._domain.codec, query_connections, self._cache)
            stats = QueryStats()
            self._children[name] = ActorSlot(name, mailbox, partial(start_queries, stats=stats))

    def start(self) -> None:
        """Say that the replica is open, then start the actors."""
        running = self._slot.projector.checkpoints()
        self.reporter.send(protocol.HELLO, self.reporter.describe(), self.reporter.positions(running))
        self._supervisor.begin()

    # -- hearing the parent: the main thread -------------------------------------------------
    def serve(self, bodies: list[bytes]) -> bool:
        """Do what the parent says until it says stop; False if it is gone without a word."""
        while True:
            for body in bodies:
                word, *values = protocol.unpack(body)
                if word == protocol.COMMITTED:
                    self._log.advance(values[0])
                    self._progress.committed(values[0])
                    self._positions.committed(values[0])
                elif word == protocol.REBUILD_LOCK_GRANTED:
                    self._rebuild_lock.granted(values[0])
                elif word == protocol.REQUEST:
                    self._handle_request(*values)
                elif word == protocol.PING:
                    self._send_pong(values[0])
                elif word == protocol.STOP:
                    return True
            heard = self._control.receive()
            if heard is None:
                return False
            bodies = heard

    def _send_pong(self, number: int) -> None:
        """Tell that this process runs, and what the replica's thread is at: that may hang for all the parent knows."""
        work = self._watch.now(self._slot.projector)
        said = None if work is None else (*work[:-1], time.monotonic() - work.since)
        self.reporter.send(protocol.PONG, number, said)

    def _handle_request(self, number: int, what: str, argument: Any) -> None:
        if what == protocol.BUILD:
            build = StartBuild(argument)
            build.future.add_done_callback(lambda future: self._done(number, future))
            self._mailbox.put(build)
        elif what == protocol.RESUME:
            for one in read_skips(self._log):
                self._skips.add(one.model, one.position)
            resume = Resume()
            resume.future.add_done_callback(lambda future: self._done(number, future))
            self._mailbox.put(resume)
        elif what == protocol.RESET:
            self._mark_damaged(self.name, self._slot.store, argument)
            self.reporter.send(protocol.DONE, number, None, None)
        elif what == protocol.DUMP:
            threading.Thread(target=self._dump, args=(number, argument), daemon=True).start()

    def _done(self, number: int, future: Any) -> None:
        error = future.exception()
        # Whoever waits for it is to see what it did.
        self.reporter.state()
        said = None if error is None else pack_error(error, self._domain.codec)
        self.reporter.send(protocol.DONE, number, said, None)

    def _dump(self, number: int, model: str) -> None:
        future: Reply[Any] = Reply()
        try:
            rows = self._domain.codec.pack(self._slot.store.dump(model))
        except OnewriterError as error:
            future.set_exception(error)
            self._done(number, future)
        else:
            self.reporter.send(protocol.DONE, number, None, rows)

    # -- supervision -------------------------------------------------------------------------
    def _exited(self, name: str, error: BaseException | None) -> None:
        self._supervisor.actor_exited(name, error)
        if error is not None and not isinstance(error, ActorKilled):
            self.reporter.send(protocol.EXITED, name, described(error))

    def _mark_damaged(self, name: str, store: ReplicaStore, reason: str) -> bool:
        """As `Runtime.mark_damaged`. Any thread."""
        if self._slot.mark_damaged(store, reason, lambda: self._progress.exclude(name)):
            self._mailbox.put(ResetReplica())
        return self._slot.is_retired(store)

    def _run_maintenance(self) -> None:
        """The supervisor's thread, at every tick."""
        projector = self._slot.projector
        self._watch.look(projector)
        if any(run.failure is not None for run in (*projector.runs, *projector.building)):
            self._mailbox.put(RetryStopped())
        now = time.monotonic()
        if now - self._checked > FILES_CHECK_EVERY:
            self._checked = now
            store = self._slot.store
            if self._slot.damage is None and (why := self._slot.missing()) is not None:
                self._mark_damaged(self.name, store, why)
        self.reporter.state()

    # -- closing -----------------------------------------------------------------------------
    def end(self, timeout: float) -> bool:
        """Have the actors handle what waits, then close the files; False where an actor did not end in time."""
        end = time.monotonic() + timeout
        self._supervisor.stop_starting()
        ended = True
        for child in self._children.values():
            if child.alive:
                child.stop()
        for child in self._children.values():
            if child.alive and not child.exited.wait(max(end - time.monotonic(), 0.01)):
                ended = False
        self._supervisor.end(max(end - time.monotonic(), 0.1))
        with suppress(OnewriterError):
            self._resources.release()
        return ended


def _redirect(job: QueryJob) -> None:
    cast(Any, job.future).redirect()
