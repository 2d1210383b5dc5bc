"""The files of a log that is made of a backup. One thread; nothing of it is synced before `end`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from storage.archive.archive_file import ArchiveFile
from storage.backup.chain_follower import correction_time, link_fields, opened_operation
from storage.backup.segment_format import LinkRecord, Point
from storage.backup.segment_source import is_on_chain
from storage.errors import DamagedStore
from storage.files.environment import DATA_FILE, open_environment
from storage.files.header import FORMAT_VERSION, META_DB, Header, write_header
from storage.files.opening_resources import Descriptor, sync_directory
from storage.log.archive_records import (
    StoredArchive,
    archive_of_operation,
    put_archive,
    removal_of_operation,
)
from storage.log.archived_event import Stub
from storage.log.chain import CHAIN
from storage.log.checksums import opened_event, opened_stub, resealed_event, sealed_records, sealed_stub
from storage.log.correction_entries import CORRECTIONS, first_bytes
from storage.log.corrections import ChangedEvent, put_changes, put_operation
from storage.log.log_databases import DATABASES
from storage.log.open_log import LogTransaction
from storage.log.record_format import RecordFormat
from storage.log.records import U64
from storage.log.unindexed_tail import put_indexed_position, read_tail

__all__ = ["RestoredLog"]

TOGETHER = 20_000
"""Events in one transaction."""


class RestoredLog:
    """In an empty directory that exists. It is a store only after `end`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = RecordFormat(FORMAT_VERSION, f"the log in {folder}")
        self._environment = open_environment(folder, max_dbs=16, sync=False)
        names = (*DATABASES, CHAIN, CORRECTIONS, META_DB.decode())
        with self._environment.begin(write=True) as transaction:
            self._databases = {
                name: self._environment.open_db(name.encode(), txn=transaction) for name in names
            }
            put_indexed_position(transaction, self._databases, 0)
        self._transaction: lmdb.Transaction[bytes] | None = None
        self._waiting = 0
        self._head = 0
        self.archives: dict[int, StoredArchive] = {}
        """Those that operations made, by number."""
        self.operation_times: set[int] = set()
        """When operations were recorded, in microseconds since 1970."""

    def events(self, first: int, values: Sequence[bytes]) -> None:
        """Add stored events, up to the end of a commit."""
        items = [(U64.pack(position), value) for position, value in enumerate(values, first)]
        with self._writing().cursor(self._databases["events"]) as cursor:
            cursor.putmulti(items, append=True)
        self._head = first + len(values) - 1
        self._waiting += len(values)
        if self._waiting >= TOGETHER:
            self.index()

    def links(self, links: Iterable[LinkRecord]) -> None:
        """Add links of the chain, with what they link."""
        transaction = self._writing()
        for link in links:
            transaction.put(link.key, link.link, db=self._databases[CHAIN])
            for command_id, record in link.commands:
                transaction.put(command_id, record, db=self._databases["commands"])
            if link.operation:
                number = link_fields(link)[2]
                put_operation(transaction, self._databases, number, link.operation, link.models)
                self.operation_times.add(correction_time(link.operation, number))
                self._archived(number, opened_operation(link.operation, number))

    def _archived(self, operation: int, record: bytes) -> None:
        """Take over that an operation made an archive, or removed one."""
        made = archive_of_operation(record, operation)
        if made is not None:
            self.archives[made.number] = made
        removed = removal_of_operation(record)
        if removed:
            self.archives[removed] = self.archives[removed]._replace(removal=operation)

    def archive(self, archive: StoredArchive, file: ArchiveFile | None) -> None:
        """Put stubs in the place of the events of an archive that are not archived yet; None if removed."""
        transaction = self._writing()
        if file is not None:
            for position, event in file.events():
                self._put_stub(transaction, archive.number, position, event)
        done = archive._replace(moved=archive.last, moved_events=archive.events, packed=archive.last)
        put_archive(transaction, self._databases, done)

    def _put_stub(
        self, transaction: lmdb.Transaction[bytes], number: int, position: int, event: bytes
    ) -> None:
        at = U64.pack(position)
        stored = transaction.get(at, db=self._databases["events"]) or b""
        if self._records.stub(position, stored) is not None:
            return
        opened = opened_event(position, stored)
        if opened is None or opened[0] != event:
            raise DamagedStore(f"archive {number} has another event at position {position} than the backup")
        stub = Stub.made(number, event, first_bytes(transaction, self._databases, self._records, position))
        transaction.put(at, sealed_stub(position, stub.pack(), opened[1]), db=self._databases["events"])

    def bring_back(self, number: int, file: ArchiveFile) -> None:
        """Put the events of an archive, which did not exist yet, in the place of their stubs."""
        transaction = self._writing()
        for position, event in file.events():
            at = U64.pack(position)
            stored = transaction.get(at, db=self._databases["events"])
            opened = None if stored is None else opened_stub(position, stored)
            if opened is not None and Stub.of(opened[0]).archive == number:
                whole = resealed_event(position, event, opened[1])
                transaction.put(at, whole, db=self._databases["events"])

    def has_stubs_of(self, number: int) -> bool:
        """Whether any event is the stub of one of an archive. It looks at all."""
        with self._writing().cursor(self._databases["events"]) as cursor:
            for at, stored in cursor:
                opened = opened_stub(U64.unpack(at)[0], stored)
                if opened is not None and Stub.of(opened[0]).archive == number:
                    return True
        return False

    def corrected(self, number: int, changes: Sequence[ChangedEvent]) -> None:
        """Change events as a correction did. Raises DamagedStore where they are not as before it."""
        put_changes(self._writing(), self._databases, self._records, number, changes)

    def index(self) -> None:
        """Write the entries of the indexes for all events, and commit."""
        transaction = self._writing()
        tail = read_tail(transaction, self._databases, self._head, self._records)
        for name, items in tail.items().items():
            with transaction.cursor(self._databases[name]) as cursor:
                # An id that was forgotten may be that of a later command, which then counts.
                cursor.putmulti(items, overwrite=True)
        put_indexed_position(transaction, self._databases, tail.indexed + tail.count)
        self._commit()

    def has(self, point: Point, first_history_id: str) -> bool:
        """Whether its chain has a point."""
        if point.position > self._head:
            return False
        log = LogTransaction(self._writing(), self._databases, self._records)
        return is_on_chain(log, point, first_history_id)

    def end(self, notes: Iterable[tuple[bytes, bytes]], header: Header) -> None:
        """Add the notes and the header; on return all of it is on disk. Raises OSError."""
        transaction = self._writing()
        for key, value in sealed_records("notes", notes):
            transaction.put(key, value, db=self._databases["notes"])
        self._commit()
        # Without a header it is no store.
        with self._environment.begin(write=True) as last:
            write_header(last, self._databases[META_DB.decode()], header)
        self._environment.sync(True)
        with Descriptor(self._folder / DATA_FILE, os.O_RDONLY) as number:
            os.fsync(number)
        sync_directory(self._folder)

    def close(self) -> None:
        """Close the files; what was not committed is dropped."""
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
        self._environment.close()

    def _writing(self) -> lmdb.Transaction[bytes]:
        if self._transaction is None:
            self._transaction = self._environment.begin(write=True)
        return self._transaction

    def _commit(self) -> None:
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            transaction.commit()
        self._waiting = 0
