"""Changes a record in a closed log, with a right checksum: as an older program with a mistake would."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb

from storage.files.environment import ENGINE
from storage.log.checksums import DIGEST_BYTES, sealed_events
from storage.log.records import U64


def replace_record(path: Path, position: int, data: bytes) -> None:
    """Store other bytes for the event at a position."""
    with lmdb.open(os.fspath(path), max_dbs=16, lib_version=ENGINE) as environment:
        events = environment.open_db(b"events", create=False)
        with environment.begin(write=True) as transaction:
            [sealed] = sealed_events(position, [data], bytes(DIGEST_BYTES))
            transaction.put(U64.pack(position), sealed, db=events)
