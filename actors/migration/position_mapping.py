"""Which positions of a copied log came of which positions of the original. Pure; notes go through the caller.

A copy keeps the order, and each event of the original gives none, one or several of the copy. So it is enough
to know how many came of each. That is kept in notes, one for `BUCKET` positions of the original, as runs of
the same number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

import msgpack

from storage.log.notes import Note

__all__ = ["PREFIX", "MappingBuilder", "PositionMapping"]

PREFIX = b"copy/map/"
BUCKET = 4096
U64 = struct.Struct(">Q")


def _key(bucket: int) -> bytes:
    return PREFIX + U64.pack(bucket)


class MappingBuilder:
    """Adds positions of the original in order; gives the notes to write."""

    def __init__(self, read: Callable[[bytes], bytes | None], last: int) -> None:
        """Goes on after position `last`, with what `read` finds in the notes that were written."""
        self._position = last
        self._before = 0
        self._runs: list[list[int]] = []
        self._full: list[Note] = []
        if last:
            value = read(_key((last - 1) // BUCKET))
            assert value is not None, "the mapping is written together with the events"
            self._before, self._runs = msgpack.unpackb(value)

    def add(self, count: int) -> None:
        """So many events came of the next position."""
        if self._position and self._position % BUCKET == 0:
            self._full.append(self._note())
            self._before += sum(times * number for times, number in self._runs)
            self._runs = []
        self._position += 1
        if self._runs and self._runs[-1][1] == count:
            self._runs[-1][0] += 1
        else:
            self._runs.append([1, count])

    def take(self) -> list[Note]:
        """The notes that have changed since the last call."""
        notes = [*self._full, self._note()] if self._position else []
        self._full = []
        return notes

    def _note(self) -> Note:
        return _key((self._position - 1) // BUCKET), msgpack.packb([self._before, self._runs])


class PositionMapping:
    """The mapping of a copied log; `read` reads a note, as a log's `note` does. Any thread."""

    def __init__(self, read: Callable[[bytes], bytes | None], head: int) -> None:
        """`head` is the last position of the original."""
        self._read = read
        self.head = head
        self._bucket = lru_cache(maxsize=64)(self._load)

    def _load(self, bucket: int) -> tuple[int, list[list[int]]]:
        value = self._read(_key(bucket))
        if value is None:
            return 0, []
        before, runs = msgpack.unpackb(value)
        return before, runs

    def events(self, position: int) -> range:
        """The positions in the copy of what came of this event of the original; empty if it was dropped."""
        if not 0 < position <= self.head:
            return range(0)
        first, count = self._at(position)
        return range(first, first + count)

    def checkpoint(self, position: int) -> int:
        """Up to where the copy has what the original has up to `position`."""
        if position <= 0:
            return position
        first, count = self._at(min(position, self.head)) if self.head else (1, 0)
        return first + count - 1

    def original(self, position: int) -> int:
        """The position in the original of what an event of the copy came of. Raises ValueError."""
        low, high = 1, self.head
        while low < high:
            middle = (low + high) // 2
            if self.checkpoint(middle) < position:
                low = middle + 1
            else:
                high = middle
        if position not in self.events(low):
            raise ValueError(f"the copy had no position {position} when it was made")
        return low

    def _at(self, position: int) -> tuple[int, int]:
        """The first position in the copy, and how many there are."""
        before, runs = self._bucket((position - 1) // BUCKET)
        left = (position - 1) % BUCKET
        for times, count in runs:
            if left < times:
                return before + left * count + 1, count
            left -= times
            before += times * count
        return before + 1, 0
