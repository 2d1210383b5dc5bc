"""Copying models from another replica of this process, in place of projecting them. The replica's thread.

It is for a model that is far behind, and for one whose rows are not those of the other replicas.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from actors.replication.build_progress import BuildProgress
from storage import ReplicaStore, StorageError
from storage.files.damage import is_damage

__all__ = ["COPY_BEHIND", "ModelCopies"]

logger = logging.getLogger("onewriter.replica")

COPY_BEHIND = 20_000
"""Events behind another replica from which on a model is copied: reading them would take a second or more."""


class ModelCopies:
    """Copies models of tables to the store of one replica."""

    def __init__(self, replica: str, stores: Mapping[str, ReplicaStore]) -> None:
        """`stores` has the store of each replica of this process at each moment."""
        self._replica = replica
        self._stores = stores

    def copy(
        self, runs: Iterable[BuildProgress], source: str, after: Callable[[BuildProgress], int]
    ) -> list[BuildProgress]:
        """Copy those of these builds that the source has, at the position `after` gives or later.

        Returns the builds that were copied. One that cannot be copied now is left as it is: it is filled from
        the log. Damage of the own store is raised.
        """
        mine, other = self._stores.get(self._replica), self._stores.get(source)
        if mine is None or other is None or mine is other:
            return []
        copied = []
        for run in runs:
            if run.failure is not None or run.model.schema.engine != "lmdb":
                continue
            wanted = after(run)
            try:
                position = mine.copy_model(run.model.name, other, wanted)
            except StorageError as error:
                if is_damage(error, mine) and not is_damage(error, other):
                    raise
                logger.warning(
                    "model %s can't be copied from %s to %s: %s", run.model.name, source, self._replica, error
                )
                continue
            if position >= wanted:
                logger.info(
                    "model %s on %s: copied from %s, at position %d",
                    run.model.name,
                    self._replica,
                    source,
                    position,
                )
                run.checkpoint = position
                copied.append(run)
        return copied
