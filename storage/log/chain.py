"""The chain over a log's commits: reading where it ends, and the links of command records.

Each commit of events has its digest behind its last event. Command records that are in no event have links of
their own, in the database `chain`: under the position at which the log ended and a number, [digest, command
ids]; and so have corrections: [digest, [], the correction's number]. The links at a position follow that of
its events. Within the transaction of the caller; any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import lmdb
import msgpack

from storage.errors import DamagedStore
from storage.log.checksums import command_link, correction_link, first_link, sealed_record, stored_digest
from storage.log.record_format import RecordFormat
from storage.log.records import U64

__all__ = [
    "CHAIN",
    "Link",
    "chain_end",
    "check_no_later_links",
    "put_command_link",
    "put_correction_link",
    "stored_links",
]

CHAIN = "chain"
"""The database of the links of command records and corrections."""

Databases = dict[str, lmdb._Database]


class Link(NamedTuple):
    """A link at a position: of the records of commands, or of the correction of a number, 0 for none."""

    position: int
    digest: bytes
    ids: list[bytes]
    correction: int


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
            return _link(records, cursor.key(), cursor.value()).digest
    if head == 0:
        return first_link(history_id)
    stored = transaction.get(U64.pack(head), db=databases["events"])
    opened = None if stored is None else stored_digest(head, stored)
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
    _put(transaction, databases, position, [digest, [command_id for command_id, _ in commands]])
    return digest


def put_correction_link(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    previous: bytes,
    position: int,
    number: int,
    record: bytes,
) -> bytes:
    """Store the link of the correction of a number, with its record; returns the digest."""
    digest = correction_link(previous, position, number, record)
    _put(transaction, databases, position, [digest, [], number])
    return digest


def _put(
    transaction: lmdb.Transaction[bytes], databases: Databases, position: int, fields: list[Any]
) -> None:
    prefix = U64.pack(position)
    number = 0
    with transaction.cursor(databases[CHAIN]) as cursor:
        if cursor.last() and cursor.key()[:8] == prefix:
            number = U64.unpack(cursor.key()[8:])[0] + 1
        key = prefix + U64.pack(number)
        cursor.put(key, sealed_record(CHAIN, key, msgpack.packb(fields)), append=True)


def stored_links(entries: Iterable[tuple[bytes, bytes]], records: RecordFormat) -> Iterator[Link]:
    """The link of each entry of the database, in order. Raises DamagedStore."""
    for key, stored in entries:
        yield _link(records, key, stored)


def _link(records: RecordFormat, key: bytes, stored: bytes) -> Link:
    digest, ids, *correction = msgpack.unpackb(records.record(CHAIN, key, stored))
    return Link(U64.unpack(key[:8])[0], digest, ids, correction[0] if correction else 0)
