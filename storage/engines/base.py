"""What an engine is: where one build of a read model is kept, beside the LMDB tables of its replica.

A store belongs to one build. One thread, the replica's, calls `begin`, `flush`, `commit` and `abort`; any thread takes
snapshots. What is applied and the checkpoint change together, so a store always knows how far it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from storage.codec.codec import Codec
from storage.errors import SnapshotClosed
from storage.tables.schema import ModelSchema, Row

__all__ = ["ModelSnapshot", "ModelStore", "TryAgain"]


class TryAgain(Exception):
    """`snapshot` came while the applying thread changes the data: call `await_readable`, then `snapshot` again.

    With `refilling` many batches have to be applied before the data can be read.
    """

    def __init__(self, store: ModelStore, refilling: bool = False) -> None:
        super().__init__()
        self.store = store
        self.refilling = refilling


class ModelSnapshot(Protocol):
    """One build as it was at one moment. One thread at a time uses it; any thread may close it."""

    @property
    def target(self) -> Any:
        """What a query gets: a read-only connection, or the objects. Raises the snapshot's error once it is closed."""
        ...

    @property
    def checkpoint(self) -> int:
        """The position of the last event that it includes, 0 for none; known after closing too."""
        ...

    def changed(self, name: str = "") -> int:
        """An upper bound of the position that last changed the object of this name; "" is the whole build."""
        ...

    def close(self) -> None:
        """End it: a statement that runs is interrupted, later uses raise. The second call does nothing."""
        ...

    def abandon(self) -> None:
        """As `close`, but touch no file and no lock: in a forked child they are the parent's."""
        ...


class ModelStore(Protocol):
    """One build's data in one directory."""

    @classmethod
    def open(cls, directory: Path, schema: ModelSchema | None, codec: Codec) -> ModelStore:
        """Open what is in `directory`, or make it, at checkpoint 0, where there is nothing.

        The caller knows whether what is there belongs to this build and can be trusted; after a doubtful end call
        `delete` first. Without a schema the code is gone: the data can be read, `begin` is refused.
        Raises InvalidSchema for a mistake in the schema, DamagedStore where `delete` and another `open` helps,
        StoreFull, StoreReadOnly, StorageError.
        """
        ...

    @property
    def checkpoint(self) -> int:
        """The position up to which the data go, as committed. Any thread.

        It may be lower than before after `abort` (memory), and lower than that of other stores of the replica after
        a crash between two commits: whoever applies asks again after each, and reads what is missing from the log.
        """
        ...

    @property
    def digest(self) -> bytes:
        """That of the event at the checkpoint, empty where it is not known. Any thread."""
        ...

    # -- applying: one thread --------------------------------------------------------------------------------
    def begin(self) -> Any:
        """Begin a batch; returns what projections get as their second parameter. It is of no use after the batch.

        May wait up to 0.1 s for readers, so hold no lock that readers need. Raises StorageError.
        """
        ...

    def flush(self) -> None:
        """Raise now whatever would make `commit` fail for the events of the batch so far."""
        ...

    def commit(self, position: int, digest: bytes = b"") -> None:
        """End the batch with this checkpoint and the digest of the event there, all or nothing. Short, for it is called under the lock of snapshots.

        Raises StoreFull, DamagedStore, StorageError; then `abort` is to be called.
        """
        ...

    def abort(self) -> None:
        """End the batch without a trace of it; does nothing without one. Read `checkpoint` afterwards: it may be lower."""
        ...

    # -- reading: any thread ---------------------------------------------------------------------------------
    def await_readable(self, timeout: float = 10.0) -> None:
        """Wait until a snapshot can be taken. Call it before taking any lock that the applying thread needs.

        Waits for the end of a batch that changes the data in place, and while they are filled again after `abort`.
        Raises StorageError after `timeout` seconds.
        """
        ...

    def snapshot(
        self, *, closed: type[SnapshotClosed] = SnapshotClosed, waited: bool = False
    ) -> ModelSnapshot:
        """The data as they are now, without waiting; `closed` is what using it after its end raises.

        `waited` is whether `await_readable` has returned since the last one. Raises TryAgain: then let go of all
        locks, call `await_readable`, and begin again. Raises StoreClosed, StorageError for too many at once.
        """
        ...

    def changed(self, name: str = "") -> int:
        """An upper bound of the position that last changed the object of this name; "" is the whole build.

        After opening it is the checkpoint.
        """
        ...

    def dump(self) -> dict[str, list[Row]]:
        """All data by name of table or object, in a stable order, for comparing. Takes memory."""
        ...

    def size_bytes(self) -> int:
        """The size of the build's files in bytes."""
        ...

    def close(self) -> None:
        """End all snapshots and close the files, all data in them. No batch may be open. The second call does nothing."""
        ...

    @classmethod
    def delete(cls, directory: Path) -> None:
        """Delete all files of a closed store, the directory too; nothing happens where there are none."""
        ...
