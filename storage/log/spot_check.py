"""A look at the indexes when a log is opened: are a few of its events found in them? The opener's thread.

A changed byte in LMDB's own record of a database, such as the page of its root, hides many entries at once,
and leaves those that are seen in order. Some events drawn from the whole log, looked up, are enough to notice
that; the time for it does not depend on the log's length. Single entries are checked where they are read.
"""

from __future__ import annotations

import random
from collections import Counter

import lmdb

from storage.errors import DamagedStore
from storage.log.record_format import RecordFormat
from storage.log.records import U64, envelope_of, name_key

__all__ = ["check_databases", "check_indexes"]

EVENTS = 16
"""So many are looked up."""
MISSED = 2
"""With so many that an index lacks it is not a single entry that is damaged."""

Databases = dict[str, lmdb._Database]


def check_databases(databases: Databases, records: RecordFormat) -> None:
    """Raise DamagedStore for a database of another kind than all of a log are: plain keys and values."""
    for name, database in databases.items():
        flags = [flag for flag, is_set in database.flags().items() if is_set]
        if flags:
            raise DamagedStore(
                f"the database {name} of {records.what} has become one of another kind ({', '.join(flags)}); "
                "restore a backup"
            )


def check_indexes(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    indexed: int,
    records: RecordFormat,
    forgotten: int = 0,
) -> None:
    """Raise DamagedStore if the indexes, which have the events up to `indexed`, lack several of some.

    Commands up to the position `forgotten` may lack their records.
    """
    missed: Counter[str] = Counter()
    positions = range(1, indexed + 1)
    for position in random.Random(indexed).sample(positions, min(EVENTS, indexed)):
        at = U64.pack(position)
        stored = transaction.get(at, db=databases["events"])
        try:
            event = None if stored is None else records.outline(position, stored)
        except DamagedStore:
            event = None
        if event is None:
            continue  # an error where it is needed
        stream, version, _, _, _, command_id, _, _, _, tags, _, *origin = envelope_of(event)
        keys = [("streams", name_key("stream", stream) + b"\0" + U64.pack(version))]
        keys += [("tags", name_key("tag", tag) + b"\0" + at) for tag in tags[:1]]
        keys += [("commands", command_id.encode()) for _ in origin if position > forgotten]
        for name, key in keys:
            missed[name] += transaction.get(key, db=databases[name]) is None
    lost = [name for name, number in missed.items() if number >= MISSED]
    if lost:
        raise DamagedStore(
            f"the index of {' and '.join(lost)} in {records.what} lacks many events; `onewriter verify` "
            "lists all damage; restore a backup"
        )
