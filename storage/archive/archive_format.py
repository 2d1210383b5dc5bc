"""The format of an archive: events of a log in compressed blocks, and an index of these. Pure; any thread.

After a line of text come blocks, each with its kind, its length and a CRC-32 before it: a header; events, in
order of position; an index with the first position of each block of events and the offset at which it begins;
an end, with a digest of all bytes before it. The last bytes of the file say where index and end begin. A
block of events is compressed by zlib: how many events, their positions, their lengths, and their own bytes,
as the log had them. Numbers are big-endian. docs/storage.md describes it for other programs.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate
from sys import byteorder
from typing import Any, NamedTuple, Self
from zlib import compress, crc32, decompress

import msgpack

__all__ = [
    "BLOCK",
    "DIGEST_BYTES",
    "ENDING",
    "END",
    "EVENTS",
    "FOOTER",
    "FOOTER_MAGIC",
    "FORMAT",
    "HEADER",
    "INDEX",
    "MAGIC",
    "ArchiveEnd",
    "ArchiveHeader",
    "EventBlock",
    "archive_name",
    "pack_index",
    "unpack_index",
]

FORMAT = 1
"""Raised if an older program could no longer read an archive."""

ENDING = ".archive"
"""Of the name of an archive's file."""
MAGIC = b"onewriter archive\n"
HEADER, EVENTS, INDEX, END = range(1, 5)
"""The kinds of blocks."""
BLOCK = struct.Struct(">BII")
"""Before each block: its kind, the bytes that follow, and the CRC-32 of kind and bytes."""
FOOTER = struct.Struct(">QQ8s")
"""At the end of the file: where the index begins, where the end begins, and `FOOTER_MAGIC`."""
FOOTER_MAGIC = b"ow-arch\n"
DIGEST_BYTES = 32

_COUNT = struct.Struct(">I")
_ENTRY_BYTES = 16


def archive_name(number: int) -> str:
    """The name of the file of an archive."""
    return f"{number:08d}{ENDING}"


def block_head(kind: int, data: bytes) -> bytes:
    """What is before a block of these bytes."""
    return BLOCK.pack(kind, len(data), crc32(data, kind))


class ArchiveHeader(NamedTuple):
    """What an archive says at its beginning.

    `history_id` is that with which the log's history began, `number` that of the archive in it. `who` made it
    and `why`, at `time_us`, in microseconds since 1970. `corrections` is the number of the log's last
    correction when the events were read.
    """

    history_id: str
    number: int
    who: str
    why: str
    time_us: int
    corrections: int

    def pack(self) -> bytes:
        """The block's bytes."""
        packed: bytes = msgpack.packb({"format": FORMAT, **self._asdict()})
        return packed

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The header with unpacked fields. Raises LookupError."""
        return cls(*(fields[name] for name in cls._fields))


class ArchiveEnd(NamedTuple):
    """What an archive says at its end: how many events it has, the first and the last position, and the bytes
    that the events take when they are not compressed. `digest` is the BLAKE2b, 32 bytes, of all bytes before
    the block of the end."""

    events: int
    first: int
    last: int
    event_bytes: int
    digest: bytes

    def pack(self) -> bytes:
        """The block's bytes."""
        packed: bytes = msgpack.packb(self._asdict())
        return packed

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        """The end with unpacked fields. Raises LookupError."""
        return cls(*(fields[name] for name in cls._fields))


class EventBlock(NamedTuple):
    """Some events: their positions, in order, and where in `joined` each of them ends."""

    positions: Sequence[int]
    ends: Sequence[int]
    joined: bytes

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The block of compressed bytes. Raises zlib.error, struct.error, ValueError."""
        plain = decompress(data)
        (count,) = _COUNT.unpack_from(plain)
        begins = _COUNT.size + 12 * count
        positions = struct.unpack_from(f">{count}Q", plain, _COUNT.size)
        lengths = struct.unpack_from(f">{count}I", plain, _COUNT.size + 8 * count)
        ends = list(accumulate(lengths))
        if not count or len(plain) != begins + ends[-1]:
            raise ValueError("its events are not as long as they say")
        return cls(positions, ends, plain[begins:])

    @staticmethod
    def pack(positions: Sequence[int], events: Sequence[bytes]) -> bytes:
        """The compressed bytes of a block."""
        count = len(positions)
        head = _COUNT.pack(count), struct.pack(f">{count}Q", *positions)
        return compress(b"".join((*head, struct.pack(f">{count}I", *map(len, events)), *events)))

    def event(self, index: int) -> bytes:
        """The bytes of the event of an index."""
        return self.joined[self.ends[index - 1] if index else 0 : self.ends[index]]


def pack_index(first: Sequence[int], offsets: Sequence[int]) -> bytes:
    """The index: the first position of each block of events, and where it begins."""
    return b"".join(_big_endian(array("Q", numbers)).tobytes() for numbers in (first, offsets))


def unpack_index(data: bytes) -> tuple[array[int], array[int]]:
    """First positions and offsets. Raises ValueError."""
    if len(data) % _ENTRY_BYTES:
        raise ValueError("its index has no whole number of entries")
    half = len(data) // 2
    return _big_endian(array("Q", data[:half])), _big_endian(array("Q", data[half:]))


def _big_endian(numbers: array[int]) -> array[int]:
    if byteorder == "little":
        numbers.byteswap()
    return numbers
