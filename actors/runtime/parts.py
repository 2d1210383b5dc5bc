"""What a running system is made of, as one record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from actors.domain.domain import Domain
from actors.domain.specs import CompiledDomain
from actors.kernel.delivery_marks import DeliveryMarks
from actors.kernel.mailbox import Mailbox
from actors.kernel.running_calls import RunningCalls
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.replica_host import ReplicaHost
from actors.queries.view_registry import ViewRegistry
from actors.replication.listeners import Listeners
from actors.replication.log_poller import CommittedElsewhere
from actors.replication.progress import Progress
from actors.replication.skipped_events import SkippedEvents
from actors.runtime.changed_code import ChangedCode
from actors.runtime.log_file_watch import LogFileWatch
from actors.runtime.room_watch import RoomWatch
from actors.runtime.writer_pace import WriterPace
from actors.settings import Settings
from actors.subscriptions.consumer_access import ConsumerAccess
from actors.writer.command_client import CommandClient
from actors.writer.writer_state import WriterState
from storage import EventLog
from storage.log.log_follower import LogFollower

if TYPE_CHECKING:
    from actors.process_managers.no_process_managers import NoProcessManagers
    from actors.process_managers.registry import ProcessManagers
    from actors.runtime.continuous_copy import ContinuousCopy

__all__ = ["Parts"]


class Parts(NamedTuple):
    """Taken by everything that works on the whole of a running system: its actors, health, maintenance,
    methods.

    The parts change, the record does not. `Runtime` makes it; any thread reads it.
    """

    path: str
    """The store's directory."""
    source: Domain
    """The domain that the system was opened with, and `domain` is that one compiled."""
    domain: CompiledDomain
    settings: Settings
    log: EventLog | LogFollower
    """The latter in a system that is opened for reading."""
    log_file: LogFileWatch
    room: RoomWatch
    """Whether maps and disks will be full soon."""
    pace: WriterPace | None
    """What keeps the writer from outrunning its replicas; None if nothing does."""
    skips: SkippedEvents
    listeners: Listeners
    calls: RunningCalls
    """Which calls of the program's own code are running."""

    committed_elsewhere: CommittedElsewhere | None
    """None if this process commits itself."""
    writer: WriterState
    command_client: CommandClient
    sync: Mailbox
    """The mailbox of Sync."""
    replicas: ReplicaHost
    progress: Progress
    """That of `replicas`, and so is `query_dispatcher`."""
    query_dispatcher: QueryDispatcher
    views: ViewRegistry
    changed_code: ChangedCode
    """The read models whose code is not the one that filled them."""
    process_managers: ProcessManagers | NoProcessManagers
    """The latter for a domain that declares none."""
    consumers: ConsumerAccess
    plain: tuple[str, ...]
    """The personal fields of which values may be stored that are not encrypted."""
    copied: str | None
    """Why the store is a copy that does not act on the world; None for any other."""
    marks: DeliveryMarks
    """The file of what is out for delivery, to consumers and by process managers."""
    copy: ContinuousCopy | None
    """What copies the log off the machine; None without `copy_to=`."""
    actors: dict[str, ActorSlot]
    """Every actor but the supervisor, by its name."""
