"""A replica that is in a worker process, as the parent knows it: what the worker said last, in the shape of the real parts.

Health, rebuilds and views look at these as they do at a `ReplicaSlot`, its `Projector` and its `ReplicaStore`. The
stand-in's thread replaces what the worker says anew; any thread reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from actors.domain.read_model import ReadModel
from actors.health import CacheHealth
from actors.replication.build_progress import FrozenBuild
from actors.replication.row_damage import RowDamage
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.wire import protocol
from storage import Snapshot, SnapshotClosed, StoreClosed
from storage.codec.codec import Codec
from storage.errors import InvalidSchema
from storage.replica.replica_reader import ReplicaReader

__all__ = ["RemoteReplicaSlot", "RemoteProjector", "RemoteCommitState", "RemoteStore"]

logger = logging.getLogger("onewriter.replica")


class RemoteFailure(NamedTuple):
    """As `ProjectionFailure`."""

    position: int
    type: str
    full: bool
    error: str
    text: str


class RemoteRate(NamedTuple):
    """As `Rate`, at the moment when the worker said it."""

    rate: float | None
    left: float | None

    def per_second(self, position: int, now: float) -> float | None:  # noqa: ARG002
        """Events a second."""
        return self.rate

    def seconds_left(self, position: int, now: float) -> float | None:  # noqa: ARG002
        """Seconds until it is done."""
        return self.left


class RemoteBuildProgress(NamedTuple):
    """As `ModelRun`."""

    model: ReadModel
    key: str
    checkpoint: int
    failure: RemoteFailure | None
    waiting: bool
    rate: RemoteRate


class RemoteProjector:
    """As `Projector`, to look at."""

    def __init__(self, models: Iterable[ReadModel]) -> None:
        """`models` are all versions of the replica's models that are declared."""
        self._models = {(model.name, model.version): model for model in models}
        self.runs: list[RemoteBuildProgress] = []
        self.building: list[RemoteBuildProgress] = []
        self.frozen: list[FrozenBuild] = []
        self.applied_events = 0

    def update(self, state: Mapping[str, Any]) -> None:
        """Take over what the worker said."""
        self.runs = [self._run(*one) for one in state["runs"]]
        self.building = [self._run(*one) for one in state["building"]]
        self.frozen = [FrozenBuild(*one) for one in state["frozen"]]
        self.applied_events = state["applied_events"]

    def _run(
        self, name: str, version: int, key: str, checkpoint: int, failure: Any, waiting: bool, rate: Any
    ) -> RemoteBuildProgress:
        why = None if failure is None else RemoteFailure(*failure)
        return RemoteBuildProgress(
            self._models[name, version], key, checkpoint, why, waiting, RemoteRate(*rate)
        )

    def checkpoints(self) -> list[tuple[str, int]]:
        """As `Projector.checkpoints`."""
        running = [(run.model.name, run.checkpoint) for run in self.runs if run.failure is None]
        return running + [(one.name, one.checkpoint) for one in self.frozen]

    def serving(self, name: str) -> tuple[int, int, RemoteFailure | None]:
        """As `Projector.serving`."""
        for one in self.frozen:
            if one.name == name:
                return one.version, one.checkpoint, None
        run = next(run for run in self.runs if run.model.name == name)
        return run.model.version, run.checkpoint, run.failure


class RemoteCommitState:
    """As `Moment`, of the worker's last commit: for each model its checkpoint, its last change and its build."""

    __slots__ = ("models",)

    def __init__(self, models: Mapping[str, tuple[int, int, str]]) -> None:
        self.models = models

    def _of(self, model: str) -> tuple[int, int, str]:
        try:
            return self.models[model]
        except KeyError:
            known = ", ".join(self.models) or "none"
            raise InvalidSchema(f"the replica has no read model {model!r}; it has: {known}") from None

    def checkpoint(self, model: str) -> int:
        """The position of the last event that the model's active build includes."""
        return self._of(model)[0]

    def changed(self, model: str, name: str = "") -> int:  # noqa: ARG002
        """An upper bound of the position that last changed anything of the model."""
        return self._of(model)[1]

    def build(self, model: str) -> str:
        """The key of the model's active build."""
        return self._of(model)[2]

    def version(self, model: str) -> int:
        """The version of the model's code that filled the active build."""
        return int(self.build(model).rpartition("@")[2].partition(".")[0])


