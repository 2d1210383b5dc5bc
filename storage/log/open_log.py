"""An open log: its environment, its databases, and how a transaction reads from them. Any thread.

Each call has its own short read transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from storage.archive.archives import Archives, KnownArchive
from storage.codec.codec import Codec
from storage.errors import ArchiveUnavailable, DamagedStore, StoreClosed
from storage.files.error_translation import translate
from storage.files.header import Header
from storage.files.page_usage import FileUsage, file_usage
from storage.log.archive_records import known_archive
from storage.log.inline_tables import InlineTables
from storage.log.log_databases import DATABASES, malformed_index, open_databases
from storage.log.read_gate import ReadGate
from storage.log.record_format import RecordFormat
from storage.log.records import (
    U64,
    command_of,
)
from storage.log.unindexed_tail import UnindexedTail
from storage.tables.schema import ModelSchema

READ_BYTES = 64 << 20
"""How many bytes one call copies at most, not counting its last event."""


class LogTransaction(NamedTuple):
    """A read transaction of a log, its databases by name, and how its records are read."""

    transaction: lmdb.Transaction[bytes]
    databases: dict[str, lmdb._Database]
    records: RecordFormat


class OpenLog:
    """The base of `EventReads` and `LogReader`."""

    path: Path
    """The log's directory."""

    def __init__(
        self,
        codec: Codec,
        header: Header,
        gate: ReadGate,
        inline: Sequence[ModelSchema] | None,
        what: str,
        archives: Path,
    ) -> None:
        """`inline` are the models with tables in the log; None leaves existing tables alone.

        `archives` is the folder of its archives, which need not exist.
        """
        self._header = header
        self._archives = Archives(archives, self._known_archive)
        self._records = RecordFormat(header.format, what, self._archives)
        self._codec = codec
        self._gate = gate
        self._inline = (
            None if inline is None else InlineTables(inline, codec, what, gate, self._live_environment)
        )
        self._environment: lmdb.Environment | None = None
        self._databases: dict[str, lmdb._Database] = {}
        self._head = 0
        self._chain_end = 0, b""
        self._tail = UnindexedTail(0)
        self._check: Callable[[Any], None] | None = None
        self.opened_file: tuple[int, int] | None = None
        """The file that is open, by its device and inode."""
        self._replacing = False

    @property
    def codec(self) -> Codec:
        """The codec that it decodes with."""
        return self._codec

    @property
    def head(self) -> int:
        """The last committed position, 0 in an empty log; costs nothing."""
        return self._head

    @property
    def history_id(self) -> str:
        """The identity of this log's history, 32 hexadecimal digits."""
        return self._header.history_id

    @property
    def first_history_id(self) -> str:
        """The id with which the history began: another one if the log was restored from a backup.

        The chain begins with it, and the keys of what is sent outside are made of it, so that what was done
        once keeps its key.
        """
        return self._header.first_history_id

    @property
    def created(self) -> datetime:
        """When the log was created, in UTC."""
        return self._header.created

    @property
    def format(self) -> int:
        """The version of its files' format."""
        return self._header.format

    def moved(self) -> bool:
        """Whether the log's directory, or one above it, was moved or renamed since it was opened.

        Any thread.
        """
        raise NotImplementedError

    def stored_head(self) -> int:
        """The position of the last event on disk: it is after `head` between a commit and its publication."""
        with self._reading() as transaction, transaction.cursor(self._databases["events"]) as cursor:
            return int(U64.unpack(cursor.key())[0]) if cursor.last() else 0

    def stats(self) -> dict[str, int]:
        """Return the number of entries of each database, the log's size and map in bytes, and its readers."""
        waiting = self._current_tail().sizes()
        with self._reading() as transaction:
            numbers = {
                name: transaction.stat(self._databases[name])["entries"] + waiting.get(name, 0)
                for name in DATABASES
            }
            environment = self._live_environment()
            info = environment.info()
            page = environment.stat()["psize"]
        return {
            **numbers,
            "bytes": (info["last_pgno"] + 1) * page,
            "map_bytes": info["map_size"],
            "readers": info["num_readers"],
        }

    def usage(self) -> FileUsage:
        """How full the log's file is: its pages by database, what is free, and who reads the oldest state.

        Raises DamagedStore.
        """
        return file_usage(self.path, self._reading_environment)

    @contextmanager
    def _reading_environment(self) -> Iterator[tuple[lmdb.Environment, int]]:
        with self._reading() as transaction:
            yield self._live_environment(), transaction.id()

    def is_being_replaced(self) -> bool:
        """Whether the file is just being replaced by one of the same contents. Any thread."""
        return self._replacing

    def follow_file(self) -> None:
        """Open the file that replaced the one that is open, where another process did that. Any thread."""

    def reader_check(self) -> int:
        """Free the slots of readers whose processes died, so that pages can be reused; return how many."""
        with self._gate:
            return self._live_environment().reader_check()

    def _values(self, after: int, limit: int, until: int | None, whole: bool = False) -> list[bytes]:
        head = self._head
        count = min(limit, (head if until is None else min(until, head)) - after)
        if count <= 0:
            return []
        records = self._records
        values: list[bytes] = []
        damage: DamagedStore | ArchiveUnavailable | None = None
        with self._events_after(after) as following:
            try:
                for group in records.groups(after + 1, islice(following, count), READ_BYTES):
                    values += group.own()
            except (DamagedStore, ArchiveUnavailable) as error:
                damage = error
            more = head - after - len(values)
            if whole and more and damage is None:
                command = command_of(values[-1])
                rest = enumerate(islice(following, more), after + 1 + len(values))
                opened = (records.event(position, value) for position, value in rest)
                values += takewhile(lambda value: command_of(value) == command, opened)
        if damage is not None:
            # Those before it can be used, but not the first half of a command.
            if whole and values:
                command = command_of(values[-1])
                while values and command_of(values[-1]) == command:
                    values.pop()
            if not values:
                raise damage
        return values

    @contextmanager
    def _events_after(self, after: int) -> Iterator[Iterator[bytes]]:
        """The stored bytes of the events after a position, which the log has; within a transaction."""
        first = U64.pack(after + 1)
        with self._reading() as transaction, transaction.cursor(self._databases["events"]) as cursor:
            if not cursor.set_range(first) or cursor.key() != first:
                raise DamagedStore(f"position {after + 1} is missing from the log; restore a backup")
            yield cursor.iternext(keys=False)

    def _current_tail(self) -> UnindexedTail:
        """The tail up to at least the head; take it before you begin a transaction that reads the indexes."""
        return self._tail

    def _attach(self, environment: lmdb.Environment) -> None:
        """Read from this environment from now on; if that is not possible, it is closed."""
        try:
            self._databases, self._head, self._tail, digest = open_databases(
                environment, self.first_history_id, self._records
            )
            self._chain_end = self._head, digest
            if self._check is not None:
                self._environment = environment
                self._check(self)
                self._check = None
            if self._inline is not None:
                self._inline.attach(environment, self._head)
        except lmdb.Error as error:
            path = environment.path()
            environment.close()
            raise translate(error, f"opening the log in {path}", path) from error
        except DamagedStore:
            environment.close()
            raise
        self._environment = environment

    def _detach(self) -> None:
        """Close the environment; no reader may be in the gate."""
        if self._inline is not None:
            self._inline.detach()
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _live_environment(self) -> lmdb.Environment:
        """The environment to read from; use it within the gate. Raises StoreClosed."""
        if self._environment is None:
            raise StoreClosed("the log is not open since reopening it failed; call reopen() again")
        return self._environment

    def _known_archive(self, number: int) -> KnownArchive | None:
        """What the log knows of an archive. Within the gate, also within the transaction of a read.

        That goes on in the file which it began in, also if another one is in its place by now.
        """
        with OpenLog._live_environment(self).begin() as transaction:
            return known_archive(transaction, self._databases, self._records, number)

    @contextmanager
    def transaction(self) -> Iterator[LogTransaction]:
        """A read transaction; while it lasts no page that it may read is used again.

        Raises StoreClosed, StorageError.
        """
        with self._reading() as transaction:
            yield LogTransaction(transaction, self._databases, self._records)

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        with self._gate:
            try:
                with self._live_environment().begin() as transaction:
                    yield transaction
            except lmdb.Error as error:
                raise translate(error, "reading the log") from error
            except struct.error as error:
                raise malformed_index(error) from error
