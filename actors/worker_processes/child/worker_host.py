"""What runs in a worker process: one replica with its query actors, their supervisor, and what takes the
place of Sync.

The main thread opens it, serves the parent until the connection ends, and closes it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from actors.domain.specs import CompiledDomain
from actors.errors import described
from actors.kernel.actor import ActorKilled
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.supervisor import ActorSlot, Supervisor
from actors.queries.local_replica import LocalReplica
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from actors.queries.result_cache import result_cache
from actors.replication.placement import place_models
from actors.replication.replica_slot import open_slots
from actors.replication.skipped_events import SkippedEvents
from actors.settings import Settings
from actors.worker_processes.child.position_feed import PositionFeed, RemoteRebuildLock
from actors.worker_processes.child.query_server import QueryServerMailbox, redirect
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

LOCK_TIMEOUT = 20.0
"""Seconds that a worker waits for the one before it, which may not have ended yet, to unlock the replica."""


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
        """`config` is what the parent sent; opens nothing yet."""
        self._config = config
        self._domain = domain
        self._settings = settings
        self._control = control
        self._query_connections = query_connections
        self._resources = OpeningResources()
        self._actors: dict[str, ActorSlot] = {}

    # -- opening -----------------------------------------------------------------------------
    def open(self) -> None:
        """Open the log and the replica, and build the actors. Raises what that raises; nothing stays open
        then."""
        try:
            self._open()
        except BaseException:
            self._resources.roll_back()
            raise

    def _open(self) -> None:
        config, domain, settings = self._config, self._domain, self._settings
        name, path = config["replica"], config["path"]
        placed = place_models(domain.models, settings.replica_names)
        opened = self._resources.slot(LogFollower.close)
        opened.resource = self._log = log = LogFollower.open(
            path,
            domain.codec,
            map_size=settings.map_size,
            archives_path=settings.archives_path,
            inline=[model.schema for model in domain.models.values() if model.inline],
        )
        log.advance(config["head"])
        self._open_keys(config["keys"])
        self._skips = SkippedEvents.read(log)
        stores: dict[str, ReplicaStore] = {}
        slot = open_slots(
            config["replicas_path"],
            placed,
            domain,
            log,
            settings,
            self._skips,
            stores,
            self._resources,
            [name],
            LOCK_TIMEOUT,
        )[name]
        cache = result_cache(domain, settings.result_cache // settings.replicas)
        self.reporter = reporter = StatusReporter(self._control, slot, cache)
        models = [model for model, replicas in placed.items() if name in replicas]
        self._progress = ReportingProgress(log.head, name, models, reporter)
        mailbox = Mailbox()
        self._positions = PositionFeed(mailbox, log.head, reporter.send_handled)
        self._rebuild_lock = RemoteRebuildLock(reporter.send)
        query_codec = QueryCodec(domain.queries.values(), domain.codec)
        endpoints = [
            QueryEndpoint(
                f"{name}.query-{number}",
                name,
                QueryServerMailbox(connection, domain.codec, query_codec, cache),
                QueryStats(),
            )
            for number, connection in enumerate(self._query_connections, 1)
        ]
        self._replica = LocalReplica(
            slot,
            mailbox,
            endpoints,
            log=log,
            codec=domain.codec,
            progress=self._progress,
            stores=stores,
            cache=cache,
            report=self._positions.report,
            rebuild_lock=self._rebuild_lock,
            rebuild_share=settings.rebuild_share,
            redirect=redirect,
        )
        actors = [self._replica.replica_actor(self._exited), *self._replica.query_actors(self._exited)]
        self._actors.update((actor.name, actor) for actor in actors)
        self._supervisor = Supervisor("supervisor", self._actors, self._run_maintenance)

    def _open_keys(self, keys: list[Any] | None) -> None:
        """Have personal fields read with the parent's keys."""
        if keys is None:
            return
        from storage.crypto.key_store import KeyStore
        from storage.crypto.keyring import Keyring

        path, store_key = keys
        opened = self._resources.slot(Keyring.close)
        opened.resource = keyring = Keyring(KeyStore.open(path, store_key, readonly=True), readonly=True)
        self._domain.codec.seal_with(keyring)

    def start(self) -> None:
        """Say that the replica is open, then start the actors."""
        running = self._replica.slot.projector.checkpoints()
        self.reporter.send(protocol.HELLO, self.reporter.describe(), self.reporter.positions(running))
        self._supervisor.begin()

    # -- serving the parent: the main thread -------------------------------------------------
    def serve(self, bodies: list[bytes]) -> bool:
        """Do what the parent sends until it sends a stop; False if its connection ended before."""
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
            received = self._control.receive()
            if received is None:
                return False
            bodies = received

    def _send_pong(self, number: int) -> None:
        """Say that this process runs, and what the replica's thread is at: it may hang for all the parent
        knows."""
        work = self._replica.current_event()
        described = None if work is None else (*work[:-1], time.monotonic() - work.since)
        self.reporter.send(protocol.PONG, number, described)

    def _handle_request(self, number: int, what: str, argument: Any) -> None:
        if what == protocol.BUILD:
            self._send_done_after(number, self._replica.start_build(argument))
        elif what == protocol.RESUME:
            self._skips.read_again(self._log)
            self._send_done_after(number, self._replica.resume())
        elif what == protocol.RESET:
            self._replica.mark_damaged(self._replica.slot.store, argument)
            self.reporter.send(protocol.DONE, number, None, None)
        elif what == protocol.DUMP:
            threading.Thread(target=self._dump, args=(number, argument), daemon=True).start()

    def _send_done_after(self, number: int, reply: Reply[None]) -> None:
        reply.add_done_callback(lambda done: self._send_done(number, done.exception()))

    def _send_done(self, number: int, error: BaseException | None) -> None:
        # A caller that waits for it has to see what it did.
        self.reporter.send_state()
        packed = None if error is None else pack_error(error, self._domain.codec)
        self.reporter.send(protocol.DONE, number, packed, None)

    def _dump(self, number: int, model: str) -> None:
        try:
            rows = self._domain.codec.pack(self._replica.slot.store.dump(model))
        except OnewriterError as error:
            self._send_done(number, error)
        else:
            self.reporter.send(protocol.DONE, number, None, rows)

    # -- supervision -------------------------------------------------------------------------
    def _exited(self, name: str, error: BaseException | None) -> None:
        self._supervisor.actor_exited(name, error)
        if error is not None and not isinstance(error, ActorKilled):
            self.reporter.send(protocol.EXITED, name, described(error))

    def _run_maintenance(self) -> None:
        """The supervisor's thread, at every tick."""
        self._replica.run_maintenance()
        self.reporter.send_state()

    # -- closing -----------------------------------------------------------------------------
    def end(self, timeout: float) -> bool:
        """Have the actors handle what waits, then close the files; False if an actor did not end in time."""
        end = time.monotonic() + timeout
        self._supervisor.stop_starting()
        ended = True
        for actor in self._actors.values():
            if actor.alive:
                actor.stop()
        for actor in self._actors.values():
            if actor.alive and not actor.exited.wait(max(end - time.monotonic(), 0.01)):
                ended = False
        self._supervisor.end(max(end - time.monotonic(), 0.1))
        with suppress(OnewriterError):
            self._resources.release()
        return ended
