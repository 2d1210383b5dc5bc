"""Changes a record in a closed log: with a right checksum, as a faulty program would, or without one."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb

from storage.files.environment import ENGINE
from storage.log.checksums import DIGEST_BYTES, sealed_events
from storage.log.records import U64


def replace_record(path: Path, position: int, data: bytes, *, sealed: bool = True) -> None:
    """Store other bytes for the event at a position; without a right checksum unless `sealed`."""
    with lmdb.open(os.fspath(path), max_dbs=16, lib_version=ENGINE) as environment:
        events = environment.open_db(b"events", create=False)
        with environment.begin(write=True) as transaction:
            [stored] = sealed_events(position, [data], bytes(DIGEST_BYTES)) if sealed else [data]
            transaction.put(U64.pack(position), stored, db=events)
