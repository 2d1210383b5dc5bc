"""The host of replicas that run in worker processes, one for each. Opened in the opener's thread."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from actors.domain.domain import Domain
from actors.domain.source_location import name_of
from actors.domain.specs import CompiledDomain
from actors.health import CacheHealth
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.running_calls import RunningCalls
from actors.kernel.supervisor import ActorSlot
from actors.queries.balancer import Balancer
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from actors.queries.result_cache import total_health
from actors.queries.session_token import SessionTokens
from actors.replication.current_event import CurrentEvent
from actors.replication.listeners import Listeners
from actors.replication.placement import models_on
from actors.replication.rebuild_lock import RebuildQueue
from actors.replication.replica_status import SnapshotSource
from actors.replication.row_damage import others_serve
from actors.settings import Settings
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.proxy_actors import ControlMailbox, QueryProxyActor, ReplicaProxyActor
from actors.worker_processes.parent.query_connection import QueryConnection
from actors.worker_processes.parent.query_dispatcher import RemoteQueryDispatcher
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot
from actors.worker_processes.parent.remote_store import RemoteStore
from actors.worker_processes.parent.status_receiver import StatusReceiver
from actors.worker_processes.parent.worker_handle import PING_EVERY, WorkerHandle
from actors.worker_processes.parent.worker_process import import_paths
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.domain_import import DomainLocation, fingerprints, locate_domain
from storage.files.opening_resources import OpeningResources
from storage.log.log_reader import LogReader

__all__ = ["WorkerPool"]

logger = logging.getLogger("onewriter.workers")


class WorkerPool:
    """The `ReplicaHost` of `workers="process"`: a `WorkerHandle` for each replica."""

    def __init__(
        self,
        path: str,
        replicas_path: str,
        location: DomainLocation,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: LogReader,
        calls: RunningCalls,
        listeners: Listeners,
    ) -> None:
        """For `open`: starts nothing."""
        self._domain = domain
        self._settings = settings
        self._log = log
        self._config = {
            "sys_path": import_paths(),
            "location": [location.module, location.attribute, list(location.modules)],
            "fingerprints": fingerprints(domain),
            "path": path,
            "replicas_path": replicas_path,
            "settings": asdict(replace(settings, master_key=None)),
            "keys": _keys_of(domain),
            "parent": os.getpid(),
            "switch_interval": sys.getswitchinterval(),
        }
        names = settings.replica_names
        self.progress = RemoteProgress(log.head, list(domain.models), names, placed)
        self.slots: dict[str, RemoteReplicaSlot] = {}
        self.stores: dict[str, RemoteStore] = {}
        self.workers: dict[str, WorkerHandle] = {}
        self.endpoints: list[QueryEndpoint] = []
        self.subscribers: Mapping[str, Mailbox] = {}
        """Empty: the workers are sent positions, and follow the log themselves."""
        self._actors: dict[str, ActorSlot] = {}
        rebuild_lock = RebuildQueue()
        connections: dict[str, QueryConnection] = {}
        for name in names:
            control = ControlClient(lambda: log.head)
            models = models_on(name, placed, domain)
            store = RemoteStore(
                os.path.join(replicas_path, name), models, domain.codec, settings.map_size, control
            )
            slot = RemoteReplicaSlot(name, store, models, control, log.moved)
            self.slots[name], self.stores[name] = slot, store
            slot.rows.others_serve = partial(others_serve, self.progress, name)
            of_replica = self._connections(name)
            connections |= of_replica
            receiver = StatusReceiver(
                slot,
                control,
                self.progress,
                rebuild_lock,
                domain.codec,
                restarted=self._note_restart,
                listeners=listeners.applied,
                call_slot=calls.slot("listener", f"on_applied of {name}", name_of),
            )
            self.workers[name] = WorkerHandle(
                slot,
                of_replica,
                control,
                self.progress,
                rebuild_lock,
                receiver,
                domain.codec,
                config=partial(self._config_of, name),
                reader_check=log.reader_check,
                limit=settings.worker_limit,
                ping_every=min(PING_EVERY, settings.worker_limit / 5, settings.busy_limit / 5),
            )
        self.dispatcher = RemoteQueryDispatcher(
            domain,
            self.progress,
            Balancer(self.endpoints),
            self.stores,
            SessionTokens(log.history_id, self.progress),
            slots=self.slots,
            endpoints=self.endpoints,
            connections=connections,
        )
        listeners.broadcast.append(self._on_committed)

    def _connections(self, replica: str) -> dict[str, QueryConnection]:
        """Those to the query actors of a replica, by their names."""
        found = {}
        for number in range(1, self._settings.query_actors + 1):
            actor, stats = f"{replica}.query-{number}", QueryStats()
            found[actor] = QueryConnection(
                replica,
                self._domain.codec,
                stats,
                self.progress,
                # When a job is redirected, there is a dispatcher.
                lambda job: self.dispatcher.redirect(job),
            )
            self.endpoints.append(QueryEndpoint(actor, replica, found[actor], stats))
        return found

    def _config_of(self, name: str) -> dict[str, Any]:
        """What a worker is sent before it opens its replica."""
        levels = {one: logging.getLogger(one).getEffectiveLevel() for one in ("", "onewriter")}
        return {
            **self._config,
            "replica": name,
            "history_id": self._log.history_id,
            "head": self._log.head,
            "levels": levels,
        }

    @classmethod
    def open(
        cls,
        path: str,
        replicas_path: str,
        source: Domain,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: LogReader,
        calls: RunningCalls,
        listeners: Listeners,
        resources: OpeningResources,
    ) -> WorkerPool:
        """Start a worker for each replica and wait until all have opened theirs; `resources` ends them.

        `path` is the store's, `replicas_path` the folder of the replicas.

        Raises `DomainError` for a domain that a worker can't import, or in whose place it finds another one,
        and what opening a replica raises.
        """
        pool = cls(
            path, replicas_path, locate_domain(source), domain, placed, settings, log, calls, listeners
        )
        resources.on_release(pool.end)
        for worker in pool.workers.values():
            worker.spawn()
        for name, worker in pool.workers.items():
            worker.wait_ready()
            # Known before the actors begin, so that the first query finds who is up to date.
            pool.progress.applied(name, worker.positions)
        return pool

    # -- actors ------------------------------------------------------------------------------
    def actors(self, exited: Callable[[str, BaseException | None], None]) -> dict[str, ActorSlot]:
        """As `ReplicaHost.actors`: the proxies of those in the workers."""

        def start_replica(actor: ActorSlot, worker: WorkerHandle) -> Any:
            return ReplicaProxyActor.start(actor.name, actor.mailbox, exited, handle=worker)

        def start_queries(actor: ActorSlot) -> Any:
            return QueryProxyActor.start(actor.name, actor.mailbox, exited)

        for name, worker in self.workers.items():
            start = partial(start_replica, worker=worker)
            self._actors[name] = ActorSlot(name, ControlMailbox(worker), start)
        for endpoint in self.endpoints:
            self._actors[endpoint.name] = ActorSlot(endpoint.name, endpoint.mailbox, start_queries)
        return dict(self._actors)

    def _note_restart(self, name: str, why: str) -> None:
        """An actor died in a worker, which restarts it."""
        actor = self._actors[name]
        actor.starts += 1
        actor.last_error = why

    def stop(self) -> None:
        """As `ReplicaHost.stop`: every worker, with its query actors."""
        for name, worker in self.workers.items():
            worker.closing = True
            actor = self._actors[name]
            if actor.alive:
                actor.stop()

    def end(self) -> None:
        """End all processes that are left, and close what views read from. The closer's thread."""
        for worker in self.workers.values():
            worker.closing = True
            worker.end()
        for store in self.stores.values():
            store.close()

    def forked(self) -> None:
        """As `ReplicaHost.forked`; closes the sockets, so that workers find their parent's end."""
        self.progress.forked = True
        for worker in self.workers.values():
            process = worker.process
            if process is not None:
                process.close()

    # -- what a replica is to do -------------------------------------------------------------
    def mark_damaged(self, replica: str, store: SnapshotSource, reason: str) -> bool:  # noqa: ARG002
        """As `ReplicaHost.mark_damaged`: the worker has the store."""
        return self.slots[replica].mark_damaged(reason, lambda: self.progress.exclude(replica))

    def start_build(self, replica: str, model: str) -> Reply[None]:
        """As `ReplicaHost.start_build`."""
        return self.workers[replica].control.request(protocol.BUILD, model)

    def resume(self, replica: str) -> Reply[None]:
        """As `ReplicaHost.resume`."""
        return self.workers[replica].control.request(protocol.RESUME, None)

    def _on_committed(self, first: int, last: int) -> None:  # noqa: ARG002
        """Send the log's last position to the workers. Sync's thread; never waits."""
        for worker in self.workers.values():
            worker.control.committed()

    def run_maintenance(self) -> None:
        """As `ReplicaHost.run_maintenance`: check that each worker answers; it maintains its own replica."""
        now = time.monotonic()
        before = self._unresponsive()
        for worker in self.workers.values():
            worker.check(now)
        unresponsive = self._unresponsive()
        self.dispatcher.pass_over_occupied(unresponsive)
        late = unresponsive - before
        if late and len(unresponsive) < len(self.workers):
            logger.warning("%s: no answer; others are asked meanwhile", ", ".join(sorted(late)))
            for name in late:
                self.workers[name].redirect_queries()

    def _unresponsive(self) -> set[str]:
        return {name for name, worker in self.workers.items() if worker.unresponsive}

    # -- how it is ---------------------------------------------------------------------------
    def current_event(self, replica: str) -> CurrentEvent | None:
        """As `ReplicaHost.current_event`."""
        return self.workers[replica].current_event

    def hindrance(self, replica: str) -> str:
        """As `ReplicaHost.hindrance`."""
        return self.workers[replica].hindrance

    def problem(self, replica: str) -> str | None:
        """As `ReplicaHost.problem`."""
        return self.workers[replica].problem

    def pid(self, replica: str) -> int | None:
        """As `ReplicaHost.pid`."""
        return self.workers[replica].pid

    def cache_health(self) -> CacheHealth | None:
        """As `ReplicaHost.cache_health`: the caches of all workers together."""
        return total_health([slot.cache for slot in self.slots.values() if slot.cache is not None])


def _keys_of(domain: CompiledDomain) -> list[Any] | None:
    """What a worker needs to read personal fields."""
    if domain.codec.sealer is None:
        return None
    from storage.crypto.keyring import Keyring

    assert isinstance(domain.codec.sealer, Keyring)
    store = domain.codec.sealer.store
    return [str(store.path), store.store_key]
