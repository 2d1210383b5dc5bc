"""How far replicas in worker processes are, as the workers report. Any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.replication.model_progress import NEVER, ModelProgress
from actors.replication.progress import Progress

__all__ = ["RemoteProgress"]


class RemoteProgress(Progress):
    """The progress of the parent. A replica without a worker keeps its positions, but is not asked until it
    has one again."""

    def __init__(
        self,
        head: int,
        models: Sequence[str],
        replicas: Sequence[str],
        placed: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(head, models, replicas, placed)
        self._floors: dict[str, int] = {}

    def mark_unreachable(self, replica: str) -> None:
        """Its worker is gone."""
        with self._lock:
            entries = self.replicas[replica]
            if replica not in self._floors:
                self._floors[replica] = max((entry.floor for entry in entries.values()), default=0)
            for entry in entries.values():
                entry.floor = NEVER
            self._moved.notify_all()

    def _admit(self, entry: ModelProgress, replica: str) -> None:
        if replica not in self._floors:
            super()._admit(entry, replica)

    def mark_reachable(self, replica: str, checkpoints: Sequence[tuple[str, int]]) -> None:
        """Another worker has opened it, and it is that far.

        If it lost what its readers have seen, or was being filled up to that, it is excluded until it has all
        that is committed now.
        """
        with self._lock:
            former = self._floors.pop(replica, 0)
            entries = self.replicas[replica]
            at = dict(checkpoints)
            lost = any(position < entries[model].applied for model, position in at.items())
            lowest = min(at.values(), default=0)
            floor = self.head if lost or former > lowest else 0
            for model, entry in entries.items():
                entry.floor = floor
                entry.applied = at.get(model, 0)
                if replica in self._withheld.get(model, ()) or (lost and model in self._withhold_after_reset):
                    self._withhold(replica, model)
        self.applied(replica, checkpoints)
        for model in list(self.replicas[replica]):
            self.recheck(model)
