"""The databases in a log's environment: their names, opening them, and the checks between them.

The opener's thread, while no other thread uses the environment.
"""

from __future__ import annotations

import struct
from contextlib import suppress

import lmdb

from storage.errors import DamagedStore
from storage.files.damage import damaged_records
from storage.files.header import META_DB
from storage.log.chain import CHAIN, chain_end, check_no_later_links
from storage.log.correction_entries import CORRECTIONS
from storage.log.forgotten_ids import forgotten_through
from storage.log.record_format import RecordFormat
from storage.log.records import U64
from storage.log.spot_check import check_databases, check_indexes
from storage.log.unindexed_tail import UnindexedTail, indexed_position, put_indexed_position, read_tail

__all__ = ["DATABASES", "existing_databases", "malformed_index", "open_databases"]

DATABASES = ("events", "streams", "tags", "commands", "snapshots", "notes")


def open_databases(
    environment: lmdb.Environment, history_id: str, records: RecordFormat
) -> tuple[dict[str, lmdb._Database], int, UnindexedTail, bytes]:
    """Open the databases, and create missing ones.

    Returns them by name, the head, the unindexed tail, and the digest of the chain at the head.

    Raises DamagedStore if events are lost, and LMDB's errors.
    """
    with (
        damaged_records(f"the log in {environment.path()}", "restore a backup"),
        environment.begin(write=True) as transaction,
    ):
        names = (*DATABASES, CHAIN, CORRECTIONS, META_DB.decode())
        databases = {name: environment.open_db(name.encode(), txn=transaction) for name in names}
        check_databases(databases, records)
        with transaction.cursor(databases["events"]) as cursor:
            head = U64.unpack(cursor.key())[0] if cursor.last() else 0
        count = transaction.stat(databases["events"])["entries"]
        if count != head:
            raise DamagedStore(
                f"the log in {environment.path()} ends at position {head} and holds {count} events: some of "
                "them, or their positions, are lost; restore a backup"
            )
        indexed = indexed_position(transaction, databases, records)
        if indexed is None:
            # A new log, or one of a version that had no tail.
            put_indexed_position(transaction, databases, head)
        elif indexed > head:
            raise DamagedStore(
                f"the log in {environment.path()} ends at position {head}, but its indexes know of later "
                "events, which are lost; restore a backup"
            )
        tail = read_tail(transaction, databases, head, records)
        entries = transaction.stat(databases["streams"])["entries"]
        if entries != tail.indexed:
            raise DamagedStore(
                f"the index of streams in {records.what} has {entries} entries for {tail.indexed} events; "
                "`onewriter verify` lists all damage; restore a backup"
            )
        forgotten = forgotten_through(transaction, databases, history_id, records)
        check_indexes(transaction, databases, tail.indexed, records, forgotten)
        check_no_later_links(transaction, databases, head, records)
        return databases, head, tail, chain_end(transaction, databases, history_id, head, records)


def existing_databases(environment: lmdb.Environment, records: RecordFormat) -> dict[str, lmdb._Database]:
    """Open the databases of a log that another process writes, by name. Raises LMDB's errors."""
    # Each in its own transaction: a database opened in a read transaction is closed with it.
    names = (*DATABASES, META_DB.decode(), *((CHAIN,) if records.checked else ()))
    databases = {name: environment.open_db(name.encode(), create=False) for name in names}
    with suppress(lmdb.NotFoundError):  # earlier versions did not make it
        databases[CORRECTIONS] = environment.open_db(CORRECTIONS.encode(), create=False)
    return databases


def malformed_index(error: struct.error) -> DamagedStore:
    """The error for a key or a position in the log that does not have eight bytes."""
    return DamagedStore(f"an index of the log holds an invalid position ({error}); restore a backup")
