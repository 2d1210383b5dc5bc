"""The actors of one system, and what each is given. The opener's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actors.domain.source_location import name_of
from actors.kernel.supervisor import ActorSlot
from actors.replication.sync import Sync
from actors.runtime.parts import Parts
from actors.writer.command_handler import CommandHandler

__all__ = ["build_actors"]


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
            listeners=parts.listeners.broadcast,
            call_slot=broadcast,
        )

    def start_command_handler(actor: ActorSlot) -> Any:
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

    actors["sync"] = ActorSlot("sync", parts.sync, start_sync)
    actors["command-handler"] = ActorSlot(
        "command-handler", parts.command_client.mailbox, start_command_handler
    )
    for name, mailbox, start in parts.process_managers.actors(exited):
        actors[name] = ActorSlot(name, mailbox, start)
    return actors
