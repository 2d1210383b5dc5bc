"""What lives in a worker process: a replica, its query actors, their supervisor, and what stands for sync and the writer.

The main thread opens it, hears the parent until the line ends, and closes it.
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
from actors.replication.read_replica import BeginAnew, ReadReplica, Resume, RetryStopped, StartBuild
from actors.replication.replica_slot import ReplicaHome, open_homes
from actors.replication.skipped_events import Skips, noted
from actors.settings import Settings
from actors.worker_processes.child.position_feed import FarTurns, Positions
from actors.worker_processes.child.query_server import Inbox
from actors.worker_processes.child.status_reporter import Teller
from actors.worker_processes.parent.remote_progress import ToldProgress
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Line
from actors.worker_processes.wire.query_codec import Questions
from storage import OnewriterError, ReplicaStore
from storage.files.opening_resources import Taken
from storage.log.log_follower import LogFollower

__all__ = ["Residence"]

FILES_CHECK_EVERY = 1.0
REPLICAS = "replicas"

LOCKED_FOR = 20.0
"""Seconds that a worker waits for one before it, which may not have ended yet, to let the replica go."""


class Residence:
    """One replica and its actors in this process."""

    def __init__(
        self,
        config: dict[str, Any],
        domain: CompiledDomain,
        settings: Settings,
        control: Line,
        questions: list[Line],
    ) -> None:
        self.name: str = config["replica"]
        self._config = config
        self._domain = domain
        self._settings = settings
        self._control = control
        self._lines = questions
        self._taken = Taken()
        self._stores: dict[str, ReplicaStore] = {}
        size = settings.result_cache // settings.replicas
        cached = size and any(spec.cache for spec in domain.queries.values())
        self._cache = ResultCache(domain.codec, size) if cached else None
        self.teller = Teller(control, self._cache)
        self._children: dict[str, ActorSlot] = {}
        self._checked = time.monotonic()
        self._watch = ProjectionWatch()

    # -- opening -----------------------------------------------------------------------------
    def move_in(self) -> None:
        """Open the log and the replica. Raises what that does, and nothing stays open then."""
        config, domain, settings = self._config, self._domain, self._settings
        placed = place_models(domain.models, settings.replica_names)
        taken = self._taken
        try:
            inline = [model.schema for model in domain.models.values() if model.inline]
            opened = taken.room(LogFollower.close)
            opened.thing = log = LogFollower.open(
                config["path"], domain.codec, map_size=settings.map_size, inline=inline
            )
            log.advance(config["head"])
            self._log = log
            self._skips = Skips.read(log)
            folder = os.path.join(config["path"], REPLICAS)
            homes = open_homes(
                folder,
                placed,
                domain,
                log,
                settings,
                self._skips,
                self._stores,
                taken,
                [self.name],
                LOCKED_FOR,
            )
            self._home: ReplicaHome = homes[self.name]
        except BaseException:
            taken.undo()
            raise
        models = [name for name, replicas in placed.items() if self.name in replicas]
        self.teller.live_at(self._home)
        self._progress = ToldProgress(
            log.head, self.name, models, self.teller.say, self.teller.applied, self.teller.state
        )
        self._mailbox = Mailbox()
        self._turns = FarTurns(self.teller.say)
        self._positions = Positions(self._mailbox, log.head, self.teller.handled)
        self._supervisor = Supervisor("supervisor", self._children, self._tick)
        self._cast()

    def _cast(self) -> None:
        def start_replica(child: ActorSlot) -> Any:
            return ReadReplica.start(
                child.name,
                child.mailbox,
                self._exited,
                home=self._home,
                log=cast(Any, self._log),
                progress=self._progress,
                sync=cast(Any, self._positions),
                turns=cast(Any, self._turns),
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
                condemn=self._condemn,
                inline=self._log.inline_snapshot,
                codec=self._domain.codec,
                cache=self._cache,
            )

        self._children[self.name] = ActorSlot(self.name, self._mailbox, start_replica)
        questions = Questions(self._domain.queries.values(), self._domain.codec)
        for number, line in enumerate(self._lines, 1):
            name = f"{self.name}.query-{number}"
            inbox = Inbox(line, self._domain.codec, questions, self._cache)
            stats = QueryStats()
            self._children[name] = ActorSlot(name, inbox, partial(start_queries, stats=stats))

    def begin(self) -> None:
        """Say that the replica is open, then start the actors."""
        running = self._home.projector.checkpoints()
        self.teller.say(protocol.HELLO, self.teller.described(), self.teller.positions(running))
        self._supervisor.begin()

    # -- hearing the parent: the main thread -------------------------------------------------
    def hear(self, bodies: list[bytes]) -> bool:
        """Do what the parent says until it says stop; False if it is gone without a word."""
        while True:
            for body in bodies:
                word, *values = protocol.unpack(body)
                if word == protocol.COMMITTED:
                    self._log.advance(values[0])
                    self._progress.committed(values[0])
                    self._positions.committed(values[0])
                elif word == protocol.TURN:
                    self._turns.granted(values[0])
                elif word == protocol.ORDER:
                    self._carry_out(*values)
                elif word == protocol.PING:
                    self._answer(values[0])
                elif word == protocol.STOP:
                    return True
            heard = self._control.receive()
            if heard is None:
                return False
            bodies = heard

    def _answer(self, number: int) -> None:
        """Tell that this process runs, and what the replica's thread is at: that may hang for all the parent knows."""
        work = self._watch.now(self._home.projector)
        said = None if work is None else (*work[:-1], time.monotonic() - work.since)
        self.teller.say(protocol.PONG, number, said)

    def _carry_out(self, number: int, what: str, argument: Any) -> None:
        if what == protocol.BUILD:
            build = StartBuild(argument)
            build.future.add_done_callback(lambda future: self._done(number, future))
            self._mailbox.put(build)
        elif what == protocol.RESUME:
            for one in noted(self._log):
                self._skips.add(one.model, one.position)
            resume = Resume()
            resume.future.add_done_callback(lambda future: self._done(number, future))
            self._mailbox.put(resume)
        elif what == protocol.ANEW:
            self._condemn(self.name, self._home.store, argument)
            self.teller.say(protocol.DONE, number, None, None)
        elif what == protocol.DUMP:
            threading.Thread(target=self._dump, args=(number, argument), daemon=True).start()

    def _done(self, number: int, future: Any) -> None:
        error = future.exception()
        # Whoever waits for it is to see what it did.
        self.teller.state()
        said = None if error is None else pack_error(error, self._domain.codec)
        self.teller.say(protocol.DONE, number, said, None)

    def _dump(self, number: int, model: str) -> None:
        future: Reply[Any] = Reply()
        try:
            rows = self._domain.codec.pack(self._home.store.dump(model))
        except OnewriterError as error:
            future.set_exception(error)
            self._done(number, future)
        else:
            self.teller.say(protocol.DONE, number, None, rows)

    # -- supervision -------------------------------------------------------------------------
    def _exited(self, name: str, error: BaseException | None) -> None:
        self._supervisor.actor_exited(name, error)
        if error is not None and not isinstance(error, ActorKilled):
            self.teller.say(protocol.EXITED, name, described(error))

    def _condemn(self, name: str, store: ReplicaStore, reason: str) -> bool:
        """As `Runtime.condemn`. Any thread."""
        if self._home.condemn(store, reason, lambda: self._progress.leave_out(name)):
            self._mailbox.put(BeginAnew())
        return self._home.given_up(store)

    def _tick(self) -> None:
        """The supervisor's thread, at every tick."""
        projector = self._home.projector
        self._watch.look(projector)
        if any(run.failure is not None for run in (*projector.runs, *projector.building)):
            self._mailbox.put(RetryStopped())
        now = time.monotonic()
        if now - self._checked > FILES_CHECK_EVERY:
            self._checked = now
            store = self._home.store
            if self._home.condemned is None and (why := self._home.missing()) is not None:
                self._condemn(self.name, store, why)
        self.teller.state()

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
            self._taken.give_back()
        return ended


def _redirect(job: QueryJob) -> None:
    cast(Any, job.future).redirect()
