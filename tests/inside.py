"""The inside of a system, for tests that have to reach for it: every way in stands here, and nowhere else.

A test that needs a part looks it up by what it is: `inside.log(system)`, `inside.slot(system, "replica-1")`.
When a part of a running system moves or is renamed, this file is what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import Future
from datetime import timedelta
from typing import Any

import pykka

from actors import System
from actors.domain.specs import CompiledDomain
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.supervisor import ActorSlot, Supervisor
from actors.process_managers.manager_handle import ManagerHandle
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint
from actors.queries.replica_host import ReplicaHost
from actors.queries.view_registry import ViewRegistry
from actors.replication.broadcast import Broadcast
from actors.replication.build_progress import BuildProgress
from actors.replication.led_broadcast import LedBroadcast
from actors.replication.progress import Progress
from actors.replication.replica_slot import ReplicaSlot
from actors.replication.skipped_events import SkippedEvents
from actors.replication.sync import Sync
from actors.runtime.local_replicas import LocalReplicas
from actors.runtime.log_file_watch import LogFileWatch
from actors.runtime.maintenance import Maintenance
from actors.runtime.monitor import Monitor
from actors.subscriptions.consumer_group import ConsumerGroup
from actors.subscriptions.consumer_registry import ConsumerRegistry
from actors.worker_processes.parent.worker_handle import WorkerHandle
from actors.worker_processes.parent.worker_pool import WorkerPool
from actors.writer.command_client import CommandClient
from actors.writer.options import TIMEOUT
from actors.writer.writer_state import WriterState
from storage import EventLog, ReplicaStore
from storage.codec.codec import Codec

Note = tuple[bytes, bytes | None]


# -- system -----------------------------------------------------------------------------------
def usable(system: System) -> bool:
    """Whether its methods can be called: it is neither closed, nor closing, nor in a forked child."""
    return system._availability.refusal is None


# -- actors -----------------------------------------------------------------------------------
def supervisor(system: System) -> Supervisor:
    """Who starts every other actor."""
    return system._runtime.supervisor


def actors(system: System) -> Mapping[str, ActorSlot]:
    """Every actor but the supervisor by its name: its mailbox, its starts, whether it is alive."""
    return system._parts.actors


def actor(system: System, name: str) -> ActorSlot:
    """One of them."""
    return actors(system)[name]


def maintenance(system: System) -> Maintenance:
    """What the supervisor does at every tick."""
    return system._runtime._maintenance


def monitor(system: System) -> Monitor:
    """What moves and what does not."""
    return system._runtime._monitor


def files_looked_at(system: System) -> float:
    """When it last looked whether the files are where they were, in seconds of the monotonic clock."""
    host = replica_host(system)
    replicas = host._replicas.values() if isinstance(host, LocalReplicas) else ()
    return min([maintenance(system)._log_file_checked, *(one._files_checked for one in replicas)])


# -- domain -----------------------------------------------------------------------------------
def domain(system: System) -> CompiledDomain:
    """The domain as it was compiled for this system."""
    return system._parts.domain


def codec(system: System) -> Codec:
    """What encodes and decodes everything that is stored."""
    return domain(system).codec


# -- writer -----------------------------------------------------------------------------------
def log(system: System) -> EventLog:
    """The event log."""
    return system._parts.log


def log_file(system: System) -> LogFileWatch:
    """What looks whether the log's file is still the one on disk."""
    return system._parts.log_file


def note(system: System, key: bytes) -> bytes | None:
    """What is noted in the log under a key."""
    return log(system).note(key)


