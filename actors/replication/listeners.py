"""The program's listeners of one system, by what they are called after. Any thread adds one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Listeners"]


@dataclass(frozen=True, slots=True)
class Listeners:
    """The three kinds of listeners; more are added while the system runs."""

    committed: list[Callable[[int, int], None]] = field(default_factory=list)
    """Called with the first and the last position of each commit. The writer's thread."""
    broadcast: list[Callable[[int, int], None]] = field(default_factory=list)
    """The same, once the replicas were notified. Sync's thread."""
    applied: list[Callable[[str, int, float], None]] = field(default_factory=list)
    """Called with replica, position and lag in seconds after each batch that a replica applied. The replica's
    thread."""
