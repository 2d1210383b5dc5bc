"""A replica in a worker process, as the parent knows it: what the worker reported last.

Health and rebuilds read it as a `ReplicaStatus`, as they do a `ReplicaSlot`. The proxy's thread replaces what
the worker reports; any thread reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from actors.domain.read_model import ReadModel
from actors.health import CacheHealth
from actors.replication.build_progress import FrozenBuild
from actors.replication.row_damage import RowDamage
from actors.worker_processes.parent.control_client import ControlClient
from actors.worker_processes.parent.remote_store import RemoteStore
from actors.worker_processes.wire import protocol

__all__ = ["RemoteReplicaSlot", "RemoteProjector"]

logger = logging.getLogger("onewriter.replica")


class RemoteFailure(NamedTuple):
    """The `FailureStatus` of a build."""

    position: int
    type: str
    full: bool
    error: str
    text: str


class RemoteRate(NamedTuple):
    """The `RateStatus` of a build, as it was when the worker reported it."""

    rate: float | None
    left: float | None

    def per_second(self, position: int, now: float) -> float | None:  # noqa: ARG002
        """Events a second."""
        return self.rate

    def seconds_left(self, position: int, now: float) -> float | None:  # noqa: ARG002
        """Seconds until it is done."""
        return self.left


class RemoteBuildProgress(NamedTuple):
    """The `BuildStatus` of a build."""

    model: ReadModel
    key: str
    checkpoint: int
    failure: RemoteFailure | None
    waiting: bool
    rate: RemoteRate


class RemoteProjector:
    """The `ProjectorStatus` of a replica in a worker."""

    def __init__(self, models: Iterable[ReadModel], store: RemoteStore) -> None:
        """`models` are all declared versions of the replica's models; `store` knows how far those are that
        serve."""
        self._store = store
        self._models = {(model.name, model.version): model for model in models}
        self.runs: list[RemoteBuildProgress] = []
        self.building: list[RemoteBuildProgress] = []
        self.frozen: list[FrozenBuild] = []
        self.applied_events = 0
        self.differing: Mapping[str, int] = {}
        self.position_at = 0

    def update(self, state: Mapping[str, Any]) -> None:
        """Take over what the worker reported."""
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

    def serving(self, name: str) -> tuple[int, int, RemoteFailure | None]:
        """As `ProjectorStatus.serving`."""
        for one in self.frozen:
            if one.name == name:
                return one.version, one.checkpoint, None
        run = next(run for run in self.runs if run.model.name == name)
        return run.model.version, self._store.state.checkpoint(name), run.failure


class RemoteReplicaSlot:
    """The `ReplicaStatus` of a replica in a worker, which resets it."""

    def __init__(
        self,
        name: str,
        store: RemoteStore,
        models: Collection[ReadModel],
        control: ControlClient,
        moved: Callable[[], bool],
    ) -> None:
        """`models` are all versions of its models; `moved` is whether the log is not where it was opened."""
        self.name = name
        self.store = store
        self.projector = RemoteProjector(models, store)
        self.rows = RowDamage()
        store.reset_on_bad_rows = self.rows.needs_reset
        self.damage: str | None = None
        self.reset_reason: str | None = None
        self.cache: CacheHealth | None = None
        self._control = control
        self._moved = moved
        self._lock = threading.Lock()

    def update(self, state: Mapping[str, Any]) -> None:
        """Take over what the worker reported."""
        self.projector.update(state)
        self.reset_reason = state["reset_reason"]
        self.cache = None if state["cache"] is None else CacheHealth(*state["cache"])

    def mark_damaged(self, reason: str, exclude: Callable[[], None]) -> bool:
        """Have the worker reset the replica; returns whether it is marked now.

        `exclude` is called before the worker can have reset it. Not if the whole store was moved: nothing new
        can be made there.
        """
        if self._moved():
            return self.damage is not None
        with self._lock:
            if self.damage is not None:
                return True
            self.damage = " ".join(reason.split())
            exclude()
        logger.error("%s is reset and filled from the log again: %s", self.name, self.damage)
        self._control.request(protocol.RESET, self.damage)
        return True

    def note_reset(self) -> None:
        """The worker has reset the replica, or is a new one."""
        with self._lock:
            self.rows.note_reset()
            self.damage = None

    @property
    def changing(self) -> bool:
        """Whether a build was requested that the worker has not begun."""
        return self._control.pending(protocol.BUILD)