def notes(system: System, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """What is noted in the log under all keys that begin so."""
    return log(system).notes(prefix)


def command_client(system: System) -> CommandClient:
    """Where commands, facts and steps are handed to the writer."""
    return system._parts.command_client


def writer_mailbox(system: System) -> Mailbox:
    """What waits for the writer."""
    return command_client(system).mailbox


def writer_state(system: System) -> WriterState:
    """What the writer is at, which outlives it."""
    return system._parts.writer


def submission(system: System, command: Any, **options: Any) -> Any:
    """A command, checked and encoded, as it goes into a step."""
    return command_client(system).steps.submission(command, **options)


def step(
    system: System,
    submissions: Iterable[Any],
    write_notes: Callable[[Any], Iterable[Note]],
    guard: Note | None = None,
    timeout: float = TIMEOUT,
) -> Future[Any]:
    """Hand over an atomic step: commands, and what is noted in the same commit, by their outcomes."""
    return command_client(system).steps.submit(list(submissions), write_notes, guard, timeout)


def put_notes(system: System, *written: Note) -> None:
    """Note these in the log."""
    step(system, [], lambda _outcomes: written, timeout=10).result(10)


def middleware_pool_closed(system: System) -> bool:
    """Whether the threads in which middleware ends after a submit take nothing more."""
    return system._runtime._pool._closed


# -- replicas ---------------------------------------------------------------------------------
def replica_host(system: System) -> ReplicaHost:
    """Where the replicas are: threads, or worker processes."""
    return system._parts.replicas


def skips(system: System) -> SkippedEvents:
    """The events that models skip."""
    return system._parts.skips


def slots(system: System) -> Mapping[str, ReplicaSlot]:
    """Each replica by its name: its store of now, its projector, why it is no good."""
    return system._parts.replicas.slots


def slot(system: System, name: str) -> ReplicaSlot:
    """One of them."""
    return slots(system)[name]


def model_runs(system: System) -> list[BuildProgress]:
    """How far each model is on each replica, of the builds that serve."""
    return [run for one in slots(system).values() for run in one.projector.runs]


def stores(system: System) -> MutableMapping[str, ReplicaStore]:
    """The store of each replica that is in use now."""
    return system._parts.replicas.stores


def store(system: System, name: str) -> ReplicaStore:
    """One of them."""
    return stores(system)[name]


def mark_damaged(system: System, name: str, reason: str, store: ReplicaStore | None = None) -> bool:
    """Have a replica begun anew, as whoever finds damage in its store does; the one in use unless another is
    given.
    """
    found = stores(system)[name] if store is None else store
    return system._parts.replicas.mark_damaged(name, found, reason)


def progress(system: System) -> Progress:
    """How far every model on every replica is, and who waits for that."""
    return system._parts.progress


def holders(system: System, *models: str) -> list[str]:
    """The replicas that have all of these models."""
    return progress(system).holders(models)


def waiters(system: System) -> Any:
    """Who waits for a replica to have applied a position."""
    return progress(system)._waiters


def commit_waiters(system: System) -> Any:
    """Who waits for a position to be committed."""
    return progress(system)._at_commit


# -- queries ----------------------------------------------------------------------------------
def query_dispatcher(system: System) -> QueryDispatcher:
    """What gives queries to query actors."""
    return system._parts.query_dispatcher


def query_endpoints(system: System) -> list[QueryEndpoint]:
    """Where each query actor is asked."""
    return list(system._parts.replicas.endpoints)


def query_mailbox(system: System, actor: str) -> Any:
    """Where one query actor, such as `replica-1.query-1`, gets what it is asked."""
    [found] = [one for one in query_endpoints(system) if one.name == actor]
    return found.mailbox


def query_job(system: System, *queries: Any, **options: Any) -> Any:
    """These queries as the job that a query actor gets."""
    job, _ = query_dispatcher(system)._job(list(queries), options)
    job.future = Reply()
    return job


def view_registry(system: System) -> ViewRegistry:
    """The views that are open."""
    return system._parts.views


def view_lock(system: System) -> Any:
    """The lock on the list of them."""
    return view_registry(system)._views_lock


# -- subscriptions ----------------------------------------------------------------------------
def consumer_registry(system: System) -> ConsumerRegistry:
    """The consumers of the store."""
    return system._parts.consumers.registry


def consumers_closed(system: System) -> bool:
    """Whether they take nothing more."""
    return system._parts.consumers.closed


def consumer_group(system: System, name: str) -> ConsumerGroup:
    """Those that share one name."""
    return consumer_registry(system).group(name)


def marked_slots(system: System) -> set[int]:
    """The slots taken in the file that notes what is out for delivery."""
    return system._parts.marks._slots_taken()


# -- process managers -------------------------------------------------------------------------
def advance(system: System, by: timedelta) -> None:
    """Put the clock of the timers forward; `actors.testing.System` does it for one that it opened."""
    system._parts.process_managers.advance(int(by.total_seconds() * 1e6))


def manager(system: System, name: str) -> ManagerHandle:
    """A process manager that runs: its rules, its keys in the log, its mailboxes and what it shows
    of itself.
    """
    return system._parts.process_managers.handles[name]


# -- worker processes -------------------------------------------------------------------------
def workers(system: System) -> Mapping[str, WorkerHandle]:
    """The parent's side of each replica's worker process, with `workers="process"`."""
    pool = system._parts.replicas
    assert isinstance(pool, WorkerPool)
    return pool.workers


def worker(system: System, replica: str) -> WorkerHandle:
    """One of them."""
    return workers(system)[replica]


def worker_pids(system: System) -> dict[str, int]:
    """The process id of each replica's worker that is running now."""
    return {name: one.process.pid for name, one in workers(system).items() if one.process is not None}


def reads_answers(connection: Any) -> bool:
    """Whether a thread reads the answers of a worker's query actor now, or waits for one."""
    return bool(connection._reader_lock.locked())


# -- replication ------------------------------------------------------------------------------
def broadcast(system: System) -> Broadcast | LedBroadcast:
    """What Sync knows about the replicas, and who leads."""
    mailbox = actor(system, "sync").mailbox
    [sync] = [one for one in pykka.ActorRegistry.get_by_class(Sync) if one.actor_inbox is mailbox]
    found: Broadcast | LedBroadcast = sync._actor_weakref().broadcast
    return found


def kept_contents(system: System, model: str) -> dict[str, int | None]:
    """The digests of a model's rows that the replicas keep with their checkpoints."""
    return {name: one._builds.contents.get(one.active(model).key) for name, one in stores(system).items()}


def change_rows(store: ReplicaStore, model: str, table: str) -> None:
    """Put a row into a table of a replica of which nobody knows, as damage or another projection would."""
    build = store.active(model).key
    handle = store._builds.opened(model).by_name[table]
    with store._environment.begin(write=True) as txn:
        with txn.cursor(handle.rows) as cursor:
            assert cursor.last()
            key, raw = cursor.item()
        txn.put(key + b"x", raw, db=handle.rows)
    store._builds.contents.pop(build)
