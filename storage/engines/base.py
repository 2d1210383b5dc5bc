"""The protocol of an engine: a store of one build of a read model, next to the LMDB tables of its replica.

A store belongs to one build. One thread, the replica's, calls `begin`, `flush`, `commit` and `abort`; any
thread takes snapshots. A batch and its checkpoint are committed together, so a store always knows its
position. `ENGINES` in `storage.tables.schema` registers the engines by name; docs/extending.md adds one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from storage.codec.codec import Codec
from storage.errors import SnapshotClosed
from storage.tables.schema import ModelSchema, Row

__all__ = ["ModelSnapshot", "ModelStore", "TryAgain"]


class TryAgain(Exception):
    """`snapshot` was called while a batch changes the data: call `await_readable`, then `snapshot` again.

    With `refilling`, many batches have to be applied before the data can be read.
    """

    def __init__(self, store: ModelStore, refilling: bool = False) -> None:
        super().__init__()
        self.store = store
        self.refilling = refilling


class ModelSnapshot(Protocol):
    """One build as it was at one moment. One thread at a time uses it; any thread may close it."""

    @property
    def target(self) -> Any:
        """What a query reads: a read-only connection, or the objects.

        Raises the snapshot's error once closed.
        """
        ...

    @property
    def checkpoint(self) -> int:
        """The position of the last event that it includes, 0 for none; known even after it is closed."""
        ...

    def changed(self, name: str = "") -> int:
        """An upper bound of the position that last changed the object of this name, or any object for ""."""
        ...

    def close(self) -> None:
        """End it: a running statement is interrupted, later uses raise. A second call does nothing."""
        ...

    def abandon(self) -> None:
        """As `close`, but without touching files and locks: in a forked child they are the parent's."""
        ...


class ModelStore(Protocol):
    """One build's data in one directory."""

    @classmethod
    def open(cls, directory: Path, schema: ModelSchema | None, codec: Codec) -> ModelStore:
        """Open the data in `directory`; if there are none, create them, at checkpoint 0.

        The caller knows whether existing data belong to this build and can be trusted; after an unclean end
        it must call `delete` first. Without a schema, the code is gone: the data can be read, and `begin` is
        refused. Raises InvalidSchema for a mistake in the schema; DamagedStore if `delete` and another `open`
        will help; StoreFull, StoreReadOnly, StorageError.
        """
        ...

    @property
    def checkpoint(self) -> int:
        """The position up to which the data are committed. Any thread.

        It may go down: after `abort` (memory). It may also be lower than in the replica's other stores, after
        a crash between two commits. So read it again after each of these, and read the missing events from
        the log.
        """
        ...

    @property
    def digest(self) -> bytes:
        """The digest of the event at the checkpoint, empty if it is unknown. Any thread."""
        ...

    # -- applying: one thread --------------------------------------------------------------------------------
    def begin(self) -> Any:
        """Begin a batch; returns the second parameter of projections, which must not be used after the batch.

        It may wait up to 0.1 s for readers, so hold no lock that readers need. Raises StorageError.
        """
        ...

    def flush(self) -> None:
        """Raise any error now that would make `commit` fail for the events of the batch so far."""
        ...

    def commit(self, position: int, digest: bytes = b"") -> None:
        """End the batch with this checkpoint and the digest of its event: all of it or nothing is stored.

        It must be short, as it is called under the lock of snapshots. Raises StoreFull, DamagedStore,
        StorageError; then call `abort`.
        """
        ...

    def abort(self) -> None:
        """Undo the batch; without a batch it does nothing. Read `checkpoint` afterwards: it may be lower."""
        ...

    # -- reading: any thread ---------------------------------------------------------------------------------
    def await_readable(self, timeout: float = 10.0) -> None:
        """Wait until a snapshot can be taken. Call it before taking a lock that the applying thread needs.

        It waits for the end of a batch that changes the data in place, and while data are filled again after
        `abort`. Raises StorageError after `timeout` seconds.
        """
        ...

    def snapshot(
        self, *, closed: type[SnapshotClosed] = SnapshotClosed, waited: bool = False
    ) -> ModelSnapshot:
        """A snapshot of the present data, without waiting; `closed` is the error for a use after its end.

        `waited` says whether `await_readable` was called since the last snapshot. Raises TryAgain: then
        release all locks, call `await_readable`, and start again. Raises StoreClosed; StorageError if too
        many are open.
        """
        ...

    def changed(self, name: str = "") -> int:
        """An upper bound of the position that last changed the object of this name, or any object for "".

        Directly after opening it is the checkpoint.
        """
        ...

    def dump(self) -> dict[str, list[Row]]:
        """All data by name of table or object, in a stable order, for comparisons. It takes memory."""
        ...

    def size_bytes(self) -> int:
        """The size of the build's files in bytes."""
        ...

    def close(self) -> None:
        """End all snapshots and close the files, with all data in them. No batch may be open.

        A second call does nothing.
        """
        ...

    @classmethod
    def delete(cls, directory: Path) -> None:
        """Delete all files of a closed store, and its directory; does nothing if there are none."""
        ...
