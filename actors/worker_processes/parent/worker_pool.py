"""The worker processes of one system, and the replicas that live in them, as its runtime uses them. The opener's thread."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.domain.domain import Domain
from actors.domain.source_location import name_of
from actors.domain.specs import CompiledDomain
from actors.errors import QueryTimeout
from actors.health import CacheHealth
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from actors.replication.rebuild_lock import RebuildLock
from actors.settings import Settings
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.proxy_actors import ControlMailbox, QueryProxyActor, ReplicaProxyActor
from actors.worker_processes.parent.query_connection import QueryConnection
from actors.worker_processes.parent.query_dispatcher import RemoteQueryDispatcher
from actors.worker_processes.parent.remote_progress import RemoteProgress
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot, RemoteStore
from actors.worker_processes.parent.worker_handle import WorkerHandle
from actors.worker_processes.parent.worker_process import import_paths
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.domain_import import DomainLocation, fingerprints, locate_domain
from storage import EventLog
from storage.files.opening_resources import OpeningResources

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["WorkerPool"]

logger = logging.getLogger("onewriter.workers")

PING_EVERY = 1.0
"""Seconds after which a worker is asked again whether it runs, or fewer where a limit is low."""

DUMP_TIMEOUT = 60.0
"""Seconds that a worker may take to give all rows of a model."""


class WorkerPool:
    """All workers. `slots` and `stores` stand for those of the replicas."""

    progress_class = RemoteProgress
    gateway_class = RemoteQueryDispatcher

    def __init__(
        self,
        path: str,
        folder: str,
        location: DomainLocation,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: EventLog,
    ) -> None:
        self._domain = domain
        self._settings = settings
        self._placed = placed
        self._log = log
        self.slots: dict[str, RemoteReplicaSlot] = {}
        self.stores: dict[str, RemoteStore] = {}
        self.workers: dict[str, WorkerHandle] = {}
        self.endpoints: list[QueryEndpoint] = []
        self._control: dict[str, ControlClient] = {}
        self._config = {
            "sys_path": import_paths(),
            "location": [location.module, location.attribute, list(location.modules)],
            "fingerprints": fingerprints(domain),
            "path": path,
            "settings": asdict(settings),
            "parent": os.getpid(),
            "switch_interval": sys.getswitchinterval(),
        }
        for name in settings.replica_names:
            self._add(name, folder)

    def _add(self, name: str, folder: str) -> None:
        domain = self._domain
        models = [
            version
            for model in domain.models.values()
            if name in self._placed[model.name]
            for version in (model, *domain.old_models.get(model.name, ()))
        ]
        control = self._control[name] = ControlClient(lambda: self._log.head)
        store = RemoteStore(
            os.path.join(folder, name),
            models,
            domain.codec,
            self._settings.map_size,
            partial(self._dump, name, control),
        )
        slot = RemoteReplicaSlot(name, store, models, control, self._log.moved)
        connections = {}
        for number in range(1, self._settings.query_actors + 1):
            stats = QueryStats()
            actor = f"{name}.query-{number}"
            connections[actor] = QueryConnection(name, domain.codec, stats)
            self.endpoints.append(QueryEndpoint(actor, name, connections[actor], stats))
        self.slots[name], self.stores[name] = slot, store
        settings = self._settings
        every = min(PING_EVERY, settings.worker_limit / 5, settings.busy_limit / 5)
        self.workers[name] = WorkerHandle(
            name, slot, connections, domain.codec, partial(self._hello, name), settings.worker_limit, every
        )

    def _hello(self, name: str) -> dict[str, Any]:
        """What a worker is told before it opens its replica."""
        levels = {one: logging.getLogger(one).getEffectiveLevel() for one in ("", "onewriter")}
        return {
            **self._config,
            "replica": name,
            "history_id": self._log.history_id,
            "head": self._log.head,
            "levels": levels,
        }

    def _dump(self, name: str, control: ControlClient, model: str) -> dict[str, list[dict[str, Any]]]:
        try:
            data = control.request(protocol.DUMP, model).result(DUMP_TIMEOUT)
        except TimeoutError:
            raise QueryTimeout(
                f"{name} did not give the rows of {model!r} within {DUMP_TIMEOUT:g} s; look at health() what its "
                "process is busy with, and dump it again"
            ) from None
        return self._domain.codec.unpack(data)  # type: ignore[no-any-return]

    @classmethod
    def open(
        cls,
        path: str,
        folder: str,
        source: Domain,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: EventLog,
        resources: OpeningResources,
    ) -> WorkerPool:
        """Start a worker for each replica and wait until all have opened theirs; `resources` ends them.

        Raises `DomainError` for a domain that a worker can't import or that it finds another one in location of, and
        what opening a replica does.
        """
        crew = cls(path, folder, locate_domain(source), domain, placed, settings, log)
        resources.on_release(crew.end)
        for handle in crew.workers.values():
            handle.spawn()
        for handle in crew.workers.values():
            handle.wait_ready()
        return crew

    def join(self, runtime: Runtime) -> None:
        """Before the actors begin."""
        self._runtime = runtime
        progress, reads = runtime.progress, runtime.reads
        assert isinstance(progress, RemoteProgress)
        assert isinstance(reads, RemoteQueryDispatcher)
        reads.far(self.slots, self.endpoints)
        rebuild_lock = RebuildLock()
        for name, handle in self.workers.items():
            handle.join(
                progress,
                self._control[name],
                rebuild_lock,
                lambda actor, why: _restarted(runtime.children[actor], why),
                self._log.reader_check,
                runtime.applied_listeners,
                runtime.calls.slot("listener", f"on_applied of {name}", name_of),
            )
            for connection in handle.connections.values():
                connection.join(progress, runtime.reads.redirect)
        runtime.broadcast_listeners.append(self.committed)

    def committed(self, first: int, last: int) -> None:  # noqa: ARG002
        """Tell the workers. Sync's thread; never waits."""
        for control in self._control.values():
            control.committed()

    def check(self) -> None:
        """See that every worker answers; others get what one does not. The supervisor's thread."""
        now = time.monotonic()
        unresponsive = self.unresponsive()
        for handle in self.workers.values():
            handle.check(now)
        late = self.unresponsive() - unresponsive
        if late and len(unresponsive | late) < len(self.workers):
            logger.warning("%s: no answer; others are asked meanwhile", ", ".join(sorted(late)))
            self._runtime.maintenance.mark_occupied()
            for name in late:
                self.workers[name].redirect_queries()

    def unresponsive(self) -> set[str]:
        """The replicas whose workers do not answer."""
        return {name for name, handle in self.workers.items() if handle.unresponsive}

    def children(
        self,
        exited: Callable[[str, BaseException | None], None],
        replica_exited: Callable[[str, BaseException | None], None],
    ) -> dict[str, ActorSlot]:
        """The stand-ins, not yet started."""

        def start(child: ActorSlot, handle: WorkerHandle) -> Any:
            return ReplicaProxyActor.start(child.name, child.mailbox, replica_exited, handle=handle)

        children = {}
        for name, handle in self.workers.items():
            children[name] = ActorSlot(name, ControlMailbox(handle), partial(start, handle=handle))
        for handle in self.workers.values():
            for name, connection in handle.connections.items():
                children[name] = ActorSlot(
                    name, connection, lambda child: QueryProxyActor.start(child.name, child.mailbox, exited)
                )
        return children

    def cache(self) -> CacheHealth | None:
        """The result caches of all workers together."""
        caches = [slot.cache for slot in self.slots.values() if slot.cache is not None]
        if not caches:
            return None
        hits, misses = sum(one.hits for one in caches), sum(one.misses for one in caches)
        return CacheHealth(
            hits,
            misses,
            round(hits / (hits + misses), 4) if hits + misses else 0.0,
            sum(one.entries for one in caches),
            sum(one.bytes for one in caches),
            sum(one.max_bytes for one in caches),
            sum(one.uncacheable for one in caches),
        )

    # -- ending ------------------------------------------------------------------------------
    def stop(self) -> None:
        """Ask every worker to end, so that they do so at the same time."""
        for name, handle in self.workers.items():
            handle.closing = True
            self._control[name].send(protocol.STOP)

    def end(self) -> None:
        """Do away with all that are left, and with what views read from. The closer's thread."""
        for handle in self.workers.values():
            handle.closing = True
            handle.end()
        for store in self.stores.values():
            store.close()

    def forked(self) -> None:
        """In a forked child: give the lines back, so that workers find their parent's end."""
        for handle in self.workers.values():
            process = handle.process
            if process is not None:
                process.close()


def _restarted(child: ActorSlot, why: str) -> None:
    """An actor died in a worker, which has it back by itself."""
    child.starts += 1
    child.last_error = why
