"""The host of replicas that run in threads of this process. Opened in the opener's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from actors.domain.source_location import name_of
from actors.domain.specs import CompiledDomain
from actors.health import CacheHealth
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.running_calls import RunningCalls
from actors.kernel.supervisor import ActorSlot
from actors.queries.balancer import Balancer
from actors.queries.local_replica import LocalReplica
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from actors.queries.result_cache import result_cache
from actors.queries.session_token import SessionTokens
from actors.replication.current_event import CurrentEvent
from actors.replication.listeners import Listeners
from actors.replication.placement import projects_once
from actors.replication.progress import Progress
from actors.replication.rebuild_lock import RebuildQueue
from actors.replication.replica_slot import ReplicaSlot, open_slots
from actors.replication.replica_status import SnapshotSource
from actors.replication.replica_turns import ReplicaTurns
from actors.replication.row_damage import others_serve
from actors.replication.skipped_events import SkippedEvents
from actors.settings import Settings
from storage import ReplicaStore
from storage.files.opening_resources import OpeningResources
from storage.log.log_reader import LogReader

__all__ = ["LocalReplicas"]


class LocalReplicas:
    """The `ReplicaHost` of `workers="thread"`."""

    def __init__(
        self,
        slots: Mapping[str, ReplicaSlot],
        stores: Mapping[str, ReplicaStore],
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: LogReader,
        sync: Mailbox,
        calls: RunningCalls,
        listeners: Listeners,
    ) -> None:
        """For `open`."""
        self.slots = slots
        self.stores = stores
        self.progress = Progress(log.head, list(domain.models), list(slots), placed)
        endpoints = {
            name: [
                QueryEndpoint(f"{name}.query-{number}", name, Mailbox(), QueryStats())
                for number in range(1, settings.query_actors + 1)
            ]
            for name in slots
        }
        self.endpoints = [one for of_replica in endpoints.values() for one in of_replica]
        self._cache = result_cache(domain, settings.result_cache)
        self.dispatcher = QueryDispatcher(
            domain,
            self.progress,
            Balancer(self.endpoints),
            stores,
            SessionTokens(log.history_id, self.progress),
            cache=self._cache,
        )
        self.subscribers = {name: Mailbox() for name in slots}
        rebuild_lock = RebuildQueue()
        # SQLite's statements run without the interpreter, so replicas with such models are left alone.
        in_turn = all(model.schema.engine != "sqlite" for model in domain.models.values())
        turns = ReplicaTurns() if in_turn else None
        self._replicas = {
            name: LocalReplica(
                slot,
                self.subscribers[name],
                endpoints[name],
                log=log,
                codec=domain.codec,
                progress=self.progress,
                stores=stores,
                cache=self._cache,
                report=sync.put,
                rebuild_lock=rebuild_lock,
                rebuild_share=settings.rebuild_share,
                redirect=self.dispatcher.redirect,
                turns=turns,
                listeners=listeners.applied,
                call_slot=calls.slot("listener", f"on_applied of {name}", name_of),
            )
            for name, slot in slots.items()
        }
        for name, slot in slots.items():
            # Known before the replicas' threads begin, so that the first query finds who is up to date.
            self.progress.applied(name, slot.projector.checkpoints())
            slot.rows.others_serve = partial(others_serve, self.progress, name)
        self._actors: dict[str, ActorSlot] = {}
        self._closing_files = False

    @classmethod
    def open(
        cls,
        replicas_path: str,
        domain: CompiledDomain,
        placed: Mapping[str, Sequence[str]],
        settings: Settings,
        log: LogReader,
        skips: SkippedEvents,
        sync: Mailbox,
        calls: RunningCalls,
        listeners: Listeners,
        resources: OpeningResources,
    ) -> LocalReplicas:
        """Open or make the replicas' files in the folder `replicas_path`; `resources` closes them. `sync`
        gets what the replicas have applied.

        Raises what opening a replica does.
        """
        stores: dict[str, ReplicaStore] = {}
        slots = open_slots(
            replicas_path,
            placed,
            domain,
            log,
            settings,
            skips,
            stores,
            resources,
            share_changes=projects_once(settings, domain),
        )
        host = cls(slots, stores, domain, placed, settings, log, sync, calls, listeners)
        # Before the files are closed: what is noted last is released first.
        resources.on_release(host._begin_closing_files)
        return host

    # -- actors ------------------------------------------------------------------------------
    def actors(self, exited: Callable[[str, BaseException | None], None]) -> dict[str, ActorSlot]:
        """As `ReplicaHost.actors`."""

        def replica_exited(name: str, error: BaseException | None) -> None:
            # The replica's own thread may come back from a projection when all files but its own are closed.
            exited(name, error)
            if self._closing_files:
                self.slots[name].close()

        self._actors = {name: one.replica_actor(replica_exited) for name, one in self._replicas.items()}
        queries = [actor for one in self._replicas.values() for actor in one.query_actors(exited)]
        return self._actors | {actor.name: actor for actor in queries}

    def stop(self) -> None:
        """As `ReplicaHost.stop`."""
        for actor in self._actors.values():
            if actor.alive:
                actor.stop()

    def _begin_closing_files(self) -> None:
        self._closing_files = True

    def forked(self) -> None:
        """As `ReplicaHost.forked`."""
        self.progress.forked = True

    # -- what a replica is to do -------------------------------------------------------------
    def mark_damaged(self, replica: str, store: SnapshotSource, reason: str) -> bool:
        """As `ReplicaHost.mark_damaged`."""
        return self._replicas[replica].mark_damaged(store, reason)

    def start_build(self, replica: str, model: str) -> Reply[None]:
        """As `ReplicaHost.start_build`."""
        return self._replicas[replica].start_build(model)

    def resume(self, replica: str) -> Reply[None]:
        """As `ReplicaHost.resume`."""
        return self._replicas[replica].resume()

    def run_maintenance(self) -> None:
        """As `ReplicaHost.run_maintenance`."""
        for one in self._replicas.values():
            one.run_maintenance()
        self.dispatcher.pass_over_occupied()

    # -- how it is ---------------------------------------------------------------------------
    def current_event(self, replica: str) -> CurrentEvent | None:
        """As `ReplicaHost.current_event`."""
        return self._replicas[replica].current_event()

    def hindrance(self, replica: str) -> str:  # noqa: ARG002
        """Nothing: its thread is there whenever this process runs."""
        return ""

    def problem(self, replica: str) -> str | None:  # noqa: ARG002
        """None: health says of an actor that it is down, and of a replica that it is being filled."""
        return None

    def pid(self, replica: str) -> int | None:  # noqa: ARG002
        """None: it is in this process."""
        return None

    def cache_health(self) -> CacheHealth | None:
        """As `ReplicaHost.cache_health`."""
        return None if self._cache is None else self._cache.health()
