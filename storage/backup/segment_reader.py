"""Reads a segment: its header and its end alone, or every block, with each checksum. One thread."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import msgpack

from storage.backup.segment_format import (
    ARCHIVES_FORMAT,
    BLOCK,
    END,
    FOOTER,
    FOOTER_MAGIC,
    HEADER,
    MAGIC,
    NOTES,
    SegmentEnd,
    SegmentHeader,
)
from storage.errors import InvalidBackup, NewerFormat
from storage.files.error_translation import from_system

__all__ = ["Segment", "open_segment", "read_notes", "readable_segment", "segment_blocks"]

_MISREAD = (LookupError, ValueError, TypeError, AttributeError, struct.error, OverflowError)


class Segment(NamedTuple):
    """A segment's file, as its header and its end describe it. `bytes` is the size of the file."""

    path: Path
    header: SegmentHeader
    end: SegmentEnd
    bytes: int


def open_segment(path: Path) -> Segment:
    """Read the header and the end of a segment, and nothing between.

    Raises InvalidBackup for a file that is none or was cut short, NewerFormat, StorageError.
    """
    with _opened(path) as file, _misread(path):
        header = _header(path, file)
        size = file.seek(0, 2)
        file.seek(max(size - FOOTER.size, 0))
        begins, magic = FOOTER.unpack(file.read(FOOTER.size))
        if magic != FOOTER_MAGIC:
            raise InvalidBackup(f"{path} was cut short: its end is missing; {ADVICE}")
        file.seek(begins)
        kind, data = _block(path, file)
        if kind != END or file.tell() != size - FOOTER.size:
            raise InvalidBackup(f"{path} has no end where it says; {ADVICE}")
        return Segment(path, header, SegmentEnd.of(msgpack.unpackb(data)), size)


def readable_segment(path: Path) -> Segment | None:
    """As `open_segment`; None for what is no segment, or damaged. Raises NewerFormat, StorageError."""
    try:
        return open_segment(path)
    except InvalidBackup:
        return None


def segment_blocks(segment: Segment) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of each block between the header and the end.

    Raises InvalidBackup for a damaged block, and at the end if all together is not what was written.
    """
    sum = blake2b(digest_size=32)
    path = segment.path
    with _opened(path) as file:
        with _misread(path):
            _header(path, file)
            file.seek(len(MAGIC))
            sum.update(file.read(BLOCK.size))
            file.seek(len(MAGIC))
            _block(path, file)
        while True:
            with _misread(path):
                head = file.read(BLOCK.size)
                kind, data = _block(path, file, head)
                if kind == END:
                    if SegmentEnd.of(msgpack.unpackb(data)).digest != sum.digest():
                        raise InvalidBackup(
                            f"{path} is damaged: its blocks are not all those that were written; {ADVICE}"
                        )
                    return
            sum.update(head)
            yield kind, data


def read_notes(segment: Segment) -> list[tuple[bytes, bytes]]:
    """The notes that are in a segment, in stored bytes, without reading what is before them.

    Raises InvalidBackup.
    """
    notes: list[tuple[bytes, bytes]] = []
    with _opened(segment.path) as file, _misread(segment.path):
        file.seek(segment.end.notes_at)
        while True:
            kind, data = _block(segment.path, file)
            if kind != NOTES:
                return notes
            notes += [(key, value) for key, value in msgpack.unpackb(data)]


ADVICE = "use another backup, or make one; `onewriter verify` looks at all files of a backup"


def _header(path: Path, file: BinaryIO) -> SegmentHeader:
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidBackup(f"{path} is not a file of a backup; give what `onewriter backup` wrote")
    kind, data = _block(path, file)
    fields: dict[str, Any] = msgpack.unpackb(data)
    if kind != HEADER:
        raise InvalidBackup(f"{path} is damaged: it has no header; {ADVICE}")
    if fields["format"] > ARCHIVES_FORMAT:
        raise NewerFormat(
            f"{path} has format {fields['format']}, and this program reads backups up to {ARCHIVES_FORMAT}; "
            "use the version that wrote it"
        )
    return SegmentHeader.of(fields)


def _block(path: Path, file: BinaryIO, head: bytes | None = None) -> tuple[int, bytes]:
    at = file.tell()
    head = file.read(BLOCK.size) if head is None else head
    if len(head) < BLOCK.size:
        raise InvalidBackup(f"{path} was cut short at byte {at}; {ADVICE}")
    kind, length, check = BLOCK.unpack(head)
    # Of a length that was damaged no memory is asked for.
    left = os.fstat(file.fileno()).st_size - file.tell()
    data = file.read(length) if length <= left else b""
    if len(data) < length or crc32(data, kind) != check:
        raise InvalidBackup(
            f"{path} is damaged: the block before byte {file.tell()} is not what was "
            f"written there, its checksum is wrong; {ADVICE}"
        )
    return kind, data


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise from_system(error, f"{path} cannot be read", path) from error


@contextmanager
def _misread(path: Path) -> Iterator[None]:
    try:
        yield
    except _MISREAD as error:
        raise InvalidBackup(
            f"{path} is damaged: it is not what a backup writes ({type(error).__name__}: {error}); {ADVICE}"
        ) from error
