"""The actors of one system, and who is given what. The opener's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actors.domain.source_location import name_of
from actors.kernel.mailbox import Mailbox
from actors.kernel.supervisor import ActorSlot
from actors.queries.query_actor import QueryActor
from actors.replication.read_replica import ReadReplica
from actors.replication.rebuild_lock import RebuildLock
from actors.replication.sync import Sync
from actors.writer.command_handler import CommandHandler

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["build_actors"]


def build_actors(
    runtime: Runtime, replica_exited: Callable[[str, BaseException | None], None]
) -> dict[str, ActorSlot]:
    """The actors by name, not yet started, each with its mailbox and how an incarnation of it is started."""
    children: dict[str, ActorSlot] = {}
    exited = runtime.supervisor.actor_exited
    sync_mailbox = Mailbox()
    replica_mailboxes = {name: Mailbox() for name in runtime.slots}
    rebuild_lock = RebuildLock()
    calls = runtime.calls
    call_slots = {
        name: calls.slot("listener", f"on_applied of {name}", name_of) for name in replica_mailboxes
    }
    broadcast = calls.slot("listener", "on_broadcast", name_of)
    committed = calls.slot("listener", "on_committed", name_of)

    def add(name: str, mailbox: Mailbox, start: Any) -> None:
        children[name] = ActorSlot(name, mailbox, start)

    if runtime.crew is not None:
        children.update(runtime.crew.children(exited, replica_exited))
        # The workers are told positions, and read the log themselves.
        replica_mailboxes = {}
    for name, slot in runtime.slots.items() if runtime.crew is None else ():
        add(
            name,
            replica_mailboxes[name],
            lambda child, slot=slot, call_slot=call_slots[name]: ReadReplica.start(
                child.name,
                child.mailbox,
                replica_exited,
                slot=slot,
                log=runtime.log,
                progress=runtime.progress,
                sync=sync_mailbox,
                rebuild_lock=rebuild_lock,
                share=runtime.settings.rebuild_share,
                listeners=runtime.applied_listeners,
                call_slot=call_slot,
            ),
        )
    for endpoint in runtime.query_endpoints if runtime.crew is None else ():
        add(
            endpoint.name,
            endpoint.mailbox,
            lambda child, endpoint=endpoint: QueryActor.start(
                child.name,
                child.mailbox,
                exited,
                replica=endpoint.replica,
                stores=runtime.stores,
                stats=endpoint.stats,
                redirect=runtime.reads.redirect,
                progress=runtime.progress,
                mark_damaged=runtime.mark_damaged,
                inline=runtime.log.inline_snapshot,
                codec=runtime.domain.codec,
                cache=runtime.cache,
            ),
        )
    add(
        "sync",
        sync_mailbox,
        lambda child: Sync.start(
            child.name,
            child.mailbox,
            exited,
            replicas=replica_mailboxes,
            progress=runtime.progress,
            listeners=runtime.broadcast_listeners,
            call_slot=broadcast,
        ),
    )
    add(
        "command-handler",
        runtime.writes.mailbox,
        lambda child: CommandHandler.start(
            child.name,
            child.mailbox,
            exited,
            domain=runtime.domain,
            log=runtime.log,
            state=runtime.desk,
            progress=runtime.progress,
            announce=sync_mailbox.put,
            cache_states=runtime.settings.cache_states,
            listeners=runtime.committed_listeners,
            slot=committed,
        ),
    )
    for name, mailbox, start in runtime.processes.actors(exited):
        add(name, mailbox, start)
    return children
