"""What a running system is made of, put together and taken apart in order. Callers' threads only."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from actors.domain.domain import Domain
from actors.domain.specs import CompiledDomain
from actors.errors import CommitUncertain, ConsistencyTimeout, ModelStopped, SystemClosed
from actors.health import Health
from actors.kernel.delivery_marks import MARKS_FILE, DeliveryMarks, owner_of
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import RunningCalls
from actors.kernel.supervisor import ActorSlot, Supervisor
from actors.kernel.thread_pool import ThreadPool
from actors.process_managers.registry import ProcessManagers
from actors.queries.balancer import Balancer
from actors.queries.cache import ResultCache
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint, QueryStats
from actors.queries.session_token import Tokens
from actors.queries.view_registry import ViewRegistry
from actors.replication.placement import check_queries, place_models
from actors.replication.progress import Progress
from actors.replication.read_replica import ResetReplica
from actors.replication.replica_slot import ReplicaSlot, open_slots
from actors.replication.row_damage import others_serve
from actors.replication.skipped_events import SkippedEvents
from actors.runtime.actor_tree import build_actors
from actors.runtime.health_report import build_health
from actors.runtime.maintenance import Maintenance
from actors.runtime.monitor import Monitor
from actors.settings import Settings
from actors.subscriptions.consumer_registry import Consumers
from actors.writer.command_client import CommandClient
from actors.writer.inline_models import fill
from actors.writer.writer_state import WriterState
from storage import EventLog, ReplicaStore
from storage.files.opening_resources import OpeningResources

if TYPE_CHECKING:
    from actors.worker_processes.parent.worker_pool import WorkerPool

__all__ = ["Runtime"]

logger = logging.getLogger("onewriter.runtime")

REPLICAS = "replicas"
"""The folder of the replicas' environments, in the store's directory beside the log."""
QUERIES_WAITING = 10_000
START_TIMEOUT = 30.0
CLOSE_TIMEOUT = 5.0
"""Seconds that the actors of a system that could not be opened have to end."""


class Runtime:
    """The files, the shared monitors and the actors of one open system."""

    def __init__(
        self,
        path: str,
        source: Domain,
        domain: CompiledDomain,
        settings: Settings,
        log: EventLog,
        slots: dict[str, ReplicaSlot],
        stores: MutableMapping[str, ReplicaStore],
        skips: SkippedEvents,
        resources: OpeningResources,
        crew: WorkerPool | None = None,
    ) -> None:
        self.path = path
        self.source = source
        self.domain = domain
        self.settings = settings
        self.log = log
        self.slots = slots
        self.stores = stores
        self.skips = skips
        self.crew = crew
        self._resources = resources
        self._stopped = False
        self._pool = ThreadPool("onewriter-middleware")
        self._closing_files = False
        self.committed_listeners: list[Callable[[int, int], None]] = []
        self.broadcast_listeners: list[Callable[[int, int], None]] = []
        self.applied_listeners: list[Callable[[str, int, float], None]] = []
        placed = place_models(domain.models, list(slots))
        kind = Progress if crew is None else crew.progress_class
        self.progress = kind(log.head, list(domain.models), list(slots), placed)
        self.calls = RunningCalls()
        self.desk = WriterState()
        self.calls.add(self.desk.callbacks)
        self.progress.on_wait = self.desk.notifier.flush_now
        for name, slot in slots.items():
            # Known before the replicas' threads begin, so that the first query finds who is up to date.
            self.progress.applied(name, slot.projector.checkpoints())
            slot.rows.others_serve = partial(others_serve, self.progress, name)
        self.query_endpoints = (
            crew.endpoints
            if crew is not None
            else [
                QueryEndpoint(f"{name}.query-{number}", name, Mailbox(), QueryStats())
                for name in stores
                for number in range(1, settings.query_actors + 1)
            ]
        )
        self.children: dict[str, ActorSlot] = {}
        self.writes = CommandClient(
            domain,
            log,
            Mailbox(settings.mailbox_size),
            self._pool,
            self._deciding,
            self.calls,
            self.progress,
        )
        self.marks = DeliveryMarks(log.path, lambda: not log.moved(), self._mark_owners)
        self.consumers = Consumers(log, self.progress, self.writes, self.calls, self.marks)
        self.processes = ProcessManagers(
            domain, log, self.writes, self.progress, self.calls, settings.busy_limit, self.marks
        )
        self.monitor = Monitor(self)
        if self.processes.handles:
            self.committed_listeners.append(self.processes.wake)
        self.balancer = Balancer(self.query_endpoints)
        cached = (
            crew is None and settings.result_cache and any(spec.cache for spec in domain.queries.values())
        )
        self.cache = ResultCache(domain.codec, settings.result_cache) if cached else None
        tokens = Tokens(log.history_id, self.progress)
        self.reads = (QueryDispatcher if crew is None else crew.gateway_class)(
            domain,
            self.progress,
            self.balancer,
            stores,
            QUERIES_WAITING,
            tokens,
            self.cache,
        )
        self.views = ViewRegistry(
            domain, self.reads, self.progress, stores, log.inline_snapshot, self.mark_damaged, log.moved
        )
        self.reads.why_not = self.monitor.why_not
        self.maintenance = Maintenance(self)
        self.supervisor = Supervisor("supervisor", self.children, self.maintenance.run)
        if crew is not None:
            crew.join(self)
        self.children.update(build_actors(self, self._replica_exited))

    @classmethod
    def open(cls, path: str, source: Domain, settings: Settings, resources: OpeningResources) -> Runtime:
        """Open or make the files and start the actors, noting in `resources` what that takes.

        Whatever is raised, the caller has `resources` give all of it back.
        """
        domain = source.compile()
        domain.codec.max_bytes = settings.max_message_bytes
        placed = place_models(domain.models, settings.replica_names)
        check_queries(domain, placed)
        # Until the actors begin, nobody else reads it.
        opened = resources.slot(EventLog.abandon)
        opened.resource = log = EventLog.open(
            path,
            domain.codec,
            map_size=settings.map_size,
            siblings=[REPLICAS, MARKS_FILE],
            verify_bytes=settings.verify_bytes,
            inline=[model.schema for model in domain.models.values() if model.inline],
        )
        skips = SkippedEvents.read(log)
        fill(log, domain, skips)
        stores: dict[str, ReplicaStore] = {}
        folder = os.path.join(path, REPLICAS)
        crew: WorkerPool | None = None
        slots: dict[str, ReplicaSlot]
        if settings.workers == "process":
            from actors.worker_processes.parent.worker_pool import WorkerPool

            crew = WorkerPool.open(path, folder, source, domain, placed, settings, log, resources)
            # What the workers say of theirs, in the same shape.
            slots, stores = cast(Any, crew.slots), cast(Any, crew.stores)
        else:
            slots = open_slots(folder, placed, domain, log, settings, skips, stores, resources)
        runtime = cls(path, source, domain, settings, log, slots, stores, skips, resources, crew)
        opened.release_with = EventLog.close
        # Ctrl-C comes here, too: no actor may go on with files that are closed.
        resources.on_release(partial(runtime._stop, CLOSE_TIMEOUT))
        runtime._start()
        return runtime

    def _deciding(self) -> bool:
        return self.desk.activity is not None

    # -- actors ------------------------------------------------------------------------------
    def _start(self) -> None:
        self.supervisor.begin()
        if not self.supervisor.wait_started(START_TIMEOUT):
            raise SystemClosed(
                f"the actors of {self.path} did not start within {START_TIMEOUT:g} s; see the log"
            )

    # -- closing -----------------------------------------------------------------------------
    def waits_for(self, thread: int) -> bool:
        """Whether closing waits for the thread with this identifier, unless that is the one that asked for it."""
        return self._pool.has(thread) or self.consumers.has(thread)

    def close(self, timeout: float, asker: int) -> None:
        """Stop process managers, writer, sync, replicas, query actors and supervisor, in that order, then close the files.

        `asker` identifies the thread that waits for this. Interrupted, or without memory, it goes on when it is called again.
        """
        self._stop(timeout, asker)
        self._resources.release()

    def _stop(self, timeout: float, asker: int = 0) -> None:
        if self._stopped:
            return
        end = time.monotonic() + timeout
        self.consumers.close(timeout, asker)
        self.supervisor.stop_starting()
        order = [
            *self.processes.names,
            "command-handler",
            "sync",
            *self.stores,
            *(endpoint.name for endpoint in self.query_endpoints),
        ]
        stuck = []
        for name in order:
            child = self.children[name]
            if self.crew is not None and name in self.stores:
                self.crew.stop()
            if child.alive:
                child.stop()
                left = end - time.monotonic()
                # What an effect's handler does outside may take long; the writer is to have time, too.
                if not child.exited.wait(max(left / 4 if name in self.processes.names else left, 0.01)):
                    stuck.append(name)
            child.mailbox.close(self._refusal)
            if name == "command-handler":
                self._give_up_writer()
        self.processes.close()
        self.marks.close()
        if stuck:
            logger.error("closing %s: given up within %g s: %s", self.path, timeout, ", ".join(stuck))
        self.progress.close()
        self.supervisor.end(max(end - time.monotonic(), 1.0))
        if not self._pool.close(max(end - time.monotonic(), 0.0), asker) and not self._pool.has(asker):
            logger.error("closing %s: middleware after a submit was not done within %g s", self.path, timeout)
        self.views.expire(-1.0)
        self._closing_files = True
        self._stopped = True

    def _mark_owners(self) -> set[bytes]:
        """Whose deliveries may be out: the consumers of the store, and the process managers of the domain."""
        return {
            *(owner_of("consumer", name) for name in self.consumers.names()),
            *(owner_of("process manager", name) for name in self.domain.processes),
        }

    def _replica_exited(self, name: str, error: BaseException | None) -> None:
        """In the replica's own thread, which may come back from a projection when the files are closed but for its own."""
        self.supervisor.actor_exited(name, error)
        if self._closing_files and self.crew is None:
            self.slots[name].close()

    def _give_up_writer(self) -> None:
        """Answer what a writer that hangs, or that died just now, has in hand.

        A decider that does not return can't be stopped; what it gives later is not written.
        """
        desk = self.desk
        desk.closing = True
        desk.release()
        deciding = desk.activity is not None
        for submission in list(desk.in_flight):
            submission.settle(self._refusal() if deciding else CommitUncertain(submission.command_id))

    def _refusal(self) -> Exception:
        return SystemClosed(f"the system on {self.path} was closed before this was handled; nothing was done")

    def forked(self) -> None:
        """In a forked child: what the parent opened is out of bounds. Takes no lock; a thread that is gone may hold it."""
        self.progress.forked = True
        self.views.forked()
        if self.crew is not None:
            self.crew.forked()

    def mark_damaged(self, name: str, store: ReplicaStore, reason: str) -> bool:
        """Have a replica whose files are no good begun anew while the others serve. Any thread.

        False where it stays in use all the same, since nothing new can be made where it was opened.
        """
        slot = self.slots[name]
        if slot.mark_damaged(store, reason, lambda: self.progress.exclude(name)):
            self.children[name].mailbox.put(ResetReplica())
        return slot.is_retired(store)

    # -- asking ------------------------------------------------------------------------------
    def wait_applied(self, position: int, timeout: float) -> None:
        """Wait until every replica has applied `position`."""
        progress = self.progress

        def done() -> bool:
            return progress.everywhere(position) or progress.closed or progress.any_stopped() is not None

        reached = progress.wait_until(done, timeout)
        stopped = progress.any_stopped()
        if stopped is not None:
            raise ModelStopped(f"model {stopped[1]!r} is stopped on {stopped[0]}: {stopped[2]}")
        if not progress.everywhere(position) and progress.closed:
            raise SystemClosed(
                f"the system on {self.path} was closed before every replica applied {position}"
            )
        if not reached:
            models = list(dict.fromkeys(name for held in progress.replicas.values() for name in held))
            raise ConsistencyTimeout(
                f"not every replica applied position {position} within {timeout:g} s: "
                f"{self.monitor.why_not(models, position)}; give a longer timeout=, or look at health()"
            )

    def health(self) -> Health:
        """How everything is, now."""
        return build_health(self)
