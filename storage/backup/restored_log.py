"""The files of a log that is made of a backup. One thread; nothing of it is synced before `end`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from storage.backup.chain_follower import link_fields
from storage.backup.segment_format import LinkRecord, Point
from storage.backup.segment_source import is_on_chain
from storage.files.environment import DATA_FILE, open_environment
from storage.files.header import FORMAT_VERSION, META_DB, Header, write_header
from storage.files.opening_resources import Descriptor, sync_directory
from storage.log.chain import CHAIN
from storage.log.checksums import sealed_records
from storage.log.corrections import CORRECTIONS, ChangedEvent, put_changes, put_operation
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
