"""Whether some models may have changed, as their replicas report: for a live query. Its reader's thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.replication.replica_status import SnapshotSource
from storage import StorageError

__all__ = ["ModelChanges"]


class ModelChanges:
    """The builds of some models that served at the last look, by replica, and whether they changed since."""

    def __init__(self, models: tuple[str, ...], stores: Mapping[str, SnapshotSource]) -> None:
        """`stores` has each replica's store at each moment."""
        self._models = models
        self._stores = stores
        self._builds: dict[str, tuple[str, ...]] = {}

    def switched(self, replicas: Iterable[str]) -> bool:
        """Whether other builds serve on one of these replicas than when it was last looked at."""
        switched = False
        for name in replicas:
            try:
                state = self._stores[name].state
                builds = tuple(state.build(model) for model in self._models)
            except StorageError:
                # It is being reset, or lacks one of the models.
                continue
            if self._builds.get(name) != builds:
                self._builds[name] = builds
                switched = True
        return switched

    def unchanged_up_to(self, position: int, replicas: Iterable[str]) -> int | None:
        """How far these replicas are, if the models are as at `position`; None if they may not be."""
        same, furthest = True, position
        for name in replicas:
            try:
                state = self._stores[name].state
                builds = tuple(state.build(model) for model in self._models)
                if self._builds.get(name) != builds:
                    same = False
                if any(state.changed(model) > position for model in self._models):
                    same = False
                furthest = max(furthest, min(state.checkpoint(model) for model in self._models))
            except StorageError:
                # It is being reset.
                return None
            self._builds[name] = builds
        return furthest if same and furthest > position else None
