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
from actors.replication.rebuild_lock import Turns
from actors.settings import Settings
from actors.worker_processes.parent.control_client import Orders
from actors.worker_processes.parent.proxy_actors import ControlMailbox, WorkerQueries, WorkerReplica
from actors.worker_processes.parent.query_client import FarGateway
from actors.worker_processes.parent.query_connection import Channel
from actors.worker_processes.parent.remote_progress import FarProgress
from actors.worker_processes.parent.remote_replica import FarHome, FarStore
from actors.worker_processes.parent.worker_handle import Station
from actors.worker_processes.parent.worker_process import import_paths
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.domain_import import Whereabouts, fingerprints, whereabouts
from storage import EventLog
from storage.files.opening_resources import Taken

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["Crew"]

logger = logging.getLogger("onewriter.workers")

ASKED_EVERY = 1.0
"""Seconds after which a worker is asked again whether it runs, or fewer where a limit is low."""

DUMPED_WITHIN = 60.0
"""Seconds that a worker may take to give all rows of a model."""


class Crew:
    """All stations. `homes` and `stores` stand for those of the replicas."""

    progress_class = FarProgress
    gateway_class = FarGateway

    def __init__(
        self,
        path: str,
        folder: str,
        place: Whereabouts,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: EventLog,
    ) -> None:
        self._domain = domain
        self._settings = settings
        self._placed = placed
        self._log = log
        self.homes: dict[str, FarHome] = {}
        self.stores: dict[str, FarStore] = {}
        self.stations: dict[str, Station] = {}
        self.endpoints: list[QueryEndpoint] = []
        self._orders: dict[str, Orders] = {}
        self._config = {
            "sys_path": import_paths(),
            "place": [place.module, place.attribute, list(place.modules)],
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
        orders = self._orders[name] = Orders(lambda: self._log.head)
        store = FarStore(
            os.path.join(folder, name),
            models,
            domain.codec,
            self._settings.map_size,
            partial(self._dump, name, orders),
        )
        home = FarHome(name, store, models, orders, self._log.moved)
        channels = {}
        for number in range(1, self._settings.query_actors + 1):
            stats = QueryStats()
            actor = f"{name}.query-{number}"
            channels[actor] = Channel(name, domain.codec, stats)
            self.endpoints.append(QueryEndpoint(actor, name, channels[actor], stats))
        self.homes[name], self.stores[name] = home, store
        settings = self._settings
        every = min(ASKED_EVERY, settings.worker_limit / 5, settings.busy_limit / 5)
        self.stations[name] = Station(
            name, home, channels, domain.codec, partial(self._told, name), settings.worker_limit, every
        )

    def _told(self, name: str) -> dict[str, Any]:
        """What a worker is told before it opens its replica."""
        levels = {one: logging.getLogger(one).getEffectiveLevel() for one in ("", "onewriter")}
        return {
            **self._config,
            "replica": name,
            "history_id": self._log.history_id,
            "head": self._log.head,
            "levels": levels,
        }

    def _dump(self, name: str, orders: Orders, model: str) -> dict[str, list[dict[str, Any]]]:
        try:
            data = orders.give(protocol.DUMP, model).result(DUMPED_WITHIN)
        except TimeoutError:
            raise QueryTimeout(
                f"{name} did not give the rows of {model!r} within {DUMPED_WITHIN:g} s; look at health() what its "
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
        taken: Taken,
    ) -> Crew:
        """Start a worker for each replica and wait until all have opened theirs; `taken` ends them.

        Raises `DomainError` for a domain that a worker can't import or that it finds another one in place of, and
        what opening a replica does.
        """
        crew = cls(path, folder, whereabouts(source), domain, placed, settings, log)
        taken.note(crew.end)
        for station in crew.stations.values():
            station.spawn()
        for station in crew.stations.values():
            station.settle()
        return crew

    def join(self, runtime: Runtime) -> None:
        """Before the actors begin."""
        self._runtime = runtime
        progress, reads = runtime.progress, runtime.reads
        assert isinstance(progress, FarProgress)
        assert isinstance(reads, FarGateway)
        reads.far(self.homes, self.endpoints)
        turns = Turns()
        for name, station in self.stations.items():
            station.join(
                progress,
                self._orders[name],
                turns,
                lambda actor, why: _restarted(runtime.children[actor], why),
                self._log.reader_check,
                runtime.applied_listeners,
                runtime.calls.slot("listener", f"on_applied of {name}", name_of),
            )
            for channel in station.channels.values():
                channel.join(progress, runtime.reads.redirect)
        runtime.broadcast_listeners.append(self.committed)

    def committed(self, first: int, last: int) -> None:  # noqa: ARG002
        """Tell the workers. Sync's thread; never waits."""
        for orders in self._orders.values():
            orders.committed()

    def look(self) -> None:
        """See that every worker answers; others get what one does not. The supervisor's thread."""
        now = time.monotonic()
        unanswering = self.unanswering()
        for station in self.stations.values():
            station.look(now)
        late = self.unanswering() - unanswering
        if late and len(unanswering | late) < len(self.stations):
            logger.warning("%s: no answer; others are asked meanwhile", ", ".join(sorted(late)))
            self._runtime.maintenance.mark_occupied()
            for name in late:
                self.stations[name].move_on()

    def unanswering(self) -> set[str]:
        """The replicas whose workers do not answer."""
        return {name for name, station in self.stations.items() if station.unanswering}

    def children(
        self,
        exited: Callable[[str, BaseException | None], None],
        replica_exited: Callable[[str, BaseException | None], None],
    ) -> dict[str, ActorSlot]:
        """The stand-ins, not yet started."""

        def start(child: ActorSlot, station: Station) -> Any:
            return WorkerReplica.start(child.name, child.mailbox, replica_exited, station=station)

        children = {}
        for name, station in self.stations.items():
            children[name] = ActorSlot(name, ControlMailbox(station), partial(start, station=station))
        for station in self.stations.values():
            for name, channel in station.channels.items():
                children[name] = ActorSlot(
                    name, channel, lambda child: WorkerQueries.start(child.name, child.mailbox, exited)
                )
        return children

    def cache(self) -> CacheHealth | None:
        """The result caches of all workers together."""
        caches = [home.cache for home in self.homes.values() if home.cache is not None]
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
        for name, station in self.stations.items():
            station.closing = True
            self._orders[name].say(protocol.STOP)

    def end(self) -> None:
        """Do away with all that are left, and with what views read from. The closer's thread."""
        for station in self.stations.values():
            station.closing = True
            station.end()
        for store in self.stores.values():
            store.close()

    def forked(self) -> None:
        """In a forked child: give the lines back, so that workers find their parent's end."""
        for station in self.stations.values():
            process = station.process
            if process is not None:
                process.close()


def _restarted(child: ActorSlot, why: str) -> None:
    """An actor died in a worker, which has it back by itself."""
    child.starts += 1
    child.last_error = why
