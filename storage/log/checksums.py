"""The checksum at the end of every record of the log that is read as truth, and the links of the chain.

Pure; any thread. A record is stored as its bytes and a CRC-32 of them, four bytes, little-endian. The CRC
begins with the record's key, so a record under another key is damage too: an event's begins with its
position as the start value, any other with the CRC of its database and key. The last event of a commit has
the digest of the chain between its bytes and its CRC, which is inverted to tell it from the others. The CRC
of a stub, which stands for an archived event, has other bits inverted. A CRC over bytes and their own CRC is
a constant, so a check needs no copy of the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from zlib import crc32

__all__ = [
    "COMMIT_ENDS",
    "CRC_BYTES",
    "DIGEST_BYTES",
    "EVENT",
    "LAST_EVENT",
    "LAST_STUB",
    "STUB",
    "Opened",
    "command_link",
    "correction_link",
    "event_link",
    "first_link",
    "opened_event",
    "opened_record",
    "opened_stub",
    "resealed_event",
    "sealed_events",
    "sealed_record",
    "sealed_records",
    "sealed_stub",
    "stored_digest",
]

CRC_BYTES = 4
DIGEST_BYTES = 32
_LAST_BYTES = DIGEST_BYTES + CRC_BYTES
_INVERT = 0xFFFFFFFF
_INVERT_STUB = 0x5AC3A53C
_INVERT_LAST_STUB = _INVERT_STUB ^ _INVERT

EVENT = crc32(bytes(CRC_BYTES))
"""The CRC of an event with its CRC."""
LAST_EVENT = crc32(_INVERT.to_bytes(CRC_BYTES, "little"))
"""The same for the last event of a commit."""
STUB = crc32(_INVERT_STUB.to_bytes(CRC_BYTES, "little"))
LAST_STUB = crc32(_INVERT_LAST_STUB.to_bytes(CRC_BYTES, "little"))
"""The same for the stub of an archived event."""
COMMIT_ENDS = LAST_EVENT, LAST_STUB
"""The CRCs of events behind which the digest of the chain is."""

Opened = tuple[bytes, bytes | None]
"""A stored event's own bytes, and the chain's digest if it is the last one of a commit."""

_KINDS = {
    name: crc32(name.encode()) for name in ("commands", "snapshots", "notes", "meta", "chain", "corrections")
}


# -- events --------------------------------------------------------------------------------------------------
def sealed_events(first: int, records: Sequence[bytes], digest: bytes) -> list[bytes]:
    """The bytes to store for the events of a commit, at least one, from position `first` on.

    `digest` is the chain's after them.
    """
    last = records[-1] + digest
    check = crc32(last, first + len(records) - 1) ^ _INVERT
    last += check.to_bytes(4, "little")
    if len(records) == 1:
        return [last]
    sealed = [
        record + crc32(record, position).to_bytes(4, "little")
        for position, record in enumerate(records[:-1], first)
    ]
    sealed.append(last)
    return sealed


def opened_event(position: int, stored: bytes) -> Opened | None:
    """An event's own bytes and the digest behind them, if any; None if it is not what was stored there.

    None for the stub of an archived event, too.
    """
    check = crc32(stored, position)
    if check == EVENT:
        return stored[:-CRC_BYTES], None
    if check == LAST_EVENT:
        return stored[:-_LAST_BYTES], stored[-_LAST_BYTES:-CRC_BYTES]
    return None


def resealed_event(position: int, record: bytes, digest: bytes | None) -> bytes:
    """The bytes to store for an event that replaces one of a commit; `digest` is what was behind that one."""
    if digest is None:
        return record + crc32(record, position).to_bytes(4, "little")
    return sealed_events(position, [record], digest)[0]


def opened_stub(position: int, stored: bytes) -> Opened | None:
    """As `opened_event`, for the stub of an archived event; None for anything else."""
    check = crc32(stored, position)
    if check == STUB:
        return stored[:-CRC_BYTES], None
    if check == LAST_STUB:
        return stored[:-_LAST_BYTES], stored[-_LAST_BYTES:-CRC_BYTES]
    return None


def sealed_stub(position: int, stub: bytes, digest: bytes | None) -> bytes:
    """The bytes to store for a stub; `digest` is what was behind the event that it stands for."""
    invert = _INVERT_STUB if digest is None else _INVERT_LAST_STUB
    record = stub if digest is None else stub + digest
    return record + (crc32(record, position) ^ invert).to_bytes(CRC_BYTES, "little")


def stored_digest(position: int, stored: bytes) -> Opened | None:
    """As `opened_event`, for an event or a stub."""
    return opened_event(position, stored) or opened_stub(position, stored)


# -- other records -------------------------------------------------------------------------------------------
def sealed_record(database: str, key: bytes, record: bytes) -> bytes:
    """The bytes to store for a record of `database` under `key`."""
    return record + crc32(record, crc32(key, _KINDS[database])).to_bytes(4, "little")


def sealed_records(database: str, records: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Keys and the bytes to store for records of `database`, given with their keys."""
    kind = _KINDS[database]
    return [(key, record + crc32(key + record, kind).to_bytes(4, "little")) for key, record in records]


def opened_record(database: str, key: bytes, stored: bytes) -> bytes | None:
    """The record's own bytes; None if it is not what was stored under this key."""
    if crc32(stored, crc32(key, _KINDS[database])) != EVENT:
        return None
    return stored[:-CRC_BYTES]


# -- the chain -----------------------------------------------------------------------------------------------
_EMPTY = sha256()
"""Copied for each link: OpenSSL looks up its code for each new one."""


def first_link(history_id: str) -> bytes:
    """The digest before the first commit of a history."""
    return sha256(b"onewriter " + history_id.encode()).digest()


def event_link(previous: bytes, last: int, records: Sequence[bytes]) -> bytes:
    """The digest after a commit of events, the last of them at position `last`."""
    link = _EMPTY.copy()
    if len(records) == 1:
        link.update(b"".join((previous, b"events", records[0], last.to_bytes(8))))
        return link.digest()
    # One by one: in pieces of less than 2 KiB it keeps the interpreter, which others would take for longer.
    update = link.update
    update(previous + b"events")
    for record in records:
        update(record)
    update(last.to_bytes(8))
    return link.digest()


def command_link(previous: bytes, position: int, records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The digest after command records that are in no event, committed when the log ended at `position`."""
    parts = [previous, b"commands", position.to_bytes(8)]
    for key, record in records:
        parts += (len(key).to_bytes(2), key, len(record).to_bytes(4), record)
    return sha256(b"".join(parts)).digest()


def correction_link(previous: bytes, position: int, number: int, record: bytes) -> bytes:
    """The digest after a correction with this number and record, made when the log ended at `position`."""
    parts = (previous, b"correction", position.to_bytes(8), number.to_bytes(8), record)
    return sha256(b"".join(parts)).digest()
