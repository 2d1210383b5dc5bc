"""The log as a replica reads it: the writer's own in its process, a follower of it in a worker. Only a
protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from storage import RecordedEvent, SnapshotClosed
from storage.log.inline_snapshot import InlineSnapshot

__all__ = ["CommittedLog"]


class CommittedLog(Protocol):
    """What is committed, up to `head`. Any thread."""

    @property
    def path(self) -> Path: ...
    @property
    def head(self) -> int: ...
    @property
    def history_id(self) -> str: ...

    def read_commands(self, after: int, limit: int, until: int) -> Sequence[RecordedEvent]:
        """The next `limit` events or so after a position, with all events of the last one's command."""
        ...

    def digest(self, position: int) -> bytes:
        """The digest of the event at a position, which replicas store with their checkpoints."""
        ...

    def last_correction_of(self, model: str) -> int:
        """The number of the last correction of events that a model handles, 0 for none."""
        ...

    def inline_snapshot(self, *, closed: type[SnapshotClosed] = SnapshotClosed) -> InlineSnapshot:
        """A snapshot of the tables that the writer keeps itself. Raises `StorageError`."""
        ...

    def moved(self) -> bool:
        """Whether the store is not where it was opened."""
        ...
