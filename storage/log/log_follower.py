"""The log of a store that another process writes, or none, read from its memory map. Any thread.

Its user says up to which position events are shown: the writing process tells a worker how far the log is on
disk, and a reader of its own asks `committed_head`. Later events are not shown, even if they are in the file.
Nothing is locked or written, except the slots of readers, which protect the pages that are being read. No
slot is held between two calls.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from storage.archive.archives import ARCHIVES_FOLDER
from storage.codec.codec import Codec
from storage.errors import DamagedStore, NotAStore, SnapshotClosed, StorageError, StoreClosed
from storage.files.arguments import resolved_path
from storage.files.damage import file_identity
from storage.files.environment import DATA_FILE, READERS_FILE, check_directory, open_environment
from storage.files.error_translation import from_system, translate
from storage.files.header import Header, read_header
from storage.files.open_store import check_pages
from storage.files.opening_resources import Descriptor, ResourceSlot
from storage.files.store_lock import LOCK_FILE, doubt_of, is_at, is_elsewhere
from storage.log.archive_records import known_archive
from storage.log.correction_entries import last_number
from storage.log.inline_snapshot import InlineSnapshot
from storage.log.inline_tables import max_databases
from storage.log.log_databases import existing_databases, malformed_index
from storage.log.log_reader import LogReader
from storage.log.notes import read_notes
from storage.log.read_gate import ReadGate
from storage.log.records import U64, CommandRecord, name_key
from storage.log.unindexed_tail import UnindexedTail, read_tail
from storage.tables.schema import ModelSchema

__all__ = ["LogFollower"]


class LogFollower(LogReader):
    """The readable part of `EventLog`, in a process that does not write. Create one with `LogFollower.open`.

    It is a context manager. Its `head` is the position of the last `advance`, 0 at first. Notes and the
    tables of inline models are those of the last commit; the tables include their positions.
    """

    def __init__(
        self,
        codec: Codec,
        path: Path,
        environment: lmdb.Environment,
        header: Header,
        inline: Sequence[ModelSchema] | None = None,
        map_size: int | None = None,
        archives_path: Path | None = None,
    ) -> None:
        """Called by `open`, which says what the arguments mean."""
        what = f"the log in {path}"
        archives = path / ARCHIVES_FOLDER if archives_path is None else archives_path
        super().__init__(codec, header, ReadGate(what), inline, what, archives)
        self.path = path
        self._file = path / DATA_FILE
        self._map_size = map_size
        self._identity = self._files()
        self.opened_file = self._identity[0]
        self._marker = self._open_marker()
        self._advancing = threading.Lock()
        self._growing = threading.RLock()
        self._reading_tail = threading.Lock()
        self._tail_head = 0
        self._closed = False
        self._attach(environment)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        codec: Codec,
        *,
        map_size: int | None = None,
        inline: Sequence[ModelSchema] | None = None,
        verify_bytes: int | None = None,
        archives_path: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the log in the directory `path`, which another process has, or had, open for writing.

        `map_size` is as in that process. `inline` are the inline models to read, as that process
        declares them. Give `verify_bytes` unless that process has just checked the file: it is checked like
        `EventLog.open` does, and so that nobody has to write for that. `archives_path` is as in that process.

        Raises NotAStore if there is no log; NewerFormat, DamagedStore; StoreReadOnly if no reader can
        register; and StorageError if this process has it open, or the tables of `inline` do not exist.
        """
        path = resolved_path(path)
        opened: ResourceSlot[lmdb.Environment] = ResourceSlot(lmdb.Environment.close)
        try:
            if verify_bytes is not None and check_directory(path, create=False):
                doubt = doubt_of(path)
                if doubt is not None:
                    check_pages(path, doubt, verify_bytes)
            while True:
                file = file_identity(path / DATA_FILE)
                try:
                    opened.resource = environment = _opened(path, map_size, inline)
                except StorageError:
                    if file_identity(path / DATA_FILE) == file:
                        raise
                    continue  # it was compacted at this moment
                if file_identity(path / DATA_FILE) == file:
                    break
                opened.release()
            header = read_header(environment, "log", length=verify_bytes is not None)
            if header is None:
                raise NotAStore(f"the log in {path} is empty; open it here once it is open for writing")
            archives = None if archives_path is None else resolved_path(archives_path)
            return cls(codec, path, environment, header, inline, map_size, archives)
        except BaseException as error:
            opened.release()
            if isinstance(error, OSError):
                raise from_system(error, f"{path} cannot be opened", path) from error
            raise

    def advance_to_end(self) -> list[tuple[bytes, bytes]]:
        """Show all events that are in the file, up to the new `head`; return the notes of the same commit.

        For a program that is not notified of commits. If another process is writing, the last commit may not
        be on disk yet: if the machine goes down at this moment, it is lost.
        """
        with self._reading() as transaction:
            with transaction.cursor(self._databases["events"]) as cursor:
                last = U64.unpack(cursor.key())[0] if cursor.last() else 0
            notes = read_notes(transaction, self._databases["notes"], b"", b"", None, self._records)
        self.advance(last)
        return notes

    def advance(self, head: int) -> None:
        """Show the events up to the position `head`, which are on disk. A lower position changes nothing."""
        with self._advancing:
            self._head = max(self._head, head)

    def committed_head(self) -> int:
        """Return the last position that is on disk, whoever committed it; `advance` shows it.

        LMDB shows a commit to other processes once it is on disk. Raises DamagedStore, StoreClosed.
        """
        with self._reading() as transaction:
            events = self._databases["events"]
            with transaction.cursor(events) as cursor:
                head: int = U64.unpack(cursor.key())[0] if cursor.last() else 0
            count = transaction.stat(events)["entries"]
        if count != head:
            raise DamagedStore(
                f"the log in {self.path} ends at position {head} and holds {count} events: some of them, or "
                "their positions, are lost; restore a backup"
            )
        return head

    def moved(self) -> bool:
        """Whether the log's directory, or one above it, was moved or renamed since it was opened.

        Any thread.
        """
        marker = self._marker
        return marker is not None and is_elsewhere(marker.number, self.path / LOCK_FILE)

    def _open_marker(self) -> Descriptor | None:
        try:
            return Descriptor(self.path / LOCK_FILE, os.O_RDONLY)
        except OSError:
            return None  # it only serves to find out where the directory is

    def close(self) -> None:
        """Close the log once all calls in progress are done; a second call does nothing. Any thread."""
        with self._growing:
            if not self._closed:
                self._gate.close()
                self._detach()
                if self._marker is not None:
                    self._marker.close()
                self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- the indexes may have entries of events beyond the head ----------------------------------------------
    def stream_version(self, stream: str) -> int:
        """Return the version of a stream's last event, 0 if it has none. Raises InvalidKey."""
        head = self._head
        version = super().stream_version(stream)
        prefix = name_key("stream", stream) + b"\0"
        with self._reading() as transaction:
            index = self._databases["streams"]
            while version:
                at = transaction.get(prefix + U64.pack(version), db=index)
                if at is None or U64.unpack(at)[0] <= head:  # None: it is in the tail, which ends at the head
                    break
                version -= 1
        return version

    def streams(self, prefix: str = "", limit: int = 1000, after: str = "") -> list[tuple[str, int]]:
        """Return names and versions of streams by name: those with `prefix`, and after `after`."""
        found: list[tuple[str, int]] = []
        while len(found) < limit:
            wanted = limit - len(found)
            more = super().streams(prefix, wanted, after)
            versions = ((name, self.stream_version(name)) for name, _ in more)
            found += [item for item in versions if item[1]]
            if len(more) < wanted:
                break
            after = more[-1][0]
        return found

    def command(self, command_id: str) -> CommandRecord | None:
        """Return the record of a command, or None if the log does not know its id. Raises InvalidKey."""
        head = self._head
        record = super().command(command_id)
        known = record is not None and record.first + max(record.count - 1, 0) <= head
        return record if known else None

    def snapshot(self, stream: str) -> tuple[int, str, object] | None:
        """Return version, fingerprint and state of a stream's snapshot, or None if there is no usable one."""
        found = super().snapshot(stream)
        return found if found is not None and found[0] <= self.stream_version(stream) else None

    def stats(self) -> dict[str, int]:
        """As `LogReader.stats`, for all that is on disk; waiting index entries are counted up to the head."""
        self._tail_head = 0  # the indexes may have grown since
        return super().stats()

    def inline_snapshot(self, *, closed: type[SnapshotClosed] = SnapshotClosed) -> InlineSnapshot:
        """Return the inline tables as they are committed; see `LogReader.inline_snapshot`."""
        while True:
            try:
                return super().inline_snapshot(closed=closed)
            except _Replaced:
                self._open_replacement()
                continue
            except StorageError as error:
                if not isinstance(error.__cause__, lmdb.MapResizedError):
                    raise
            self._grow()

    def reader_check(self) -> int:
        """As `OpenLog.reader_check`; nothing of a file that was replaced."""
        try:
            return super().reader_check()
        except _Replaced:
            return 0

    def follow_file(self) -> None:
        """Open the file that replaced the one that is open, where the writing process compacted the log.

        Every read does that. Any thread.
        """
        if self._is_replaced():
            with suppress(StorageError):
                self._open_replacement()

    # -- inside ----------------------------------------------------------------------------------------------
    def _current_tail(self) -> UnindexedTail:
        head = self._head
        if self._tail_head < head:
            with self._reading_tail, self._reading() as transaction:
                self._tail = read_tail(transaction, self._databases, head, self._records, self._tail)
                self._tail_head = max(self._tail_head, head)
        return self._tail

    def _attach(self, environment: lmdb.Environment) -> None:
        try:
            self._databases = existing_databases(environment, self._records)
            if self._inline is not None:
                self._inline.attach_read_only(environment)
        except lmdb.NotFoundError as error:
            raise StorageError(
                f"the log in {self.path} lacks a database ({error}): the process that writes it has not "
                "opened it yet, or declares other inline models; open it here afterwards, with the same "
                "models"
            ) from error
        except lmdb.Error as error:
            raise translate(error, f"opening the log in {self.path}") from error
        self._environment = environment

    def _files(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """The files at the log's path. Both are replaced together, the table of readers first."""
        return file_identity(self._file), file_identity(self.path / READERS_FILE)

    def _in_place(self) -> bool:
        """Whether the directory at the path is the one that was opened."""
        marker = self._marker
        return marker is not None and is_at(marker.number, self.path / LOCK_FILE)

    def _is_replaced(self) -> bool:
        return not self._closed and self._files() != self._identity and not self.moved()

    def _live_environment(self) -> lmdb.Environment:
        if self._is_replaced() or (self._environment is None and not self._closed):
            raise _Replaced(
                f"{self._file} has been removed or replaced since it was opened here; open the log again"
            )
        return super()._live_environment()

    def _open_replacement(self) -> None:
        """Open the file that is there now, if it is the same log. Raises StoreClosed if it is not."""
        with self._growing:
            if self._closed or not (self._is_replaced() or self._environment is None):
                return
            gone = StoreClosed(
                f"{self._file} has been removed or replaced since it was opened here; open the log again"
            )
            models = None if self._inline is None else list(self._inline.models.values())
            with self._gate.exclusive():
                self._detach()
                environment = None
                try:
                    files = self._files()
                    if not self._in_place():
                        raise gone
                    environment = _opened(self.path, self._map_size, models)
                    header = read_header(environment, "log", length=False)
                    # Opening it may have made the table of readers.
                    same = self._files()[0] == files[0]
                    if not same or header is None or header.history_id != self.history_id:
                        raise gone
                    with environment.begin() as transaction:
                        events = environment.open_db(b"events", txn=transaction, create=False)
                        if transaction.stat(events)["entries"] < self._head:
                            raise gone  # an earlier state of it
                    self._identity = self._files()
                    self._attach(environment)
                    self.opened_file = files[0]
                    self._tail_head = 0
                except BaseException as error:
                    if environment is not None:
                        environment.close()
                    self._environment = None
                    if isinstance(error, StorageError | lmdb.Error | OSError):
                        raise gone from error
                    raise

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        while True:
            with self._gate:
                replaced = False
                try:
                    transaction = self._live_environment().begin()
                except _Replaced:
                    replaced = True
                except lmdb.MapResizedError:
                    pass
                except lmdb.Error as error:
                    raise translate(error, f"reading the log in {self.path}") from error
                else:
                    try:
                        with transaction:
                            if self._archives.in_use:
                                self._see_removals(transaction)
                            yield transaction
                    except lmdb.Error as error:
                        raise translate(error, f"reading the log in {self.path}") from error
                    except struct.error as error:
                        raise malformed_index(error) from error
                    return
            if replaced:
                self._open_replacement()
            else:
                self._grow()

    def _see_removals(self, transaction: lmdb.Transaction[bytes]) -> None:
        log = transaction, self._databases, self._records
        self._archives.seen(
            last_number(transaction, self._databases), lambda number: known_archive(*log, number)
        )

    def _grow(self) -> None:
        """Adopt a larger map, once no transaction of this process reads in the present one."""
        with self._growing:
            if self._closed:
                return
            with self._gate.exclusive():
                if self._inline is not None:
                    self._inline.detach()
                try:
                    environment = self._live_environment()
                    environment.set_mapsize(0)
                    if self._inline is not None:
                        self._inline.attach_read_only(environment)
                except _Replaced:
                    return
                except lmdb.Error as error:
                    raise translate(error, f"adopting the larger map of the log in {self.path}") from error


class _Replaced(StoreClosed):
    """The file at the path is not the one that is open."""


def _opened(path: Path, map_size: int | None, inline: Sequence[ModelSchema] | None) -> lmdb.Environment:
    return open_environment(
        path, map_size=map_size, max_dbs=max_databases(inline), readonly=True, create=False
    )