class RemoteStore:
    """As `ReplicaStore`, to read: snapshots come from the worker's files."""

    def __init__(
        self,
        path: str,
        models: Collection[ReadModel],
        codec: Codec,
        map_size: int,
        dump: Callable[[str], dict[str, list[dict[str, Any]]]],
    ) -> None:
        self.path = Path(path)
        self.state = RemoteCommitState({})
        self.reset_reason: str | None = None
        self.heals_rows: Callable[[], bool] = lambda: True
        self.dump = dump
        self._schemas = [model.schema for model in models]
        self._codec = codec
        self._map_size = map_size
        self._lock = threading.Lock()
        self._reader: ReplicaReader | None = None
        self._closed = False

    def _open(self) -> ReplicaReader:
        with self._lock:
            if self._closed:
                raise StoreClosed(f"the replica {self.path} is closed; open it again")
            if self._reader is None:
                self._reader = ReplicaReader.open(
                    self.path, self._codec, self._schemas, map_size=self._map_size
                )
            return self._reader

    def snapshot(
        self, models: Collection[str] | None = None, *, closed: type[SnapshotClosed] = SnapshotClosed
    ) -> Snapshot:
        """As `ReplicaStore.snapshot`, of what the worker has committed. Raises `StorageError` for models in memory."""
        reader = self._reader
        if reader is None:
            reader = self._open()
        return reader.snapshot(models, closed=closed)

    def readable(self) -> bool:
        """Whether its databases can be read at all."""
        reader = self._reader
        return reader is None or reader.readable()

    def close(self) -> None:
        """Close what views read from."""
        with self._lock:
            self._closed = True
            reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


class RemoteReplicaSlot:
    """As `ReplicaSlot`: what is begun anew is begun anew by the worker."""

    def __init__(
        self,
        name: str,
        store: RemoteStore,
        models: Collection[ReadModel],
        control: ControlClient,
        moved: Callable[[], bool],
    ) -> None:
        """`control` is the way to the worker; `moved` tells of the log, as for a `ReplicaSlot`."""
        self.name = name
        self.store = store
        self.projector = RemoteProjector(models)
        self.rows = RowDamage()
        store.heals_rows = self.rows.needs_reset
        self.damage: str | None = None
        self.reason: str | None = None
        self.cache: CacheHealth | None = None
        self._control = control
        self._moved = moved
        self._lock = threading.Lock()

    def update(self, state: Mapping[str, Any]) -> None:
        """Take over what the worker said."""
        self.projector.update(state)
        self.reason = state["reason"]
        self.store.reset_reason = state["reset_reason"]
        self.cache = None if state["cache"] is None else CacheHealth(*state["cache"])

    def mark_damaged(
        self,
        store: RemoteStore,  # noqa: ARG002
        reason: str,
        exclude: Callable[[], None] = lambda: None,
    ) -> bool:
        """As `ReplicaSlot.mark_damaged`; the worker is told."""
        if self._moved():
            return False
        with self._lock:
            if self.damage is not None:
                return False
            self.damage = " ".join(reason.split())
            exclude()
        logger.error("%s is begun anew from the log: %s", self.name, self.damage)
        self._control.request(protocol.RESET, self.damage)
        return True

    def is_retired(self, store: RemoteStore) -> bool:  # noqa: ARG002
        """As `ReplicaSlot.is_retired`."""
        return self.damage is not None

    def note_reset(self) -> None:
        """The worker did it."""
        with self._lock:
            self.rows.note_reset()
            self.damage = None

    @property
    def changing(self) -> bool:
        """Whether a build was ordered that the worker has not begun."""
        return self._control.pending(protocol.BUILD)

    @staticmethod
    def missing() -> str | None:
        """Nothing: the worker looks after its files itself."""
        return None
