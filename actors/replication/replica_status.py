"""What a running system reads from a replica, whether it runs in this process or in a worker.

Only protocols. `ReplicaSlot`, its `Projector` and its `ReplicaStore` implement them, and so does
`RemoteReplicaSlot` with what a worker reported; the type checker holds both to them. Any thread reads.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from actors.domain.read_model import ReadModel
from actors.replication.build_progress import FrozenBuild
from storage import Snapshot, SnapshotClosed
from storage.files.damage import Damageable
from storage.files.page_usage import FileUsage

__all__ = [
    "BuildStatus",
    "CommitStatus",
    "FailureStatus",
    "ProjectorStatus",
    "RateStatus",
    "ReplicaStatus",
    "SnapshotSource",
]


class FailureStatus(Protocol):
    """The event at which a build stopped, and why; `full` if it lacks room, `text` with the traceback."""

    @property
    def position(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def full(self) -> bool: ...
    @property
    def error(self) -> str: ...
    @property
    def text(self) -> str: ...


class RateStatus(Protocol):
    """How fast a build is filled."""

    def per_second(self, position: int, now: float) -> float | None:
        """Events a second at this time, None if too little is known."""
        ...

    def seconds_left(self, position: int, now: float) -> float | None:
        """Seconds until it is done, None if it does not gain or too little is known."""
        ...


class BuildStatus(Protocol):
    """One build of a model: why it stopped; how far it is, and whether it waits for the rebuild lock, while
    it is filled.

    `CommitStatus` says how far a build is that serves; a worker reports it here only from time to time.
    """

    @property
    def model(self) -> ReadModel: ...
    @property
    def checkpoint(self) -> int: ...
    @property
    def failure(self) -> FailureStatus | None: ...
    @property
    def waiting(self) -> bool: ...
    @property
    def rate(self) -> RateStatus: ...


class ProjectorStatus(Protocol):
    """The builds that serve, the frozen ones, and those that are filled beside one."""

    @property
    def runs(self) -> Sequence[BuildStatus]: ...
    @property
    def building(self) -> Sequence[BuildStatus]: ...
    @property
    def frozen(self) -> Sequence[FrozenBuild]: ...
    @property
    def applied_events(self) -> int: ...
    @property
    def position_at(self) -> int:
        """The position of the event that a projection has now, 0 for none; a worker does not report it."""
        ...

    @property
    def differing(self) -> Mapping[str, int]:
        """The models whose rows are not those of other replicas, and the position at which that was found."""
        ...

    def serving(self, name: str) -> tuple[int, int, FailureStatus | None]:
        """Version, checkpoint and failure of the build of a model that serves."""
        ...


class ReplicaStatus(Protocol):
    """One replica: what its projections have done, and why it was reset last."""

    @property
    def projector(self) -> ProjectorStatus: ...
    @property
    def reset_reason(self) -> str | None: ...


class CommitStatus(Protocol):
    """The last commit of a replica, by model. Each raises `InvalidSchema` for a model that it lacks."""

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's active build includes."""
        ...

    def changed(self, model: str, name: str = "") -> int:
        """An upper bound of the position that last changed the model, or its table of this name."""
        ...

    def build(self, model: str) -> str:
        """The key of the model's active build."""
        ...

    def version(self, model: str) -> int:
        """The version of the code that filled the active build."""
        ...


class SnapshotSource(Damageable, Protocol):
    """The files of a replica, to read; replaced when the replica is reset."""

    @property
    def path(self) -> Path: ...
    @property
    def state(self) -> CommitStatus: ...

    def snapshot(
        self, models: Collection[str] | None = None, *, closed: type[SnapshotClosed] = SnapshotClosed
    ) -> Snapshot:
        """A snapshot of these models, or of all; used after it was closed, it raises `closed`. Raises
        `StorageError`."""
        ...

    def dump(self, model: str, /) -> dict[str, list[dict[str, Any]]]:
        """All rows of one model by table, in key order."""
        ...

    def usage(self) -> FileUsage:
        """How full the file of its tables is. Raises `StorageError`."""
        ...
