"""A build of a read model as Python objects: the fastest to read, restored from a saved state and the log.

Projections change the objects in place, so readers and the applying thread take turns. Snapshots pin the
objects, and a batch waits a moment until they are released. If that takes too long, the batch works on a
copy, and leaves the objects that are being read to their readers. One thread applies; any thread reads.
"""

from __future__ import annotations

import copy
import logging
import shutil
import threading
import time
from pathlib import Path
from weakref import WeakSet

from storage.codec.codec import Codec
from storage.engines.base import TryAgain
from storage.engines.memory.objects import Bundle, MemorySnapshot, WriteObjects
from storage.engines.memory.saved_state import FILE, SavedStateFile
from storage.errors import SnapshotClosed, StorageError, StoreClosed
from storage.files.error_translation import from_system
from storage.tables.schema import ModelSchema, Row

__all__ = ["MemoryStore"]

logger = logging.getLogger("onewriter.memory")

PATIENCE = 0.05
"""Seconds that a batch waits for readers before it works on a copy."""

LONG_PATIENCE = 10.0
"""Seconds that a batch waits for readers of objects that cannot be copied."""

SAVE_EVERY = 10_000
"""Events after which the objects are saved. If the saved file is large, one event per `BYTES_AN_EVENT`."""

BYTES_AN_EVENT = 100
"""Saving this much takes about a tenth of the time of applying an event, so saving costs little."""

_CAREFUL = 16
"""How many batches after a failed one work on a copy, so that another failure undoes nothing else."""


