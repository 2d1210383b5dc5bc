"""The unindexed tail: the last events, which the indexes by stream, tag and command id on disk still lack.

A commit waits for the disk once for each page that it changed, and index entries are spread over many pages.
So a commit writes only its events; each event contains what the indexes need. The entries wait in memory,
where every look-up finds them, and go into the indexes a thousand or more at a time. Opening a log that was
not closed reads its tail again, which never has more than `LONGEST` events.

The writer's thread adds, after the commit. Other threads read: they take the tail before they begin to read
the indexes. A tail that was written to the indexes does not change for the threads that have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import lmdb

from storage.errors import DamagedStore, OutOfOrder
from storage.log.batch import Batch, Items
from storage.log.checksums import sealed_record, sealed_records
from storage.log.record_format import RecordFormat
from storage.log.records import U64, command_packer, envelope_of, name_key

SHORTEST, LONGEST = 512, 8_192
"""With so many events the tail goes into the indexes.

The number depends on the batch: it is small, so that no commit takes long, but several times the batch, so
that large batches profit too.
"""
BATCHES = 4

INDEXED = b"indexed"
"""The key, in the header's database, of the last position that the indexes have."""

AFTER_ALL_VERSIONS = b"\x01"
"""With this appended, a stream's name sorts after all its keys, in which NUL ends the name."""


Databases = Mapping[str, lmdb._Database]


class UnindexedTail:
    """Index entries of the events after `indexed`: keys and values as in the indexes themselves."""

    __slots__ = ("commands", "count", "indexed", "streams", "tags", "versions")

    def __init__(self, indexed: int) -> None:
        self.indexed = indexed
        self.count = 0
        self.streams: dict[bytes, bytes] = {}
        self.tags: dict[bytes, list[bytes]] = {}
        self.commands: dict[bytes, bytes] = {}
        self.versions: dict[bytes, int] = {}
        """The last version of each stream, under its name and NUL."""

    def due(self, batch: Batch) -> bool:
        """Whether the tail should go into the indexes when the next batch, this one, is written."""
        more = len(batch.events)
        return self.count + more > min(max(SHORTEST, more * BATCHES), LONGEST)

    def add(self, batch: Batch) -> None:
        """Add the entries of a batch that is on disk."""
        self.commands.update(batch.commands_in_events)
        self.streams.update(batch.streams)
        self.versions.update(batch.last_versions)
        for key, _ in batch.tags:
            self.tags.setdefault(key[:-8], []).append(key[-8:])
        self.count += len(batch.events)

    def sizes(self) -> dict[str, int]:
        """How many entries wait for each index."""
        tags = sum(map(len, self.tags.values()))
        return {"streams": len(self.streams), "tags": tags, "commands": len(self.commands)}

    def items(self) -> dict[str, Items]:
        """The entries for each index, sorted."""
        return {
            "streams": sorted(self.streams.items()),
            "tags": sorted((tag + at, b"") for tag, positions in self.tags.items() for at in positions),
            "commands": sealed_records("commands", sorted(self.commands.items())),
        }


def indexed_position(
    transaction: lmdb.Transaction[bytes], databases: Databases, records: RecordFormat
) -> int | None:
    """The last position that the indexes have; None if the log does not say. Raises DamagedStore."""
    stored = transaction.get(INDEXED, db=databases["meta"])
    return None if stored is None else U64.unpack(records.record("meta", INDEXED, stored))[0]


def put_indexed_position(transaction: lmdb.Transaction[bytes], databases: Databases, position: int) -> None:
    """Store the last position that the indexes have."""
    record = sealed_record("meta", INDEXED, U64.pack(position))
    transaction.put(INDEXED, record, db=databases["meta"])


def read_tail(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    head: int,
    records: RecordFormat,
    known: UnindexedTail | None = None,
) -> UnindexedTail:
    """The tail up to `head`, read from the events; extends `known` unless indexes were written since.

    Raises DamagedStore.
    """
    stored = indexed_position(transaction, databases, records)
    indexed = head if stored is None else stored
    tail = known if known is not None and known.indexed == indexed else UnindexedTail(indexed)
    last = indexed + tail.count
    commands: dict[bytes, list[Any]] = {}
    run: list[Any] | None = None
    last_key = b""
    with transaction.cursor(databases["events"]) as cursor:
        if head <= last or not cursor.set_range(U64.pack(last + 1)):
            return tail
        for at, data in islice(cursor.iternext(), head - last):
            position = U64.unpack(at)[0]
            data = records.outline(position, data)
            try:
                stream, version, _, _, _, command_id, _, _, _, tags, _, *origin = envelope_of(data)
                prefix = name_key("stream", stream) + b"\0"
                tail.streams[prefix + U64.pack(version)] = at
                for tag in dict.fromkeys(tags):
                    tail.tags.setdefault(name_key("tag", tag) + b"\0", []).append(at)
                key = command_id.encode()
            except Exception as error:
                raise DamagedStore(
                    f"the record at position {position} is not an event ({error}); restore a backup"
                ) from error
            tail.versions[prefix] = version
            tail.count += 1
            if origin:
                run = commands[key] = [position, 0, origin[0], "", 0]
            elif key != last_key:
                run = None
            last_key = key
            if run is not None:
                run[1] += 1
                run[3:] = stream, version
    pack = command_packer()
    for key, (first, count, origin, stream, version) in commands.items():
        own = (origin, stream, version) if isinstance(origin, bytes) else origin
        tail.commands[key] = pack((first, count, *own))
    return tail


