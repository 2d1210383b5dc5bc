"""Removing the records of old commands, whose ids are then not known any more. In the writer's transaction.

The events of a command stay, and so do the records that are in no event, since the chain has digests of them.
A note says up to which position commands with events may lack their records, and in which history: a log that
was made of a backup or an export has all of them again.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

import lmdb
import msgpack

from storage.files.damage import damaged_records
from storage.log.checksums import opened_record
from storage.log.notes import write_notes
from storage.log.record_format import RecordFormat
from storage.log.records import U64, envelope_of

__all__ = ["FORGOTTEN_IDS", "ForgottenIds", "forget_ids", "forgotten_through"]

FORGOTTEN_IDS = b"store/forgotten-ids"

Databases = dict[str, lmdb._Database]


class ForgottenIds(NamedTuple):
    """What one step did: how many records it removed, up to which position, and whether more are old."""

    removed: int
    position: int
    more: bool


def forgotten_through(
    transaction: lmdb.Transaction[bytes], databases: Databases, history_id: str, records: RecordFormat
) -> int:
    """The position up to which commands may lack their records, 0 for none. Raises DamagedStore."""
    stored = transaction.get(FORGOTTEN_IDS, db=databases["notes"])
    if stored is None:
        return 0
    with damaged_records(records.what, "restore a backup"):
        history, position = msgpack.unpackb(records.record("notes", FORGOTTEN_IDS, stored))
        return int(position) if history == history_id else 0


def forget_ids(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    history_id: str,
    records: RecordFormat,
    indexed: int,
    before_us: int,
    keep: Callable[[str], bool],
    limit: int,
) -> ForgottenIds:
    """Remove the records of commands with events from before a time, unless `keep` is true of the id.

    Looks at `limit` events after those of the last step, of which the indexes have the first `indexed`.
    Raises DamagedStore.
    """
    begin = forgotten_through(transaction, databases, history_id, records)
    position, removed, more = begin, 0, False
    commands = databases["commands"]
    with transaction.cursor(databases["events"]) as cursor:
        following = cursor.iternext() if cursor.set_range(U64.pack(begin + 1)) else iter(())
        for at, stored in islice(following, min(limit, indexed - begin)):
            number = U64.unpack(at)[0]
            with damaged_records(f"the event at position {number} of {records.what}", "restore a backup"):
                _, _, _, _, time_us, command_id, _, _, _, _, _, *origin = envelope_of(
                    records.outline(number, stored)
                )
            if time_us >= before_us:
                break
            position = number
            if not origin or keep(command_id):
                continue
            key = command_id.encode()
            found = transaction.get(key, db=commands)
            record = None if found is None else opened_record("commands", key, found)
            # The id may be that of a later command by now.
            if record is not None and msgpack.unpackb(record)[0] == number:
                transaction.delete(key, db=commands)
                removed += 1
        else:
            more = position == begin + limit
    if position > begin:
        write_notes(transaction, databases["notes"], {FORGOTTEN_IDS: msgpack.packb([history_id, position])})
    return ForgottenIds(removed, position, more)
