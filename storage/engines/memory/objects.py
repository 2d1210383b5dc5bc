"""The objects of a memory build as projections and queries see them, and their snapshots.

The applying thread runs projections. One thread at a time uses a snapshot; any thread may close it.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from storage.errors import InvalidSchema, SnapshotClosed, StatementRefused
from storage.tables.schema import ObjectSchema
from storage.value_text import short_repr

__all__ = ["Bundle", "MemorySnapshot", "ReadObjects", "WriteObjects"]


class Bundle:
    """Values by name that belong together, with one checkpoint and the number of snapshots that pin them."""

    __slots__ = ("changed", "checkpoint", "digest", "readers", "values")

    def __init__(
        self, values: dict[str, Any], checkpoint: int, changed: dict[str, int], digest: bytes = b""
    ) -> None:
        self.values = values
        self.checkpoint = checkpoint
        self.digest = digest
        self.changed = changed
        self.readers = 0

    def copied(self) -> Bundle:
        """A deep copy without readers. Raises whatever an object raises that cannot be copied."""
        return Bundle(copy.deepcopy(self.values), self.checkpoint, self.changed, self.digest)

    def committed(self, position: int, digest: bytes, touched: Iterable[str]) -> None:
        """Set the checkpoint after a batch that touched these objects."""
        self.checkpoint, self.digest = position, digest
        touched = set(touched)
        if touched:
            self.changed = {**self.changed, **dict.fromkeys(touched, position)}

    def last_change(self, name: str) -> int:
        """The position of the last batch that touched this object, or any object for ""."""
        return last_change(self.changed, name)


def last_change(changed: dict[str, int], name: str) -> int:
    """The entry of `name`; the highest one for "" and for an unknown name."""
    return changed[name] if name in changed else max(changed.values(), default=0)


class _Objects:
    __slots__ = ("_values", "_what")

    def __init__(self, values: dict[str, Any], what: str) -> None:
        self._values = values
        self._what = what

    def _name(self, schema: ObjectSchema) -> str:
        if not isinstance(schema, ObjectSchema):
            raise InvalidSchema(
                f"objects[...] takes what model.object(...) returned, not {short_repr(schema)}, for "
                f"{self._what}"
            )
        if schema.name not in self._values:
            known = ", ".join(self._values) or "none"
            raise InvalidSchema(f"{self._what} have no object {schema.name!r}; they are: {known}")
        return schema.name


class WriteObjects(_Objects):
    """What projections of a memory model get: `objects[totals]` is the object, to be changed in place."""

    __slots__ = ("_live", "touched")

    def __init__(self, values: dict[str, Any], what: str) -> None:
        super().__init__(values, what)
        self.touched: set[str] = set()
        self._live = True

    def __getitem__(self, schema: ObjectSchema) -> Any:
        """The object.

        Raises InvalidSchema if the model has no such object, StatementRefused after the batch.
        """
        name = self._touch(schema)
        return self._values[name]

    def __setitem__(self, schema: ObjectSchema, value: Any) -> None:
        """Replace the object: for numbers and other values that cannot be changed in place."""
        self._values[self._touch(schema)] = value

    def replace(self, schema: ObjectSchema, value: Any) -> None:
        """As `objects[schema] = value`."""
        self[schema] = value

    def end(self) -> None:
        """Make all later uses raise."""
        self._live = False

    def _touch(self, schema: ObjectSchema) -> str:
        if not self._live:
            raise StatementRefused(
                f"{self._what}: a projection may not use the objects outside of the event that it was called "
                "for; keep no reference to them"
            )
        name = self._name(schema)
        self.touched.add(name)
        return name


class ReadObjects(_Objects):
    """What queries read: `objects[totals]` is a copy of the object, made when it is first asked for."""

    __slots__ = ("_copies", "_snapshot")

    def __init__(self, snapshot: MemorySnapshot, values: dict[str, Any], what: str) -> None:
        super().__init__(values, what)
        self._snapshot = snapshot
        self._copies: dict[str, Any] = {}

    def __getitem__(self, schema: ObjectSchema) -> Any:
        """The copy.

        Raises InvalidSchema if the build has no such object, and the snapshot's error after its end.
        """
        with self._snapshot.using():
            name = self._name(schema)
            if name not in self._copies:
                self._copies[name] = copy.deepcopy(self._values[name])
            return self._copies[name]

    def lend(self, schema: ObjectSchema) -> Any:
        """The object itself, which does not change until the snapshot closes; the caller must not change it.

        For queries whose results are copied before that. Raises what `objects[schema]` raises.
        """
        with self._snapshot.using():
            return self._values[self._name(schema)]


class MemorySnapshot:
    """The objects, pinned: no batch changes them until it is closed. `leave` is called at its end."""

    __slots__ = (
        "_bundle",
        "_changed",
        "_checkpoint",
        "_closed",
        "_leave",
        "_lock",
        "_what",
        "__weakref__",
        "opened",
    )

    def __init__(
        self, bundle: Bundle, leave: Callable[[Bundle], None], closed: type[SnapshotClosed], what: str
    ) -> None:
        self._bundle: Bundle | None = bundle
        self._checkpoint = bundle.checkpoint
        self._changed = bundle.changed
        self._leave = leave
        self._closed = closed
        self._what = what
        self._lock = threading.RLock()
        self.opened = time.monotonic()

    @property
    def target(self) -> ReadObjects:
        """The objects for queries.

        After the end it raises SnapshotClosed, or the error that was asked for.
        """
        with self.using() as bundle:
            return ReadObjects(self, bundle.values, self._what)

    @property
    def checkpoint(self) -> int:
        """The position of the last event that the objects include; known even after the end."""
        return self._checkpoint

    def changed(self, name: str = "") -> int:
        """The position of the last batch in which a projection used this object; for "" any object."""
        return last_change(self._changed, name)

    @contextmanager
    def using(self) -> Iterator[Bundle]:
        """Hold it open during the block.

        After the end it raises SnapshotClosed, or the error that was asked for.
        """
        """Hold it open for the length of the block.

        Raises SnapshotClosed, or what was asked for, after the end.
        """
        with self._lock:
            if self._bundle is None:
                raise self._closed(
                    f"a snapshot of {self._what} is closed and cannot be used any more; take a new one"
                )
            yield self._bundle

    def all(self) -> list[tuple[str, Any]]:
        """All objects themselves, with their names, in the order of the names."""
        with self.using() as bundle:
            return sorted(bundle.values.items())

    def abandon(self) -> None:
        """Forget the objects, and the lock, which a dead thread may hold."""
        self._lock = threading.RLock()
        self._bundle = None

    def close(self) -> None:
        """Release the objects; waits for a copy that is being made. A second call does nothing."""
        with self._lock:
            bundle, self._bundle = self._bundle, None
        if bundle is not None:
            self._leave(bundle)

    def __enter__(self) -> MemorySnapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
