"""Takes over the log of a store of format 1 or 2: copies it with checksums and a chain. The opener's thread.

The copy is a file of its own beside the old one. Once all of it is on disk it is renamed, which is the one
step that counts: a process that dies earlier leaves the store as it was, and the next opening copies again. A
change in place would have needed marks to go on from, and would have shown readers in other processes pages
of both formats; the copy needs as much free disk as the log takes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.files.environment import DATA_FILE, ENGINE, READERS_FILE
from storage.files.error_translation import from_system, translate
from storage.files.header import FORMAT_VERSION, HEADER_KEY, META_DB, Header, write_header
from storage.files.opening_resources import Descriptor, sync_directory
from storage.log.chain import CHAIN
from storage.log.checksums import (
    command_link,
    event_link,
    first_link,
    sealed_events,
    sealed_record,
    sealed_records,
)
from storage.log.records import U64, WITH_ORIGIN
from storage.log.unindexed_tail import INDEXED

__all__ = ["COPY_FILE", "Progress", "take_over"]

logger = logging.getLogger("onewriter.log")

COPY_FILE = "data.mdb.taking-over"
"""The copy while it is made; one that a killed process left is made again."""

LINK = 1_000
"""Events of a link of the chain: where their commits ended, the old formats do not say."""
LINKS = 20
"""Links in one transaction, and LINK * LINKS other records."""
SAID_EVERY = 5.0
"""Seconds between two lines in the log `onewriter.log`."""

Progress = Callable[[int, int], None]
"""Is called with the number of records that are copied, and of all."""

Items = list[tuple[bytes, bytes]]


def take_over(path: Path, header: Header, progress: Progress | None = None) -> None:
    """Replace the log in the directory `path`, whose header is of an older format, by one of this format.

    The caller holds the store's lock. Raises DamagedStore, StoreFull or StorageError; the log is then
    unchanged.
    """
    copy = path / COPY_FILE
    began = time.monotonic()
    logger.info("%s has format %d: its log is copied to format %d", path, header.format, FORMAT_VERSION)
    try:
        copy.unlink(missing_ok=True)
        with closing(_source(path)) as source, closing(_target(copy, path)) as target:
            copied = _Copying(source, target, header, _Said(path, progress)).run()
            target.sync(True)
        with Descriptor(copy, os.O_RDONLY) as number:
            os.fsync(number)
        # Readers of the old file keep their table of readers with it; the new file gets a new one.
        (path / READERS_FILE).unlink(missing_ok=True)
        copy.rename(path / DATA_FILE)
        sync_directory(path)
    except lmdb.Error as error:
        copy.unlink(missing_ok=True)
        raise translate(error, f"copying the log in {path} to format {FORMAT_VERSION}", path) from error
    except OSError as error:
        raise from_system(error, f"the log in {path} cannot be copied to a newer format", path) from error
    logger.info(
        "%s has format %d now: %d records in %.1f s", path, FORMAT_VERSION, copied, time.monotonic() - began
    )


def _source(path: Path) -> lmdb.Environment:
    # Nobody writes to it, so it needs no lock; other processes may read it.
    return lmdb.open(
        os.fspath(path), readonly=True, lock=False, create=False, max_dbs=1024, lib_version=ENGINE
    )


def _target(copy: Path, path: Path) -> lmdb.Environment:
    size = (path / DATA_FILE).stat().st_size
    return lmdb.open(
        os.fspath(copy),
        subdir=False,
        lock=False,
        sync=False,
        mode=0o600,
        map_size=2 * size + (64 << 20),
        max_dbs=1024,
        lib_version=ENGINE,
    )


class _Said:
    """Tells how far the copying is."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._progress = progress
        self._next = time.monotonic() + SAID_EVERY

    def __call__(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, total)
        if time.monotonic() > self._next:
            self._next += SAID_EVERY
            logger.info("%s: %d of %d records are copied to the new format", self._path, done, total)


