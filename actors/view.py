"""A view: one snapshot of the read models that it was opened for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

from actors.errors import QueryFailed
from actors.read_model import ReadModel
from storage import Snapshot, TableReader, TableSchema

__all__ = ["View"]


class View:
    """Tables as they were at one moment, on one replica; rows are copies.

    `view[table]` gives the reader of a table. A view pins its snapshot, so it has a maximum
    age, after which every use raises `ViewExpired`. Any thread may use it, one at a time.
    """

    __slots__ = ("_closed", "_models", "_readers", "_snapshot", "replica")

    def __init__(
        self,
        snapshot: Snapshot,
        models: Mapping[str, ReadModel],
        replica: str = "",
        closed: Callable[[View], None] | None = None,
    ) -> None:
        self._snapshot = snapshot
        self._models = models
        self._readers: dict[int, TableReader] = {}
        self._closed = closed
        self.replica = replica

    def __getitem__(self, table: TableSchema) -> TableReader:
        """The reader of one table; `QueryFailed` for a table of a model that is not open here."""
        reader = self._readers.get(id(table))
        if reader is None:
            reader = self._readers[id(table)] = self._open(table)
        return reader

    def _open(self, table: TableSchema) -> TableReader:
        for model in self._models.values():
            if any(table is one for one in model.tables):
                return self._snapshot.table(model.name, table)
        if not isinstance(table, TableSchema):
            raise QueryFailed(
                f"view[...] takes a table, not {table!r:.80}; give the object that model.table(...) returned"
            )
        opened = ", ".join(sorted(self._models)) or "none"
        raise QueryFailed(
            f"table {table.name!r} belongs to none of the models open here ({opened}); "
            "add its model to the query's reads= or to view(...)"
        )

    def position(self, model: ReadModel | None = None) -> int:
        """The last position that `model`, or each model of the view, had applied."""
        names = list(self._models) if model is None else [model.name]
        return min(map(self._snapshot.checkpoint, names), default=0)

    def newest(self) -> int:
        """The last position that any model of the view had applied."""
        return max(map(self._snapshot.checkpoint, self._models), default=0)

    @property
    def opened(self) -> float:
        """When it was opened, on the monotonic clock, in seconds."""
        return self._snapshot.opened

    def close(self) -> None:
        """Let the snapshot go; closing twice is harmless."""
        self._snapshot.close()
        if self._closed is not None:
            self._closed(self)

    def abandon(self) -> None:
        """Make it unusable without touching what a parent process still reads."""
        self._snapshot.abandon()

    def __enter__(self) -> View:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
