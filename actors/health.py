"""What `System.health()` returns: plain values, taken at one moment without stopping anybody."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "Activity",
    "ActorHealth",
    "CacheHealth",
    "Health",
    "ModelHealth",
    "ProcessManagerHealth",
    "ReplicaHealth",
    "WriterHealth",
    "Rebuild",
]


@dataclass(frozen=True, slots=True)
class Activity:
    """A call of the program's own code, or a commit, that has been running for so many `seconds`.

    `kind` is "decider", "query", "projection", "handler" or "effect" of a process manager, "consumer", "listener",
    "callback" of a future, "middleware" or "commit"; `name` says whose, `at` what it is at: the event, the instance.
    """

    kind: str
    name: str
    at: str
    seconds: float


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

    `full` says then that there was no room: it goes on by itself once there is. `version` is the one that serves;
    `frozen` says that its code is gone, so that it stands still until another build takes its place.

    `lag` is in positions, `lag_seconds` the age of the oldest event that it has not applied. `state` is "current",
    "moving" while it is behind and gets on, "filling" while it does so after the opening or from the beginning, "stalled", or "stopped"; `stalled_seconds` is for how many seconds it has not moved though it is behind, `events_per_second` how
    fast it moves, None while nothing is known of that.
    """

    name: str
    version: int
    applied: int
    lag: int
    stopped_at: int | None
    failure: str | None
    full: bool = False
    frozen: bool = False
    lag_seconds: float = 0.0
    state: str = "current"
    stalled_seconds: float = 0.0
    events_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """One replica: its lag in positions and seconds is that of its worst model.

    `reset_reason` says why it was begun anew, at opening or since; `excluded` that it is not asked before it has
    caught up again. `pid` is the id of its worker process, None for a replica in this process, or while it has none.
    """

    name: str
    lag: int
    lag_seconds: float
    models: tuple[ModelHealth, ...]
    queries_served: int
    queries_failed: int
    events_applied: int
    reset_reason: str | None
    excluded: bool = False
    pid: int | None = None


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
class ProcessManagerHealth:
    """One process manager; `position` is what it has handled, `lag` what it has not, and `lag_seconds` the age of the
    oldest of that.

    `effects` wait to be delivered, `parked` ones were given up; `rejections` of its commands found no handler, in all the
    store's time, and `last_rejections` are the last few of them, with their commands.
    `rebuilding` is the position that its states are being built up to, `stopped_at` the input that it fails on with
    `failure`, a traceback, and `trouble` why a step is tried again. `quarantined` instances are set aside since they failed,
    `quarantine` says where the first few of them did, and why.
    """

    name: str
    version: int
    position: int
    lag: int
    instances: int
    timers: int
    effects: int
    parked: int
    rejections: int
    rebuilding: int | None
    stopped_at: str | None
    failure: str | None
    trouble: str | None
    quarantined: int = 0
    quarantine: tuple[str, ...] = ()
    lag_seconds: float = 0.0
    last_rejections: tuple[str, ...] = ()
    blocked: int = 0
    """Effects that wait since one of their instance before them is parked."""


@dataclass(frozen=True, slots=True)
class Health:
    """The whole system. `problems` is empty when `status` is "ok": everything moves, or has nothing to do.

    Each problem is a sentence. `running` is all code of the program's own that runs at this moment, the longest first;
    one that runs for longer than `busy_limit` seconds is a problem, too (a decider: `decider_limit`).

    `rebuilds` are the builds that are filled beside those that serve, `skipped_events` counts the events that a model was
    told to pass over; `cache` is None where no query has its results kept.
    """

    status: str
    path: str
    position: int
    writer: WriterHealth
    replicas: tuple[ReplicaHealth, ...]
    actors: tuple[ActorHealth, ...]
    problems: tuple[str, ...] = field(default=())
    rebuilds: tuple[Rebuild, ...] = ()
    skipped_events: int = 0
    cache: CacheHealth | None = None
    process_managers: tuple[ProcessManagerHealth, ...] = ()
    running: tuple[Activity, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A build that is being filled on one replica, beside the one that serves.

    `state` is "waiting" for the replica's turn, "building", or "stopped" at an event that the projection failed
    on, with the event and the traceback as `failure`; it is then tried again by itself. `position` is what has
    been applied out of `head`; `events_per_second` is measured over the last seconds, pauses included, and so is
    `seconds_left`, from how fast the build gains on what serves: None while it does not, and both while there is
    nothing to go by. Throughout `from_version` serves,
    frozen when its code is not declared any more; a forced rebuild is to the same version.
    """

    model: str
    replica: str
    from_version: int
    to_version: int
    frozen: bool
    state: str
    position: int
    head: int
    events_per_second: float | None
    seconds_left: float | None
    failure: str | None = None