class _Copying:
    """One copy."""

    def __init__(
        self, source: lmdb.Environment, target: lmdb.Environment, header: Header, said: _Said
    ) -> None:
        self._source = source
        self._target = target
        self._header = header
        self._said = said
        self._done = self._total = 0
        self._chain = first_link(header.first_history_id)

    def run(self) -> int:
        """Copy everything; returns the number of records."""
        with self._source.begin() as old:
            names = [bytes(name) for name in old.cursor().iternext(keys=True, values=False)]
        # Each in its own transaction: a database opened in a read transaction is closed with it.
        databases = {name: self._source.open_db(name, create=False) for name in names}
        with self._source.begin() as old:
            self._total = sum(old.stat(database)["entries"] for database in databases.values())
            head = self._events(old, databases)
            self._commands(old, databases, head)
            for name in names:
                if name not in (b"events", b"commands", META_DB):
                    self._others(old, databases[name], name)
            # The header goes last: without one it is no store.
            self._meta(old, databases[META_DB])
        return self._done

    def _events(self, old: lmdb.Transaction[bytes], databases: dict[bytes, lmdb._Database]) -> int:
        database = self._target.open_db(b"events")
        head = 0
        if b"events" not in databases:
            return head
        with old.cursor(databases[b"events"]) as cursor:
            entries = cursor.iternext()
            while commits := [part for _ in range(LINKS) if (part := list(islice(entries, LINK)))]:
                items: Items = []
                for part in commits:
                    keys, records = zip(*part, strict=True)
                    first, head = head + 1, head + len(part)
                    if keys != tuple(map(U64.pack, range(first, head + 1))):
                        raise DamagedStore(
                            f"a position of the log in {self._source.path()} between {first} and {head} is "
                            "missing; restore a backup"
                        )
                    self._chain = event_link(self._chain, head, records)
                    items += zip(keys, sealed_events(first, records, self._chain), strict=True)
                self._put(database, items)
        return head

    def _commands(
        self, old: lmdb.Transaction[bytes], databases: dict[bytes, lmdb._Database], head: int
    ) -> None:
        """Copy the records of commands; those that are in no event get a link, the last of the chain."""
        database, links = self._target.open_db(b"commands"), self._target.open_db(CHAIN.encode())
        alone: Items = []
        if b"commands" in databases:
            with old.cursor(databases[b"commands"]) as cursor:
                for items in _parts(cursor):
                    self._put(database, sealed_records("commands", items))
                    alone += [
                        (key, record)
                        for key, record in items
                        if not _in_event(old, databases[b"events"], record)
                    ]
        if alone:
            digest = command_link(self._chain, head, alone)
            key = U64.pack(head) + U64.pack(0)
            link = msgpack.packb([digest, [command_id for command_id, _ in alone]])
            with self._target.begin(write=True) as new:
                new.put(key, sealed_record(CHAIN, key, link), db=links)

    def _others(self, old: lmdb.Transaction[bytes], source: lmdb._Database, name: bytes) -> None:
        database = self._target.open_db(name)
        sealed = name.decode() if name in (b"notes", b"snapshots") else ""
        with old.cursor(source) as cursor:
            for items in _parts(cursor):
                self._put(database, sealed_records(sealed, items) if sealed else items)

    def _meta(self, old: lmdb.Transaction[bytes], source: lmdb._Database) -> None:
        with old.cursor(source) as cursor:
            items = dict(cursor.iternext())
        del items[HEADER_KEY]
        if INDEXED in items:
            items[INDEXED] = sealed_record("meta", INDEXED, items[INDEXED])
        database = self._target.open_db(META_DB)
        with self._target.begin(write=True) as new:
            for key, value in items.items():
                new.put(key, value, db=database)
            write_header(new, database, self._header._replace(format=FORMAT_VERSION))
        self._done += len(items) + 1

    def _put(self, database: lmdb._Database, items: Iterable[tuple[bytes, bytes]]) -> None:
        with self._target.begin(write=True) as new, new.cursor(database) as cursor:
            read, added = cursor.putmulti(items, append=True)
        if read != added:
            raise DamagedStore(
                f"keys of the log in {self._source.path()} are not in their order; restore a backup"
            )
        self._done += added
        self._said(self._done, self._total)


def _parts(cursor: lmdb.Cursor[bytes]) -> Iterator[Items]:
    entries = cursor.iternext()
    while items := list(islice(entries, LINK * LINKS)):
        yield items


def _in_event(old: lmdb.Transaction[bytes], events: lmdb._Database, record: bytes) -> bool:
    """Whether a command's record can be read back from its first event."""
    first, count, *_ = msgpack.unpackb(record)
    return bool(count) and old.get(U64.pack(first), b"", db=events).startswith(WITH_ORIGIN)
