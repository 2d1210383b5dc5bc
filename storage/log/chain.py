"""The chain over a log's commits: reading where it ends, and the links of command records.

Each commit of events has its digest behind its last event. Command records that are in no event have links of
their own, in the database `chain`: under the position at which the log ended and a number, [digest, command
ids]. The links at a position follow that of its events. Within the transaction of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.log.checksums import command_link, first_link, opened_event, sealed_record
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = ["CHAIN", "chain_end", "check_no_later_links", "command_links", "put_command_link"]

CHAIN = "chain"
"""The database of the links of command records."""

Databases = dict[str, lmdb._Database]


def chain_end(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    history_id: str,
    head: int,
    records: RecordFormat,
) -> bytes:
    """The digest after the last commit of a log up to `head`, where a commit ends. Raises DamagedStore."""
    with transaction.cursor(databases[CHAIN]) as cursor:
        more = cursor.set_range(U64.pack(head + 1))
        if (cursor.prev() if more else cursor.last()) and cursor.key()[:8] == U64.pack(head):
            return _digest_and_ids(records, cursor.key(), cursor.value())[0]
    if head == 0:
        return first_link(history_id)
    stored = transaction.get(U64.pack(head), db=databases["events"])
    opened = None if stored is None else opened_event(head, stored)
    if opened is None:
        raise records.damaged_event(head)
    if opened[1] is None:
        raise DamagedStore(
            f"{records.what} ends at position {head}, in the middle of a commit: its last events are lost; "
            "restore a backup"
        )
    return opened[1]


def check_no_later_links(
    transaction: lmdb.Transaction[bytes], databases: Databases, head: int, records: RecordFormat
) -> None:
    """Raise DamagedStore if the chain has links after the log's last position."""
    with transaction.cursor(databases[CHAIN]) as cursor:
        if cursor.set_range(U64.pack(head + 1)):
            raise DamagedStore(
                f"{records.what} ends at position {head}, but command records were committed after later "
                "events, which are lost; restore a backup"
            )


def put_command_link(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    previous: bytes,
    position: int,
    commands: list[tuple[bytes, bytes]],
) -> bytes:
    """Store the link of command records that are in no event, sorted by id; returns the digest."""
    digest = command_link(previous, position, commands)
    prefix = U64.pack(position)
    number = 0
    with transaction.cursor(databases[CHAIN]) as cursor:
        if cursor.last() and cursor.key()[:8] == prefix:
            number = U64.unpack(cursor.key()[8:])[0] + 1
        key = prefix + U64.pack(number)
        record = msgpack.packb([digest, [command_id for command_id, _ in commands]])
        cursor.put(key, sealed_record(CHAIN, key, record), append=True)
    return digest


def command_links(
    entries: Iterable[tuple[bytes, bytes]], records: RecordFormat
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Position, digest and command ids of each entry of the database, in order. Raises DamagedStore."""
    for key, stored in entries:
        yield (U64.unpack(key[:8])[0], *_digest_and_ids(records, key, stored))


def _digest_and_ids(records: RecordFormat, key: bytes, stored: bytes) -> tuple[bytes, list[bytes]]:
    digest, ids = msgpack.unpackb(records.record(CHAIN, key, stored))
    return digest, ids
