"""Reads an archive: which events it has, one block of them, or all. Any thread.

The file is opened for each read and closed after it, so it may be moved to another disk while the log is
open, and nothing has to be closed.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from zlib import crc32

import msgpack

from storage.archive.archive_format import (
    BLOCK,
    DIGEST_BYTES,
    END,
    EVENTS,
    FOOTER,
    FOOTER_MAGIC,
    FORMAT,
    HEADER,
    INDEX,
    MAGIC,
    ArchiveEnd,
    ArchiveHeader,
    EventBlock,
    unpack_index,
)
from storage.errors import ArchiveUnavailable, NewerFormat
from storage.files.error_translation import from_system
from storage.files.opening_resources import Descriptor

__all__ = ["ArchiveFile"]

PIECE = 1 << 20
"""Bytes that are read at a time where all are."""
_MISREAD = (LookupError, ValueError, TypeError, AttributeError, OverflowError, struct.error, zlib.error)

Progress = Callable[[int, int], None]
"""Called with the number of bytes that were read, and of all."""


class ArchiveFile(NamedTuple):
    """The file at `path` of `size` bytes, as its header, index and end describe it."""

    path: Path
    size: int
    header: ArchiveHeader
    end: ArchiveEnd
    first: array[int]
    """The first position of each block of events."""
    offsets: array[int]
    """Where each block begins; at the end, where the index does."""
    end_at: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read header, index and end. Raises ArchiveUnavailable for what can't be read; NewerFormat."""
        with _opened(path) as number, _misread(path):
            size = os.fstat(number).st_size
            header = _header(path, number)
            index_at, end_at, magic = FOOTER.unpack(os.pread(number, FOOTER.size, size - FOOTER.size))
            if magic != FOOTER_MAGIC:
                raise ValueError("its end is missing")
            kind, data = _block(number, end_at, size)
            if kind != END or end_at + BLOCK.size + len(data) + FOOTER.size != size:
                raise ValueError("it has no end where it says")
            end = ArchiveEnd.of(msgpack.unpackb(data))
            kind, data = _block(number, index_at, end_at)
            first, offsets = unpack_index(data)
            if kind != INDEX or not first or index_at + BLOCK.size + len(data) != end_at:
                raise ValueError("it has no index where it says")
            offsets.append(index_at)
            return cls(path, size, header, end, first, offsets, end_at)

    @staticmethod
    def header_of(path: Path) -> ArchiveHeader:
        """What the file says at its beginning, which may be all that there is of it. Raises as `open`."""
        with _opened(path) as number, _misread(path):
            return _header(path, number)

    def block_of(self, position: int) -> int:
        """The number of the block that has a position, if any does; -1 before the first."""
        return bisect_right(self.first, position) - 1

    def block(self, index: int) -> EventBlock:
        """The block of a number. Raises ArchiveUnavailable."""
        with _opened(self.path) as number, _misread(self.path):
            kind, data = _block(number, self.offsets[index], self.offsets[index + 1])
            if kind != EVENTS:
                raise ValueError("it has no events where its index says")
            return EventBlock.of(data)

    def events(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """Position and bytes of each event after a position. Raises ArchiveUnavailable."""
        for index in range(max(self.block_of(after + 1), 0), len(self.first)):
            block = self.block(index)
            for at in range(bisect_right(block.positions, after), len(block.positions)):
                yield block.positions[at], block.event(at)

    def digest(self, progress: Progress | None = None) -> bytes:
        """The digest of the file as it is now; its end says what it was. Raises ArchiveUnavailable."""
        sum = blake2b(digest_size=DIGEST_BYTES)
        with _opened(self.path) as number, _misread(self.path):
            at = 0
            while at < self.end_at:
                data = os.pread(number, min(PIECE, self.end_at - at), at)
                if not data:
                    raise ValueError("it was cut short")
                sum.update(data)
                at += len(data)
                if progress is not None:
                    progress(at, self.size)
        return sum.digest()

    def check(self, progress: Progress | None = None) -> None:
        """Read all of it. Raises ArchiveUnavailable where it is not what was written."""
        if self.digest(progress) != self.end.digest:
            raise _damaged(self.path, "its bytes are not those that were written")
        count = size = 0
        positions = [0]
        for index, first in enumerate(self.first):
            block = self.block(index)
            positions = [positions[-1], *block.positions]
            if block.positions[0] != first or any(one >= other for one, other in pairwise(positions)):
                raise _damaged(self.path, "its events are not in their order")
            count += len(block.positions)
            size += len(block.joined)
        found = ArchiveEnd(count, self.first[0], positions[-1], size, self.end.digest)
        if found != self.end:
            raise _damaged(self.path, "it has other events than it says")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        with Descriptor(path, os.O_RDONLY) as number:
            yield number
    except FileNotFoundError as error:
        raise ArchiveUnavailable(
            f"the archive {path} is missing; put it back there, or say with archives_path= where it is, or "
            "restore it from a backup"
        ) from error
    except OSError as error:
        raise ArchiveUnavailable(
            str(from_system(error, f"the archive {path} can't be read", path))
        ) from error


@contextmanager
def _misread(path: Path) -> Iterator[None]:
    try:
        yield
    except _MISREAD as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> ArchiveUnavailable:
    return ArchiveUnavailable(
        f"the archive {path} is damaged ({why}); put a sound copy there, such as that of a backup"
    )


def _header(path: Path, number: int) -> ArchiveHeader:
    if os.pread(number, len(MAGIC), 0) != MAGIC:
        raise ValueError("it does not begin as an archive does")
    kind, data = _block(number, len(MAGIC), len(MAGIC) + PIECE)
    fields = msgpack.unpackb(data)
    if kind != HEADER:
        raise ValueError("it has no header")
    if fields["format"] > FORMAT:
        raise NewerFormat(
            f"the archive {path} has format {fields['format']}, and this program reads up to {FORMAT}; use "
            "the version that wrote it"
        )
    return ArchiveHeader.of(fields)


def _block(number: int, at: int, until: int) -> tuple[int, bytes]:
    """Kind and bytes of the block at an offset, which ends before another one. Raises ValueError."""
    head = os.pread(number, BLOCK.size, at)
    kind, length, check = BLOCK.unpack(head)
    if at + BLOCK.size + length > until:
        raise ValueError(f"the block at byte {at} is longer than it can be")
    data = os.pread(number, length, at + BLOCK.size)
    if len(data) < length or crc32(data, kind) != check:
        raise ValueError(f"the checksum of the block at byte {at} is wrong")
    return kind, data
