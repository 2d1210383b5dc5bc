"""A view: one snapshot of some read models. Any thread, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, overload

from actors.domain.read_model import ReadModel
from actors.errors import QueryFailed
from actors.kernel.closeable import Closeable
from storage import ObjectSchema, Snapshot, TableReader, TableSchema
from storage.log.inline_snapshot import InlineSnapshot
from storage.value_text import short_repr

__all__ = ["View"]


class View(Closeable):
    """Read models as they were at one moment, on one replica; rows are copies.

    `view[table]` gives the reader of a table, `view[model]` the connection to a model in SQLite, and
    `view[object]` an object of a model in memory. A declaration of any version of a model gives the table or
    object of that name in the version that serves. A view pins its snapshot, so it has a maximum age, after
    which every use raises `ViewExpired`. Any thread may use it, one at a time.
    """

    __slots__ = ("_closed", "_failed", "_lend", "_models", "_opened", "_snapshot", "lent", "replica")

    def __init__(
        self,
        snapshot: Snapshot | InlineSnapshot,
        models: Mapping[str, ReadModel],
        replica: str = "",
        closed: Callable[[View], None] | None = None,
        *,
        lend: bool = False,
        failed: Callable[[BaseException], object] | None = None,
    ) -> None:
        """`closed` is called when it is closed, `failed` with an error that is raised in its `with` block.

        With `lend`, objects in memory are not copied. `lent` then says whether some were given, so that a
        result has to be copied.
        """
        self._snapshot = snapshot
        self._models = models
        self._opened: dict[int | str, Any] = {}
        self._closed = closed
        self._failed = failed
        self.replica = replica
        self._lend = lend
        self.lent = False

    @overload
    def __getitem__(self, key: TableSchema) -> TableReader: ...
    @overload
    def __getitem__(self, key: ReadModel | ObjectSchema) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        """The reader of what `key` declares. Raises `QueryFailed` if its model is not open here."""
        found = self._opened.get(id(key))
        if found is None:
            found = self._open(key)
            # A copy of an object does not know when the view ends: the snapshot does, and is asked each time.
            if self._lend or not isinstance(key, ObjectSchema):
                self._opened[id(key)] = found
        return found

    def _open(self, key: Any) -> Any:
        if key.__class__ is TableSchema:
            for name, one in self._models.items():
                for table in one.tables:
                    if table is key:
                        return self._snapshot.table(name, key)
        model, name = self._owner(key)
        if isinstance(key, TableSchema):
            return self._snapshot.table(model, key)
        if not name:
            return self._snapshot.target(model)
        if self._lend:
            self.lent = True
            return self._snapshot.target(model).lend(key)
        objects = self._opened.get(model)
        if objects is None:
            objects = self._opened[model] = self._snapshot.target(model)
        return objects[key]

    def _owner(self, key: Any) -> tuple[str, str]:
        """The model to which a table or object belongs, and its name; "" for the model itself."""
        for name, model in self._models.items():
            for version in (model, *model.older):
                if any(key is one for one in (*version.tables, *version.objects)):
                    return name, key.name
                if key is version and version.engine != "lmdb":
                    return name, ""
        opened = ", ".join(sorted(self._models)) or "none"
        if isinstance(key, TableSchema | ObjectSchema):
            what = "table" if isinstance(key, TableSchema) else "object"
            raise QueryFailed(
                f"{what} {key.name!r} belongs to none of the models open here ({opened}); "
                "add its model to the query's reads= or to view(...)"
            )
        if isinstance(key, ReadModel) and key.name not in self._models:
            raise QueryFailed(
                f"read model {key.name!r} is not open here, which {opened} are; "
                "add it to the query's reads= or to view(...)"
            )
        raise QueryFailed(
            f"view[...] takes a table, not {short_repr(key)}; give the object that model.table(...) returned"
        )

    def version(self, model: ReadModel) -> int:
        """The version of `model` that serves here: an older one until the newest one is built."""
        return self._snapshot.version(model.name)

    def position(self, model: ReadModel | None = None) -> int:
        """The position up to which `model`, or each model of the view, has applied the log."""
        names = list(self._models) if model is None else [model.name]
        return min(map(self._snapshot.checkpoint, names), default=0)

    def newest(self) -> int:
        """The last position that any model of the view has applied."""
        return max(map(self._snapshot.checkpoint, self._models), default=0)

    @property
    def opened(self) -> float:
        """When it was opened, on the monotonic clock, in seconds."""
        return self._snapshot.opened

    def close(self) -> None:
        """Release the snapshot; closing twice is harmless."""
        self._snapshot.close()
        if self._closed is not None:
            self._closed(self)

    def abandon(self) -> None:
        """Make it unusable without touching what a parent process still reads."""
        self._snapshot.abandon()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None and self._failed is not None:
            self._failed(value)
        self.close()
