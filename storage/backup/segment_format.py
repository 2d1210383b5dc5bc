"""The format of a segment, the file of a backup: blocks, each with its length and a CRC. Pure; any thread.

A segment is a part of a log, from a point of its chain to another: all of it in a full backup, what was added
since in an increment. After a line of text come the blocks: a header; events as they were committed, with
their checksums; the links of the chain that are in no event, each before the events that follow it; what
corrections changed, before the link of each; all notes; an end, with a digest of which blocks are before it
and their CRCs. The last bytes say where the end is. Every block of events ends where a commit does. Of an
archived event it has the stub, and the archive's file is copied beside the segment. Indexes, snapshots of
aggregates and tables of inline models are left out, as they follow from the events.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self
from zlib import crc32

import msgpack

from storage.archive.archive_format import ENDING

__all__ = [
    "ARCHIVES_FORMAT",
    "BLOCK",
    "CORRECTED",
    "END",
    "EVENTS",
    "FOOTER",
    "FORMAT",
    "HEADER",
    "LINKS",
    "MAGIC",
    "NOTES",
    "ArchiveCopy",
    "LinkRecord",
    "Point",
    "SegmentEnd",
    "SegmentHeader",
    "block_head",
    "pack_events",
    "unpack_events",
]

FORMAT = 1
"""Raised if an older program could no longer read a segment."""
ARCHIVES_FORMAT = 2
"""That of a segment of a log that has archives."""

MAGIC = b"onewriter backup\n"
HEADER, EVENTS, LINKS, CORRECTED, NOTES, END = range(1, 7)
"""The kinds of blocks."""
BLOCK = struct.Struct(">BII")
"""Before each block: its kind, the bytes that follow, and the CRC-32 of kind and bytes."""
FOOTER = struct.Struct(">Q8s")
"""At the end of the file: where the last block begins, and `FOOTER_MAGIC`."""
FOOTER_MAGIC = b"ow-end\r\n"

_FIRST = struct.Struct(">QI")


class Point(NamedTuple):
    """A point of a log's chain.

    The log ended at `position` with this digest; `link` is the key of the last link in the database `chain`,
    empty if there was none, and `corrections` the number of corrections.
    """

    position: int
    digest: bytes
    link: bytes = b""
    corrections: int = 0


class LinkRecord(NamedTuple):
    """A link of the chain that is in no event, with what it links: all in stored bytes.

    `commands` are ids and records. `operation` is the record of a correction, empty for commands, and
    `models` are those of which this correction was the last.
    """

    key: bytes
    link: bytes
    commands: list[tuple[bytes, bytes]]
    operation: bytes
    models: list[bytes]

    @classmethod
    def of(cls, fields: list[Any]) -> Self:
        """The link of an unpacked entry of a block."""
        key, link, commands, operation, models = fields
        return cls(key, link, [(command_id, record) for command_id, record in commands], operation, models)


class ArchiveCopy(NamedTuple):
    """An archive that the log had: its number, the digest of its file, and whether it was removed."""

    number: int
    digest: bytes
    removed: bool

    @property
    def name(self) -> str:
        """The name of the copy of its file in a set of backups, which may be of several logs."""
        return f"{self.number:08d}-{self.digest[:8].hex()}{ENDING}"


class SegmentHeader(NamedTuple):
    """What a segment says at its beginning.

    `base` is the point that it continues, and `base_id` the segment that ends there: empty for a full backup,
    which begins at position 0. `created` is that of the store, `begun` when the backup began. `format` is
    the segment's.
    """

    id: str
    history_id: str
    first_history_id: str
    created: datetime
    begun: datetime
    base: Point
    base_id: str = ""
    format: int = FORMAT

    @property
    def full(self) -> bool:
        """Whether it needs no other segment."""
        return not self.base_id

    def pack(self) -> bytes:
        """The block's bytes."""
        fields: dict[str, Any] = {
            "format": self.format,
            "id": self.id,
            "history_id": self.history_id,
            "first_history_id": self.first_history_id,
            "created": self.created.isoformat(),
            "begun": self.begun.isoformat(),
            "base": list(self.base),
            "base_id": self.base_id,
        }
        packed: bytes = msgpack.packb(fields)
        return packed

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The header with unpacked fields. Raises what Python raises for others."""
        return cls(
            fields["id"],
            fields["history_id"],
            fields["first_history_id"],
            datetime.fromisoformat(fields["created"]),
            datetime.fromisoformat(fields["begun"]),
            Point(*fields["base"]),
            fields["base_id"],
            fields["format"],
        )


class SegmentEnd(NamedTuple):
    """What a segment says at its end: the point that it reaches, and what is in it.

    `time_us` is the time of the last event up to there, in microseconds since 1970. `notes_digest` is that of
    all notes; they are in the segment unless `notes_kept` says that they are those of the one before.
    `notes_at` is the offset of their first block. `archives` are those that the log had.
    """

    point: Point
    time_us: int
    events: int
    commands: int
    notes: int
    notes_digest: bytes
    notes_kept: bool
    notes_at: int
    ended: datetime
    archives: Sequence[ArchiveCopy] = ()
    digest: bytes = b""

    @property
    def time(self) -> datetime:
        """The time of the last event, in UTC."""
        return datetime.fromtimestamp(self.time_us / 1e6, UTC)

    def pack(self, digest: bytes) -> bytes:
        """The block's bytes; `digest` is that of the heads of all blocks before it."""
        fields: dict[str, Any] = {
            "point": list(self.point),
            "time_us": self.time_us,
            "events": self.events,
            "commands": self.commands,
            "notes": self.notes,
            "notes_digest": self.notes_digest,
            "notes_kept": self.notes_kept,
            "notes_at": self.notes_at,
            "ended": self.ended.isoformat(),
            "digest": digest,
        }
        if self.archives:
            fields["archives"] = [list(one) for one in self.archives]
        packed: bytes = msgpack.packb(fields)
        return packed

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The end with unpacked fields. Raises what Python raises for others."""
        return cls(
            Point(*fields["point"]),
            fields["time_us"],
            fields["events"],
            fields["commands"],
            fields["notes"],
            fields["notes_digest"],
            fields["notes_kept"],
            fields["notes_at"],
            datetime.fromisoformat(fields["ended"]),
            [ArchiveCopy(*one) for one in fields.get("archives", ())],
            fields["digest"],
        )


def block_head(kind: int, data: bytes) -> bytes:
    """What is before a block with these bytes."""
    return BLOCK.pack(kind, len(data), crc32(data, kind))


def pack_events(first: int, values: Sequence[bytes]) -> bytes:
    """A block of consecutive stored events from position `first` on."""
    count = len(values)
    return b"".join((_FIRST.pack(first, count), struct.pack(f">{count}I", *map(len, values)), *values))


def unpack_events(block: bytes) -> tuple[int, list[bytes]]:
    """The first position and the stored events of a block. Raises struct.error, ValueError."""
    first, count = _FIRST.unpack_from(block)
    lengths = struct.unpack_from(f">{count}I", block, _FIRST.size)
    begin = _FIRST.size + 4 * count
    ends = list(accumulate(lengths, initial=begin))
    if ends[-1] != len(block):
        raise ValueError("its events are not as long as they say")
    return first, [block[start:end] for start, end in pairwise(ends)]


def packed_parts(items: Iterable[Any], most: int) -> Iterable[bytes]:
    """Items as msgpack arrays of about `most` bytes at most each."""
    packer = msgpack.Packer(autoreset=True)
    part: list[bytes] = []
    size = 0
    for item in items:
        packed = packer.pack(item)
        part.append(packed)
        size += len(packed)
        if size >= most:
            yield _array(packer, part)
            part, size = [], 0
    if part:
        yield _array(packer, part)


def _array(packer: msgpack.Packer, part: list[bytes]) -> bytes:
    return b"".join((packer.pack_array_header(len(part)), *part))
