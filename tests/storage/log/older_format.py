"""A log as format 2 has it, made of one of this format; and a process that opens it, to be killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import lmdb

from storage.codec.codec import Codec
from storage.files.environment import ENGINE
from storage.files.header import HEADER_KEY, META_DB, read_header, write_header
from storage.log.chain import CHAIN
from storage.log.checksums import opened_event, opened_record
from storage.log.event_log import EventLog

RECORDS = ("commands", "snapshots", "notes", "meta")


def make_older(source: Path, target: Path) -> None:
    """Copy the closed log in `source` to `target`, without checksums and chain, as format 2."""
    target.mkdir()
    with (
        lmdb.open(os.fspath(source), readonly=True, lock=False, max_dbs=64, lib_version=ENGINE) as new,
        lmdb.open(os.fspath(target), max_dbs=64, map_size=1 << 30, sync=False, lib_version=ENGINE) as old,
    ):
        header = read_header(new, "log")
        assert header is not None
        with new.begin() as transaction:
            names = [bytes(name) for name in transaction.cursor().iternext(values=False)]
        for name in names:
            if name == CHAIN.encode():
                continue
            database, made = new.open_db(name, create=False), old.open_db(name)
            with new.begin() as reading, old.begin(write=True) as writing:
                for key, stored in reading.cursor(database):
                    writing.put(key, plain(name.decode(), key, stored), db=made)
        meta = old.open_db(META_DB)
        with old.begin(write=True) as writing:
            write_header(writing, meta, header._replace(format=2))


def plain(database: str, key: bytes, stored: bytes) -> bytes:
    """A record's own bytes."""
    if database == "events":
        opened = opened_event(int.from_bytes(key), stored)
        assert opened is not None
        return opened[0]
    if database in RECORDS and key != HEADER_KEY:
        record = opened_record(database, key, stored)
        assert record is not None
        return record
    return stored


if __name__ == "__main__":
    print("opening", flush=True)
    EventLog.open(sys.argv[1], Codec(), verify_bytes=0).close()
    print("opened", flush=True)