class MemoryStore:
    """A `ModelStore`: `storage.engines.base` says what each method promises."""

    def __init__(self, directory: Path, schema: ModelSchema | None, codec: Codec) -> None:
        self.directory = directory
        self._what = f"the objects of {directory}"
        self._frozen = schema is None
        self._objects = {schema.name: schema for schema in schema.objects} if schema is not None else {}
        self._saved_state = SavedStateFile(directory, self._objects, codec)
        self._turn = threading.Condition()
        self._closed = self._ended = False
        self._current = self._restored()
        self._saved_at = self._current.checkpoint
        self._working: Bundle | None = None
        self._target: WriteObjects | None = None
        self._shut = False  # a batch is about to begin: only readers with a promise may still enter
        self._refill_to = 0  # after an abort: readers have seen this position, and must not see a lower one
        self._careful = 0
        self._save_now = False
        self._copyable = True
        self._waiting = self._promised = self._turns = 0
        self._open: WeakSet[MemorySnapshot] = WeakSet()

    @classmethod
    def open(cls, directory: Path, schema: ModelSchema | None, codec: Codec) -> MemoryStore:
        """Load the saved state in `directory`; if that is not possible, start with empty objects."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise from_system(error, f"opening the objects of {directory}", directory) from error
        return cls(directory, schema, codec)

    def _restored(self) -> Bundle:
        saved = self._saved_state.load()
        values = saved.values if saved is not None else {}
        if not self._frozen:
            if saved is not None and values.keys() != self._objects.keys():
                saved, values = None, {}
            values = values or {name: schema.factory() for name, schema in self._objects.items()}
        checkpoint = saved.checkpoint if saved is not None else 0
        digest = saved.digest if saved is not None else b""
        return Bundle(values, checkpoint, dict.fromkeys(values, checkpoint), digest)

    @property
    def checkpoint(self) -> int:
        """The position that the objects have reached; lower than before after an abort."""
        return self._current.checkpoint

    @property
    def digest(self) -> bytes:
        """The digest of the event at the checkpoint."""
        return self._current.digest

    # -- applying --------------------------------------------------------------------------------------------
    def begin(self) -> WriteObjects:
        """Begin a batch: in place if the readers leave in time, else on a copy."""
        if self._closed:
            raise self._is_closed()
        if self._frozen:
            raise StorageError(f"{self._what} are frozen: the code that filled them is gone")
        self._save_if_due()
        with self._turn:
            self._shut = True
            self._turn.wait_for(self._unread, PATIENCE)
            self._promised = 0
            in_place = not self._current.readers and (not self._careful or self._refill_to > 0)
            if not in_place:
                self._shut = False
                self._admit()
            # Immediately: readers with a promise may enter as long as no batch has the objects.
            self._working = self._current if in_place else None
        working = self._working or self._copied() or self._waited_for()
        self._working = working
        self._target = WriteObjects(working.values, self._what)
        return self._target

    def _copied(self) -> Bundle | None:
        if not self._copyable:
            return None
        try:
            return self._current.copied()
        except Exception as error:
            self._copyable = False
            logger.warning(
                "%s cannot be copied (%s: %s), so each batch of events waits until nobody reads them; keep "
                "in them only what copy.deepcopy copies",
                self._what,
                type(error).__name__,
                error,
            )
            return None

    def _waited_for(self) -> Bundle:
        with self._turn:
            self._shut = True
            if not self._turn.wait_for(lambda: not self._current.readers, LONG_PATIENCE):
                self._shut = False
                self._admit()
                raise StorageError(
                    f"{self._what} have been read for {LONG_PATIENCE:g} s and cannot be copied, so no event "
                    "can be applied; keep in them only what copy.deepcopy copies, and close views"
                )
            self._working = self._current
            return self._current

    def flush(self) -> None:
        """Nothing is buffered."""

    def commit(self, position: int, digest: bytes = b"") -> None:
        """Show the batch to readers."""
        target = self._end_target()
        with self._turn:
            working = self._working
            if working is None:
                raise StorageError(f"{self._what}: there is no batch to commit; begin one")
            working.committed(position, digest, target.touched if target is not None else ())
            self._current, self._working = working, None
            if position >= self._refill_to:
                # The next batch may fail again, and objects that cannot be copied would go back just as far.
                self._save_now = self._save_now or self._refill_to > 0
                if self._careful and not self._refill_to:
                    self._careful -= 1
                self._refill_to = 0
            self._shut = False
            self._admit()

    def abort(self) -> None:
        """Undo a batch: if it did not work on a copy, the objects go back to their last saved state."""
        self._end_target()
        with self._turn:
            working, self._working = self._working, None
            if working is None:
                return
            self._careful = _CAREFUL
            if working is self._current:
                self._refill_to = max(self._refill_to, working.checkpoint)
                self._current = self._restored()
                self._saved_at = self._current.checkpoint
                if self._current.checkpoint >= self._refill_to:
                    self._refill_to = 0
            self._shut = False
            self._admit()

    def _end_target(self) -> WriteObjects | None:
        target, self._target = self._target, None
        if target is not None:
            target.end()
        return target

    def _unread(self) -> bool:
        return not self._current.readers and not self._promised

    def _admit(self) -> None:
        # Waiting readers are promised a turn: a thread that applies without a pause would shut them out for
        # ever.
        if not self._refill_to:
            self._promised += self._waiting
            self._waiting = 0
            self._turns += 1
        self._turn.notify_all()

    def _save_if_due(self) -> None:
        current = self._current
        interval = max(SAVE_EVERY, self._saved_state.size // BYTES_AN_EVENT)
        if self._save_now or current.checkpoint - self._saved_at >= interval:
            self._save_now = False
            self._saved_state.save(current.values, current.checkpoint, current.digest)
            self._saved_at = current.checkpoint

    # -- reading ---------------------------------------------------------------------------------------------
    def _readable(self) -> bool:
        return not (self._shut or self._refill_to or self._working is self._current)

    def await_readable(self, timeout: float = 10.0) -> None:
        """Wait for a turn; the next batch then waits for the reader, as long as its patience lasts."""
        with self._turn:
            turn = self._turns
            self._waiting += 1
            self._turn.wait_for(lambda: self._closed or self._turns != turn or self._readable(), timeout)
            if self._turns != turn:
                return
            self._waiting -= 1
            if self._closed:
                raise self._is_closed()
            if not self._readable():
                doing = "being filled again after a failure" if self._refill_to else "in a batch of events"
                raise StorageError(f"{self._what} have been {doing} for {timeout:g} s; ask again")
            self._promised += 1

    def snapshot(
        self, *, closed: type[SnapshotClosed] = SnapshotClosed, waited: bool = False
    ) -> MemorySnapshot:
        """Pin the present objects."""
        with self._turn:
            if self._closed:
                raise self._is_closed()
            # Only a reader that waited uses up a promise: others come so often that none would be left.
            promised = waited and self._promised > 0
            if promised:
                self._promised -= 1
            if not (self._readable() or (promised and self._shut and self._working is None)):
                self._turn.notify_all()
                raise TryAgain(self, self._refill_to > 0)
            self._current.readers += 1
            snapshot = MemorySnapshot(self._current, self._leave, closed, self._what)
            self._open.add(snapshot)
            return snapshot

    def _leave(self, bundle: Bundle) -> None:
        with self._turn:
            bundle.readers -= 1
            if not bundle.readers:
                self._turn.notify_all()

    def changed(self, name: str = "") -> int:
        """The position of the last batch in which a projection used the object."""
        return self._current.last_change(name)

    def dump(self) -> dict[str, list[Row]]:
        """A copy of each object, as the only row of a table with its name."""
        with self._pinned() as snapshot:
            return {name: [{"value": copy.deepcopy(value)}] for name, value in snapshot.all()}

    def _pinned(self) -> MemorySnapshot:
        end = time.monotonic() + 10.0
        while True:
            self.await_readable(max(end - time.monotonic(), 0.0))
            try:
                return self.snapshot(waited=True)
            except TryAgain:
                continue

    def size_bytes(self) -> int:
        """The size of the saved state; the objects themselves are in memory."""
        try:
            return (self.directory / FILE).stat().st_size
        except FileNotFoundError:
            return 0

    # -- ending ----------------------------------------------------------------------------------------------
    def close(self) -> None:
        """End all snapshots and save the objects to disk."""
        with self._turn:
            if self._ended:
                return
            self._closed = True
            self._turn.notify_all()
            open_now = list(self._open)
        for snapshot in open_now:
            snapshot.close()
        self.abort()
        if not self._frozen and self._current.checkpoint:
            current = self._current
            self._saved_state.save(current.values, current.checkpoint, current.digest, durable=True)
        self._ended = True

    @classmethod
    def delete(cls, directory: Path) -> None:
        """Delete the saved state and its directory."""
        shutil.rmtree(directory, ignore_errors=True)

    def _is_closed(self) -> StoreClosed:
        return StoreClosed(f"{self._what} are closed; open them again")
