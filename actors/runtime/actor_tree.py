"""The actors of one system, and what each is given. The opener's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.domain.source_location import name_of
from actors.kernel.mailbox import Mailbox
from actors.kernel.supervisor import ActorSlot
from actors.replication.log_poller import LogPoller
from actors.replication.placement import projects_once
from actors.replication.sync import Sync
from actors.runtime.parts import Parts
from actors.writer.command_handler import CommandHandler
from storage import EventLog
from storage.log.log_follower import LogFollower

__all__ = ["POLLER", "WRITER", "build_actors"]

WRITER = "command-handler"
POLLER = "log-poller"
"""The actor in place of the command handler in a system that is opened for reading."""


def build_actors(parts: Parts, exited: Callable[[str, BaseException | None], None]) -> dict[str, ActorSlot]:
    """The actors by name, not yet started; each calls `exited` in its own thread as it ends."""
    actors = parts.replicas.actors(exited)
    broadcast = parts.calls.slot("listener", "on_broadcast", name_of)
    committed = parts.calls.slot("listener", "on_committed", name_of)

    def start_sync(actor: ActorSlot) -> Any:
        return Sync.start(
            actor.name,
            actor.mailbox,
            exited,
            replicas=parts.replicas.subscribers,
            progress=parts.progress,
            led=projects_once(parts.settings, parts.domain),
            at=lambda replica: 0 if replica is None else parts.replicas.slots[replica].projector.position_at,
            listeners=parts.listeners.broadcast,
            call_slot=broadcast,
        )

    def start_command_handler(actor: ActorSlot) -> Any:
        assert isinstance(parts.log, EventLog)
        return CommandHandler.start(
            actor.name,
            actor.mailbox,
            exited,
            domain=parts.domain,
            log=parts.log,
            state=parts.writer,
            progress=parts.progress,
            announce=parts.sync.put,
            cache_states=parts.settings.cache_states,
            listeners=parts.listeners.committed,
            slot=committed,
        )

    def start_log_poller(actor: ActorSlot) -> Any:
        assert isinstance(parts.log, LogFollower)
        assert parts.committed_elsewhere is not None
        return LogPoller.start(
            actor.name,
            actor.mailbox,
            exited,
            committed=parts.committed_elsewhere,
            progress=parts.progress,
            listeners=parts.listeners,
            skips=parts.skips,
            log=parts.log,
            models=list(parts.domain.models),
            resume=resume,
            rebuild=rebuild,
            call_slot=committed,
        )

    def rebuild(model: str) -> None:
        for name in parts.progress.holders([model]):
            parts.replicas.start_build(name, model)

    def resume() -> None:
        for name in parts.replicas.slots:
            parts.replicas.resume(name)

    actors["sync"] = ActorSlot("sync", parts.sync, start_sync)
    if isinstance(parts.log, EventLog):
        actors[WRITER] = ActorSlot(WRITER, parts.command_client.mailbox, start_command_handler)
    else:
        actors[POLLER] = ActorSlot(POLLER, Mailbox(), start_log_poller)
    for name, mailbox, start in parts.process_managers.actors(exited):
        actors[name] = ActorSlot(name, mailbox, start)
    return actors
