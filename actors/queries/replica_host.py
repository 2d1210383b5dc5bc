"""Where the replicas and their query actors are: what a running system needs to know of that, and no more.

A protocol with two implementations: `LocalReplicas` (actors.runtime.local_replicas) runs them in threads of
this process, `WorkerPool` (actors.worker_processes.parent.worker_pool) in worker processes. No caller asks
which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from actors.kernel.mailbox import Mailbox
from actors.kernel.reply import Reply
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint
from actors.replication.current_event import CurrentEvent
from actors.replication.progress import Progress
from actors.replication.replica_status import ReplicaStatus, SnapshotSource

if TYPE_CHECKING:
    from actors.health import CacheHealth

__all__ = ["ReplicaHost"]


class ReplicaHost(Protocol):
    """All replicas of one system. The opener's thread opens it; `OpeningResources` closes its files."""

    @property
    def slots(self) -> Mapping[str, ReplicaStatus]:
        """Each replica by its name."""
        ...

    @property
    def stores(self) -> Mapping[str, SnapshotSource]:
        """The files of each replica, to read; replaced when it is reset."""
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
        """Gives callers' queries to the query actors."""
        ...

    @property
    def subscribers(self) -> Mapping[str, Mailbox]:
        """The mailboxes to which Sync sends what was committed; none, if the replicas follow the log
        themselves."""
        ...

    # -- actors ------------------------------------------------------------------------------
    def actors(self, exited: Callable[[str, BaseException | None], None]) -> dict[str, ActorSlot]:
        """The actors by name, not yet started: the replicas', then the query actors'.

        Each calls `exited` in its own thread as it ends. The opener's thread, once.
        """
        ...

    def stop(self) -> None:
        """Ask all replicas to stop, all at the same time. The closer's thread; does not wait."""
        ...

    def forked(self) -> None:
        """In a forked child: what the parent opened is out of bounds. Takes no lock."""
        ...

    # -- what a replica is to do -------------------------------------------------------------
    def mark_damaged(self, replica: str, store: SnapshotSource, reason: str) -> bool:
        """Have a replica reset whose files are damaged or gone, while the others serve. Any thread; does not
        wait.

        False if this store stays in use all the same, since nothing new can be made where it was opened.
        """
        ...

    def start_build(self, replica: str, model: str) -> Reply[None]:
        """Have a replica begin a new build of a model beside the one that serves. The reply comes once it has
        begun. Any thread."""
        ...

    def resume(self, replica: str) -> Reply[None]:
        """Let models go on that stopped at an event which they are to skip by now. Any thread."""
        ...

    def run_maintenance(self) -> None:
        """See that every replica makes progress, and ask others if one does not. The supervisor's thread, at
        every tick."""
        ...

    # -- how it is: any thread ---------------------------------------------------------------
    def current_event(self, replica: str) -> CurrentEvent | None:
        """What a replica's projections are at; None between two transactions, or if it is not known."""
        ...

    def hindrance(self, replica: str) -> str:
        """What holds a replica up other than its projections, as the end of a sentence; empty for nothing."""
        ...

    def problem(self, replica: str) -> str | None:
        """Why a replica can't be asked at present, as a sentence for health; None if it can."""
        ...

    def pid(self, replica: str) -> int | None:
        """The id of the replica's worker process; None for this process, or while there is none."""
        ...

    def cache_health(self) -> CacheHealth | None:
        """The figures of the result cache, or of all of them together; None if no query has results kept."""
        ...
