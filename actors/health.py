"""What `System.health()` returns: plain values, collected without stopping anything. Any thread."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = [
    "Activity",
    "ActorHealth",
    "CacheHealth",
    "CopyHealth",
    "Health",
    "HeldBack",
    "ModelHealth",
    "ProcessManagerHealth",
    "ReplicaHealth",
    "WriterHealth",
    "Rebuild",
]


@dataclass(frozen=True, slots=True)
class Activity:
    """A call of the program's own code, or a commit, that has been running for `seconds`.

    - `kind`: "decider", "query", "projection", "handler" or "effect" of a process manager, "consumer",
      "listener", "callback" of a future, "middleware" or "commit"
    - `name`: whose it is; `at`: what it works on, such as the event or the instance
    """

    kind: str
    name: str
    at: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ActorHealth:
    """One actor. `restarts` counts its starts after the first one, `waiting` the messages in its mailbox."""

    name: str
    alive: bool
    restarts: int
    waiting: int
    last_error: str | None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """That callers wait because a model on a replica is more than `max_lag_before_wait` positions behind.

    `behind`: how many positions; `seconds`: for how long callers have been held back, again and again
    """

    replica: str
    model: str
    behind: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WriterHealth:
    """The command handler.

    - `busy_with`: (command, stream, seconds) while a decider runs
    - `trouble`: why the last commit failed; None once one has succeeded
    - `held_back`: for which replica callers wait; None if they do not
    """

    commands: int
    refused: int
    batches: int
    waiting: int
    busy_with: tuple[str, str, float] | None
    trouble: str | None
    held_back: HeldBack | None = None


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """One model on one replica.

    - `version`: the version that serves queries; `frozen`: its code is gone, so it is not updated until
      another build replaces it
    - `applied`: its position; `lag`: how many positions it is behind; `lag_seconds`: the age of the oldest
      event that it has not applied
    - `state`: "current"; "moving" while it is behind and catching up; "filling" while it does so after the
      opening or a reset; "stalled"; or "stopped"
    - `stalled_seconds`: for how long it has not moved although it is behind
    - `events_per_second`: how fast it moves; None while that is not known
    - `stopped_at`, `failure`: while it is stopped, the position, and the event with the traceback; `full`:
      it stopped for lack of room, and continues by itself once there is some
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
    """One replica; its lag, in positions and in seconds, is that of its worst model.

    - `reset_reason`: why it was reset, at the opening or since
    - `excluded`: it gets no queries until it has caught up again
    - `pid`: the id of its worker process; None for a replica in this process, or while it has none
    - `leads`: it projects for the others, which apply what it changed
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
    leads: bool = False


@dataclass(frozen=True, slots=True)
class CacheHealth:
    """The result cache.

    - `hit_ratio`: the share of lookups that were hits
    - `uncacheable`: how many results, or queries, could not be kept
    """

    hits: int
    misses: int
    hit_ratio: float
    entries: int
    bytes: int
    max_bytes: int
    uncacheable: int


@dataclass(frozen=True, slots=True)
class CopyHealth:
    """The continuous copy off the machine.

    - `to`: where it is; `position`: the last position that is there
    - `lag`: how many positions are not; `lag_seconds`: the age of the oldest of them
    - `files`: how many files were added since the opening; `last_seconds`: how long ago the last one was,
      None before the first
    - `last_error`: why the last attempt failed; `failing_seconds`: for how long attempts have failed. Both
      are None once one has succeeded.
    """

    to: str
    position: int
    lag: int
    lag_seconds: float
    files: int
    last_seconds: float | None
    last_error: str | None
    failing_seconds: float | None


@dataclass(frozen=True, slots=True)
class ProcessManagerHealth:
    """One process manager.

    - `position`: how far it has handled the log; `lag`: how many positions it is behind; `lag_seconds`: the
      age of the oldest event that it has not handled
    - `instances`, `timers`: how many there are
    - `effects`: how many wait to be delivered; `parked`: how many were given up; `blocked`: how many wait
      because an earlier effect of their instance is parked
    - `rejections`: how many rejections of its commands found no handler, since the store was made;
      `last_rejections`: the last few of them, with their commands
    - `rebuilding`: the position up to which its states are being rebuilt
    - `stopped_at`, `failure`: the input on which it fails, and the traceback; `trouble`: why a step is being
      tried again
    - `quarantined`: how many instances are set aside because an input failed; `quarantine`: where and why the
      first few of them did
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


@dataclass(frozen=True, slots=True)
class Health:
    """The whole system. While `status` is "ok", everything moves or has nothing to do.

    - `problems`: a sentence for each; none while the status is "ok"
    - `position`: the last committed position
    - `rebuilds`: the builds that are being filled beside those that serve
    - `skipped_events`: how many events an operator has had a model skip
    - `cache`: None if no query has its results cached
    - `mode`: "write", or "read" for a system that follows what another process writes
    - `managers_off`: why no process manager runs here; None if those that the domain has do
    - `copied`: why the store is a copy, which runs no process manager and no consumer until it is adopted
    - `running`: the program's own code that runs at this moment, the longest first. A call that runs for
      longer than `busy_limit` seconds is a problem too; for a decider that is `decider_limit`.
    - `warnings`: a sentence for each read model whose projections changed while its version did not, and for
      each map and disk that will be full before long, and for what can be read of people who were forgotten.
      They do not change the status: everything moves.
    - `copy`: the continuous copy; None without `copy_to=`
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
    mode: str = "write"
    managers_off: str | None = None
    warnings: tuple[str, ...] = ()
    copied: str | None = None
    copy: CopyHealth | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts and lists, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A build that is being filled on one replica, beside the one that serves.

    - `from_version`: the version that serves until then, and is not updated if it is `frozen`: its code is
      not declared any more; `to_version`: the one being built, which is the same in a forced rebuild
    - `state`: "waiting" for the replica's turn; "building"; or "stopped" at an event on which the projection
      failed, which is tried again by itself. `failure` has that event and the traceback.
    - `position`: how far it has come; `head`: how far it has to come
    - `events_per_second`: measured over the last seconds, pauses included; `seconds_left`: follows from how
      fast the build gains on the one that serves, None while it does not. Both are None while there is
      nothing to measure.
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
