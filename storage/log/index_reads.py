"""Events by stream or tag, with a check that the index hides none. In the caller's transaction; any thread.

An entry of an index has no checksum: the event it names says whether it is right. A changed byte could hide
the last event of a stream or tag, or all. The changed entry is then beside the search, as `lookup` says. An
entry there that could be one of the stream, with one byte changed, is compared with its event; where most
streams end, before the first version of another one, this costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import lmdb
from msgpack import packb

from storage.codec.codec import Codec
from storage.errors import DamagedStore, EventsRemoved
from storage.log.archived_event import removed_archive
from storage.log.lookup import entry_after, entry_before
from storage.log.record_format import RecordFormat
from storage.log.records import U64, RecordedEvent, envelope_of
from storage.log.stored_events import decode_event, decoded
from storage.log.unindexed_tail import UnindexedTail, stream_positions, tag_positions

__all__ = [
    "check_stream",
    "check_stream_end",
    "check_tag",
    "events_of_stream",
    "events_of_tag",
    "numbers_of_stream",
    "of_stream",
    "positions_of_stream",
    "with_tag",
]

Databases = dict[str, lmdb._Database]


def positions_of_stream(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    tail: UnindexedTail,
    records: RecordFormat,
    name: bytes,
    after: int,
    limit: int | None,
    head: int,
) -> list[bytes]:
    """The positions of a stream's events from version after + 1 on; none is beyond `head`.

    Raises DamagedStore.
    """
    prefix = name + b"\0"
    with transaction.cursor(databases["streams"]) as cursor:
        positions, indexed = stream_positions(cursor, tail, prefix, after, limit, U64.pack(head))
        if records.checked and (limit is None or len(positions) < limit):
            check_stream_end(transaction, databases, cursor, prefix, after + indexed, records, bool(indexed))
    return positions


def events_of_stream(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    name: bytes,
    positions: list[bytes],
) -> list[tuple[int, bytes]]:
    """The events of a stream at these positions. Raises DamagedStore, ArchiveUnavailable."""
    return _events(transaction, databases, records, "streams", name, positions)


def numbers_of_stream(
    transaction: lmdb.Transaction[bytes], databases: Databases, name: bytes, positions: list[bytes]
) -> list[int]:
    """The positions as numbers, without reading the events, which have to be there. Raises DamagedStore."""
    return [_number(at) for at, _ in _stored(transaction, databases, "streams", name, positions)]


def events_of_tag(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    tail: UnindexedTail,
    records: RecordFormat,
    name: bytes,
    after: int,
    limit: int | None,
    head: int,
) -> list[tuple[int, bytes]]:
    """Positions and own bytes of the events with a tag after the position `after`; none is beyond `head`.

    Raises DamagedStore.
    """
    prefix = name + b"\0"
    with transaction.cursor(databases["tags"]) as cursor:
        positions = tag_positions(cursor, tail, prefix, after, limit, U64.pack(head))
        found = prefix + (positions[-1] if positions else U64.pack(after))
        whole = records.checked and (limit is None or len(positions) < limit)
        ended = entry_after(cursor, "tags", found, records) if whole else None
        if records.checked:
            for entry in (ended, entry_before(cursor, "tags", prefix + U64.pack(after + 1), records)):
                if entry is not None:
                    _check_with_tag(transaction, databases, entry, records)
    if positions != sorted(set(positions)):
        raise _misplaced(records, "tags", name)
    return _events(transaction, databases, records, "tags", name, positions)


def _number(position: bytes) -> int:
    return int.from_bytes(position)


def check_stream_end(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    cursor: lmdb.Cursor[bytes],
    prefix: bytes,
    version: int,
    records: RecordFormat,
    found: bool,
) -> None:
    """Check that a stream ends with `version` in the index, where a search for later ones left `cursor`.

    `found` means that its entry was met just before. Raises DamagedStore.
    """
    following = prefix + U64.pack(version + 1)
    entry = entry_after(cursor, "streams", prefix + U64.pack(version), records)
    if entry is not None:
        _check_of_stream(transaction, databases, entry, following, records)
    if not found:
        entry = entry_before(cursor, "streams", following, records)
        if entry is not None:
            _check_of_stream(transaction, databases, entry, following, records)


def _check_of_stream(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    entry: tuple[bytes, bytes],
    hidden: bytes,
    records: RecordFormat,
) -> None:
    """Check that an entry of the index of streams is not that of the key `hidden`, with a changed byte."""
    key, at = entry
    well_formed = key.find(0) == len(key) - 9 and len(at) == 8
    if well_formed and key[-8:] != hidden[-8:] and (key < hidden or not key.startswith(hidden[:-8])):
        return  # two bytes or more are different
    stored = transaction.get(at, db=databases["events"]) if well_formed else None
    if stored is None or not _is_of_stream(records.outline(_number(at), stored), key):
        raise _misplaced(records, "streams", key[:-9])


def _check_with_tag(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    entry: tuple[bytes, bytes],
    records: RecordFormat,
) -> None:
    """Check that an entry of the index of tags is right."""
    key, nothing = entry
    well_formed = key.find(0) == len(key) - 9 and not nothing
    stored = transaction.get(key[-8:], db=databases["events"]) if well_formed else None
    if stored is None or not _has_tag(records.outline(_number(key[-8:]), stored), key):
        raise _misplaced(records, "tags", key[:-9])


def _is_of_stream(event: bytes, key: bytes) -> bool:
    try:
        begins = packb(key[:-9].decode()) + packb(_number(key[-8:]))
    except UnicodeDecodeError:
        return False
    return event.startswith(begins, 1)


def _has_tag(event: bytes, key: bytes) -> bool:
    return key[:-9] in [tag.encode() for tag in envelope_of(event)[9]]


def _events(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    records: RecordFormat,
    index: str,
    name: bytes,
    positions: list[bytes],
) -> list[tuple[int, bytes]]:
    found = _stored(transaction, databases, index, name, positions)
    event = records.event
    return [(position, event(position, value)) for key, value in found for position in (_number(key),)]


def _stored(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    index: str,
    name: bytes,
    positions: list[bytes],
) -> list[tuple[bytes, bytes]]:
    """Keys and stored bytes of the events at these positions."""
    if b"" in positions:
        raise DamagedStore(f"{index} of {name.decode()!r} lack a position; restore a backup")
    with transaction.cursor(databases["events"]) as cursor:
        found = cursor.getmulti(positions)
    if len(found) != len(positions):
        raise DamagedStore(
            f"{index} of {name.decode()!r} name positions that the log lacks; restore a backup"
        )
    return found


def _misplaced(records: RecordFormat, index: str, name: bytes) -> DamagedStore:
    return DamagedStore(
        f"the index of {index} in {records.what} is damaged at {name.decode(errors='replace')!r}: it names "
        "events that are not there, or hides some; `onewriter verify` lists all damage; restore a backup"
    )


def check_stream(records: RecordFormat, name: bytes, after: int, stored: list[tuple[int, bytes]]) -> None:
    """Check stream and versions of events that are not decoded. Raises DamagedStore, EventsRemoved."""
    stream = packb(name.decode())
    for version, (position, value) in enumerate(stored, after + 1):
        if (archive := removed_archive(value)) is not None:
            raise _removed(records, name.decode(), version, position, archive)
        if not value.startswith(stream + packb(version), 1):
            raise _misplaced(records, "streams", name)


def _removed(records: RecordFormat, stream: str, version: int, position: int, archive: int) -> EventsRemoved:
    return EventsRemoved(
        f"version {version} of stream {stream!r} in {records.what}, at position {position}, was removed with "
        f"archive {archive}: what needs it can't be had any more; a snapshot that is behind it serves still",
        stream,
        archive,
        position,
    )


def check_tag(records: RecordFormat, name: bytes, stored: Sequence[tuple[int, bytes]]) -> None:
    """Check the tags of events that are not decoded. Raises DamagedStore."""
    for _, value in stored:
        if not _has_tag(value, name + bytes(9)):
            raise _misplaced(records, "tags", name)


def of_stream(
    codec: Codec, records: RecordFormat, stream: str, after: int, stored: list[tuple[int, bytes]]
) -> list[RecordedEvent]:
    """The events of a stream, decoded, with a check of stream and versions.

    Raises DamagedStore as well, and EventsRemoved if the archive of one was removed.
    """
    events: list[RecordedEvent] = []
    for version, (position, value) in enumerate(stored, after + 1):
        found = decode_event(codec, position, value)
        if isinstance(found, list):  # upcasters made it of one event
            if (archive := removed_archive(value)) is not None:
                raise _removed(records, stream, version, position, archive)
            events += found
            found = found[0]
        else:
            events.append(found)
        if found.version != version or found.stream != stream:
            raise DamagedStore(
                f"the index of stream {stream!r} in {records.what} has version {found.version} of "
                f"{found.stream!r}, at position {position}, where version {version} should be: some of its "
                "events are hidden; `onewriter verify` lists all damage; restore a backup"
            )
    return events


def with_tag(
    codec: Codec, records: RecordFormat, tag: str, stored: list[tuple[int, bytes]]
) -> list[RecordedEvent]:
    """The events with a tag, decoded, with a check of their tags. Raises DamagedStore as well."""
    events = decoded(codec, stored)
    for recorded in events:
        if tag not in recorded.tags:
            raise _misplaced(records, "tags", tag.encode())
    return events