def check_new(
    transaction: lmdb.Transaction[bytes],
    databases: Databases,
    tail: UnindexedTail,
    batch: Batch,
    known: Mapping[bytes, int],
    *,
    new_ids: bool,
) -> None:
    """Raise OutOfOrder for a version that does not follow its stream's last, and for an existing command id.

    `known` are last versions that need no look-up; with `new_ids` command ids need none.
    """
    unknown = [item for item in batch.first_versions.items() if known.get(item[0]) != item[1] - 1]
    if unknown:
        with transaction.cursor(databases["streams"]) as cursor:
            for prefix, version in unknown:
                name = prefix[:-1]
                if last_version(cursor, tail, name) != version - 1:
                    raise OutOfOrder(
                        f"version {version} of stream {name.decode()!r} does not follow its last version"
                    )
    if not new_ids:
        with transaction.cursor(databases["commands"]) as cursor:
            for key in batch.commands_in_events:
                if key in tail.commands or cursor.set_key(key):
                    raise OutOfOrder(f"command id {key.decode()!r} of the batch is already in the log")


def write_tail(
    transaction: lmdb.Transaction[bytes], databases: Databases, tail: UnindexedTail
) -> UnindexedTail:
    """Put the tail into the indexes, in a write transaction; returns the next tail, which is empty."""
    for name, items in tail.items().items():
        if items:
            with transaction.cursor(databases[name]) as cursor:
                # An id that was forgotten and used again is that of the later command.
                cursor.putmulti(items, overwrite=name == "commands")
    indexed = tail.indexed + tail.count
    put_indexed_position(transaction, databases, indexed)
    return UnindexedTail(indexed)


# -- look-ups ------------------------------------------------------------------------------------------------
def stream_positions(
    cursor: lmdb.Cursor[bytes],
    tail: UnindexedTail,
    prefix: bytes,
    after: int,
    limit: int | None,
    head: bytes,
) -> tuple[list[bytes], int]:
    """The positions of a stream's events from version after + 1 on, none of them beyond `head`.

    Returns how many of them the index has, too. Without a limit it leaves `cursor`, on the index, where the
    search in it ended.
    """
    positions = list(islice(_indexed(cursor, prefix, after, head), limit))
    indexed = len(positions)
    version = after + indexed
    while limit is None or len(positions) < limit:
        version += 1
        at = tail.streams.get(prefix + U64.pack(version))
        if at is None or at > head:
            break
        positions.append(at)
    return positions, indexed


def tag_positions(
    cursor: lmdb.Cursor[bytes],
    tail: UnindexedTail,
    prefix: bytes,
    after: int,
    limit: int | None,
    head: bytes,
) -> list[bytes]:
    """The positions after `after` of the events with a tag, none of them beyond `head`.

    Without a limit it leaves `cursor`, on the index, where the search in it ended.
    """
    last = U64.pack(after)
    positions = list(islice(_indexed(cursor, prefix, after, head, True), limit))
    if positions:
        last = positions[-1]
    more = (at for at in list(tail.tags.get(prefix, ())) if last < at <= head)
    return positions + list(islice(more, None if limit is None else limit - len(positions)))


def _indexed(
    cursor: lmdb.Cursor[bytes], prefix: bytes, after: int, head: bytes, of_tag: bool = False
) -> Iterator[bytes]:
    if cursor.set_range(prefix + U64.pack(after + 1)):
        for key, value in cursor.iternext():
            position = key[-8:] if of_tag else value
            if not key.startswith(prefix) or position > head:
                return
            yield position


def last_version(cursor: lmdb.Cursor[bytes], tail: UnindexedTail, name: bytes) -> int:
    """The last version of a stream, 0 if it has none.

    Leaves `cursor` on the stream's last entry in the index.
    """
    indexed = 0
    if cursor.prev() if cursor.set_range(name + AFTER_ALL_VERSIONS) else cursor.last():
        key = cursor.key()
        indexed = U64.unpack(key[-8:])[0] if key[:-8] == name + b"\0" else 0
    return max(tail.versions.get(name + b"\0", 0), indexed)


def streams_from(
    cursor: lmdb.Cursor[bytes], tail: UnindexedTail, start: bytes, after: bytes, limit: int
) -> list[tuple[str, int]]:
    """Names and last versions of the first `limit` streams that begin with `start` and come after `after`.

    Raises DamagedStore.
    """
    found: dict[bytes, int] = {}
    more = cursor.set_range(max(start, after + AFTER_ALL_VERSIONS if after else b"") or b"\0")
    while more and len(found) < limit and cursor.key().startswith(start):
        name = cursor.key()[:-9]
        known = name in found
        found[name] = last_version(cursor, tail, name)
        if known or cursor.key()[:-8] != name + b"\0":  # from here the loop would never end
            raise DamagedStore(f"the index of streams has an invalid key after {name!r}; restore a backup")
        more = cursor.next()
    for prefix, version in list(tail.versions.items()):
        name = prefix[:-1]
        if name not in found and name.startswith(start) and name > after:
            found[name] = version
    return [(name.decode(), found[name]) for name in sorted(found)[:limit]]
