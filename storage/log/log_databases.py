"""The databases in a log's environment: their names, how they are opened, and what has to hold between them.

The opener's thread, with nobody else in the environment.
"""

from __future__ import annotations

import struct

import lmdb

from storage.errors import DamagedStore
from storage.files.damage import damaged_records
from storage.files.header import META_DB
from storage.log.records import U64
from storage.log.unindexed_tail import INDEXED, UnindexedTail, read_tail

__all__ = ["DATABASES", "existing_databases", "malformed_index", "open_databases"]

DATABASES = ("events", "streams", "tags", "commands", "snapshots", "notes")


def open_databases(
    environment: lmdb.Environment,
) -> tuple[dict[str, lmdb._Database], int, UnindexedTail]:
    """Open the databases, making those that are missing; returns them by name, the head and the unindexed tail.

    Raises DamagedStore where events are lost, and LMDB's errors.
    """
    with (
        damaged_records(f"the log in {environment.path()}", "restore a backup"),
        environment.begin(write=True) as transaction,
    ):
        databases = {name: environment.open_db(name.encode(), txn=transaction) for name in DATABASES}
        databases["meta"] = meta = environment.open_db(META_DB, txn=transaction)
        with transaction.cursor(databases["events"]) as cursor:
            head = U64.unpack(cursor.key())[0] if cursor.last() else 0
        count = transaction.stat(databases["events"])["entries"]
        if count != head:
            raise DamagedStore(
                f"the log in {environment.path()} ends at position {head} and holds {count} events: "
                "some are lost, or their positions are; restore a backup"
            )
        indexed = transaction.get(INDEXED, db=meta)
        if indexed is None:
            # New, or of a version that had no tail.
            transaction.put(INDEXED, U64.pack(head), db=meta)
        elif U64.unpack(indexed)[0] > head:
            raise DamagedStore(
                f"the log in {environment.path()} ends at position {head}, and its indexes know of later "
                "events, which are lost; restore a backup"
            )
        return databases, head, read_tail(transaction, databases, head)


def existing_databases(environment: lmdb.Environment) -> dict[str, lmdb._Database]:
    """Open the databases of a log that another process writes, by name. Raises LMDB's errors."""
    # Each in a transaction of its own: what is opened within one that reads is closed with it.
    return {name: environment.open_db(name.encode(), create=False) for name in (*DATABASES, META_DB.decode())}


def malformed_index(error: struct.error) -> DamagedStore:
    """The error for a key or a position in the log that is not of eight bytes."""
    return DamagedStore(f"an index of the log holds what is no position ({error}); restore a backup")
