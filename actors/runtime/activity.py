"""Whether somebody uses an open system, and what it has to do by itself. Any thread; never waits for long."""

from __future__ import annotations

from actors.process_managers.no_process_managers import NoProcessManagers
from actors.runtime.parts import Parts

__all__ = ["has_managers", "next_timer", "use_count", "what_is_under_way"]


def use_count(parts: Parts) -> int:
    """How many commands and queries were handled since the opening: another number means that it is used."""
    served = sum(one.stats.served + one.stats.failed for one in parts.replicas.endpoints)
    return parts.writer.commands + served


def what_is_under_way(parts: Parts) -> str | None:
    """What closing would cut short, as text; None if nothing is.

    A process manager that is stopped has nothing under way: it is tried again after the next opening.
    """
    writer = parts.writer
    if len(parts.command_client.mailbox) or writer.in_flight or writer.activity is not None:
        return "commands are handled"
    if any(one.load() for one in parts.replicas.endpoints):
        return "queries run"
    if parts.views.any_open():
        return "a view is open"
    if parts.consumers.any_open():
        return "a consumer is open"
    if parts.progress.is_awaited:
        return "a call, a subscription or a watch waits"
    running = parts.calls.now()
    if running:
        return f"{running[0][0]} {running[0][1]} runs"
    return _what_managers_do(parts)


def has_managers(parts: Parts) -> bool:
    """Whether process managers run in it."""
    return bool(parts.process_managers.handles) and parts.process_managers.off_because() is None


def next_timer(parts: Parts) -> int | None:
    """When the next timer of a process manager is due, in microseconds since 1970 UTC; None without any."""
    if not has_managers(parts):
        return None
    due = [handle.board.status.next_due for handle in parts.process_managers.handles.values()]
    return min((one for one in due if one is not None), default=None)


def _what_managers_do(parts: Parts) -> str | None:
    managers = parts.process_managers
    if isinstance(managers, NoProcessManagers) or managers.off_because() is not None:
        return None
    for name in managers.handles:
        if managers.has_work(name):
            return f"process manager {name} has work"
    return None
