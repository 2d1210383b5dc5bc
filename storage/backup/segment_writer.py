"""Writes a segment, block by block, to whatever takes bytes. One thread.

Where the bytes go is not its business: a file, a pipe, or another machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from storage.backup.segment_format import (
    CORRECTED,
    END,
    EVENTS,
    FOOTER,
    FOOTER_MAGIC,
    HEADER,
    LINKS,
    MAGIC,
    NOTES,
    LinkRecord,
    SegmentEnd,
    SegmentHeader,
    block_head,
    pack_events,
    packed_parts,
)

__all__ = ["SegmentWriter"]

PART_BYTES = 1 << 20
"""A block of links, changes or notes ends with the entry with which it exceeds this."""


class SegmentWriter:
    """Gives the bytes of a segment to `write`, and raises what that raises. `written` counts them."""

    def __init__(self, write: Callable[[bytes], object], header: SegmentHeader) -> None:
        self._write = write
        self._sum = blake2b(digest_size=32)
        self.written = 0
        self._put(MAGIC)
        self._block(HEADER, header.pack())

    def events(self, first: int, values: Sequence[bytes]) -> None:
        """Consecutive stored events from position `first` on, up to the end of a commit."""
        self._block(EVENTS, pack_events(first, values))

    def packed(self, heads: bytes, blocks: Sequence[bytes]) -> None:
        """Blocks of events that were packed before: their heads in a row, and each behind its head."""
        self._sum.update(heads)
        for block in blocks:
            self._put(block)

    def left_out(self, heads: bytes, size: int) -> None:
        """Blocks of events that somebody else writes: their heads in a row, and the bytes of all."""
        self._sum.update(heads)
        self.written += size

    def links(self, links: Iterable[LinkRecord]) -> None:
        """Links of the chain, before the events that follow them."""
        self._parts(LINKS, (list(link) for link in links))

    def corrected(self, number: int, time_us: int, changes: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Position, bytes before and after of events that a correction changed; before its link."""
        self._parts(CORRECTED, ([number, time_us, *change] for change in changes))

    def notes(self, notes: Iterable[tuple[bytes, bytes]]) -> None:
        """All notes, in stored bytes."""
        self._parts(NOTES, notes)

    def end(self, end: SegmentEnd) -> None:
        """The end; nothing comes after it."""
        begins = self.written
        self._block(END, end.pack(self._sum.digest()))
        self._put(FOOTER.pack(begins, FOOTER_MAGIC))

    def _parts(self, kind: int, items: Iterable[Any]) -> None:
        for part in packed_parts(items, PART_BYTES):
            self._block(kind, part)

    def _block(self, kind: int, data: bytes) -> None:
        head = block_head(kind, data)
        self._sum.update(head)
        self._put(head)
        self._put(data)

    def _put(self, data: bytes) -> None:
        self._write(data)
        self.written += len(data)
