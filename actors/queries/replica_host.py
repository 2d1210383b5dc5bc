"""Where the replicas and their query actors are: what a running system needs to know of that, and no more.

A protocol with two implementations: `LocalReplicas` (actors.runtime.local_replicas) runs them in threads of this
process, `WorkerPool` (actors.worker_processes.parent.worker_pool) in worker processes. Nobody asks which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from actors.health import CacheHealth
from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint
from actors.replication.current_event import CurrentEvent
from actors.replication.progress import Progress
from actors.replication.replica_status import ReplicaStatus, SnapshotSource

__all__ = ["ReplicaHost"]


class ReplicaHost(Protocol):
    """All replicas of one system. Opened in the opener's thread; its files are closed by the `OpeningResources`."""

    @property
    def slots(self) -> Mapping[str, ReplicaStatus]:
        """Each replica by its name."""
        ...

    @property
    def stores(self) -> Mapping[str, SnapshotSource]:
        """The files of each replica, to read: replaced when it is reset."""
        ...

    @property
    def endpoints(self) -> Sequence[QueryEndpoint]:
        """Where each query actor is asked."""
        ...

    @property
    def progress(self) -> Progress:
        """How far the writer and each model on each replica are."""
        ...

    @property
    def dispatcher(self) -> QueryDispatcher:
        """What gives callers' queries to the query actors."""
        ...

    @property
    def subscribers(self) -> Mapping[str, Mailbox]:
        """The mailboxes to which Sync sends what was committed: none, where the replicas follow the log themselves."""
        ...

    # -- actors ------------------------------------------------------------------------------
    def actors(self, exited: Callable[[str, BaseException | None], None]) -> dict[str, ActorSlot]:
        """The actors by name, not yet started: the replicas', then the query actors'.

        Each calls `exited` in its own thread as it ends. The opener's thread, once.
        """
        ...

    def stop(self) -> None:
        """Ask all replicas to stop, so that they do so at the same time. The closer's thread; does not wait."""
        ...

    def forked(self) -> None:
        """In a forked child: what the parent opened is out of bounds. Takes no lock."""
        ...

    # -- what a replica is to do -------------------------------------------------------------
    def mark_damaged(self, replica: str, store: SnapshotSource, reason: str) -> bool:
        """Have a replica reset whose files are no good, while the others serve. Any thread; does not wait.

        False where this store stays in use all the same, since nothing new can be made where it was opened.
        """
        ...

    def start_build(self, replica: str, model: str) -> Reply[None]:
        """Have a replica begin a new build of a model beside the one that serves. Any thread; the reply says it has."""
        ...

    def resume(self, replica: str) -> Reply[None]:
        """Have models go on that stopped at an event which they are to skip by now. Any thread."""
        ...

    def run_maintenance(self) -> None:
        """See that every replica gets on, and have others asked where one does not. The supervisor's thread, often."""
        ...

    # -- how it is: any thread ---------------------------------------------------------------
    def current_event(self, replica: str) -> CurrentEvent | None:
        """What a replica's projections are at, None where they are at nothing, or nothing is known."""
        ...

    def hindrance(self, replica: str) -> str:
        """What keeps a replica from getting on beside its own projections, to end a sentence; empty for nothing."""
        ...

    def problem(self, replica: str) -> str | None:
        """Why a replica can't be asked at present, as a sentence for health; None where it can be."""
        ...

    def pid(self, replica: str) -> int | None:
        """The id of the worker process that a replica is in, None for this process or while there is none."""
        ...

    def cache_health(self) -> CacheHealth | None:
        """How the result cache does, or all of them together; None where no query has its results kept."""
        ...
