"""What `System.health()` returns: plain values, taken at one moment without stopping anybody."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["ActorHealth", "CacheHealth", "Health", "ModelHealth", "ReplicaHealth", "WriterHealth"]


@dataclass(frozen=True, slots=True)
class ActorHealth:
    """One actor. `restarts` counts its incarnations but for the first, `waiting` its messages."""

    name: str
    alive: bool
    restarts: int
    waiting: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class WriterHealth:
    """The command handler. `trouble` is why the last commit failed, None once one went well; `busy_with` is (command, stream, seconds) while a decider runs."""

    commands: int
    refused: int
    batches: int
    waiting: int
    busy_with: tuple[str, str, float] | None
    trouble: str | None


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """One model on one replica; `failure` has the event and the traceback while it is stopped.

    `full` says then that there was no room: it goes on by itself once there is.
    """

    name: str
    version: int
    applied: int
    lag: int
    stopped_at: int | None
    failure: str | None
    full: bool = False


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """One replica: its lag in positions and seconds is that of its worst model."""

    name: str
    lag: int
    lag_seconds: float
    models: tuple[ModelHealth, ...]
    queries_served: int
    queries_failed: int
    events_applied: int
    reset_reason: str | None


@dataclass(frozen=True, slots=True)
class CacheHealth:
    """The result cache. `hit_ratio` is `hits` of all lookups; `uncacheable` results, or queries, could not be kept."""

    hits: int
    misses: int
    hit_ratio: float
    entries: int
    bytes: int
    max_bytes: int
    uncacheable: int


@dataclass(frozen=True, slots=True)
class Health:
    """The whole system. `problems` is empty when `status` is "ok"; each one is a sentence.

    `cache` is None where no query has its results kept.
    """

    status: str
    path: str
    position: int
    writer: WriterHealth
    replicas: tuple[ReplicaHealth, ...]
    actors: tuple[ActorHealth, ...]
    problems: tuple[str, ...] = field(default=())
    cache: CacheHealth | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists, for JSON."""
        return asdict(self)
