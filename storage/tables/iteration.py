"""An iteration whose results are fixed at its start, though its table changes meanwhile. The writer's thread.

Entries are read a chunk at a time, so later chunks would contain rows that were written meanwhile. A writer
therefore notifies every open iteration of the rows that it is about to change. The iteration stores what it
needs of them: the stored bytes of a row that it has still to give, and the key of a row that would come a
second time. It stores nothing for a row that it has passed and that does not move ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from storage.codec.codec import Codec
from storage.tables.access import Access, TableHandle
from storage.tables.reader import TableReader
from storage.tables.search import Search

__all__ = ["Iteration"]


class _Descending(tuple[bytes, bytes]):
    """An entry and its row's key, in reverse sort order, for the heap of a reversed search."""

    __slots__ = ()
    __lt__ = tuple.__gt__


class Iteration(TableReader):
    """One search of a table in its present state, to be read once, from the beginning."""

    __slots__ = (
        "__weakref__",
        "_after",
        "_ahead",
        "_ended",
        "_former",
        "_given",
        "_read_part",
        "_read_rows",
        "_search",
        "by_key",
        "index",
    )

    def __init__(
        self,
        access: Access,
        handle: TableHandle,
        codec: Codec,
        search: Search,
        read_part: Callable[[Search, bytes | None, int, bool], tuple[list[Any], bytes | None]],
        read_rows: Callable[[list[bytes]], list[bytes | None]],
    ) -> None:
        """`read_part` reads the table's next entries, `read_rows` its stored rows, both for the writer."""
        super().__init__(access, handle, codec)
        self.index = search.index
        """The index that it follows."""
        self.by_key = search.index is handle.schema.primary
        """Whether it follows the key: then a row's entry is its key, and the entry's value is the row."""
        self._read_part = read_part
        self._read_rows = read_rows
        self._search = search
        # The former state of rows that changed, by key; None for rows that must not be given.
        self._former: dict[bytes, bytes | None] = {}
        # The entries at which such rows must be given, with their keys: a heap in the order of the search.
        self._ahead: list[tuple[bytes, bytes]] = []
        self._given: list[bytes] = []
        self._after: bytes | None = None
        self._ended = False

    # -- for the writer --------------------------------------------------------------------------------------
    def is_about(self, key: bytes) -> bool:
        """Whether a change of this row may matter. It may only if it is the first since the start."""
        return not self._ended and key not in self._former

    def will_change(
        self, key: bytes, before: list[bytes], after: list[bytes], stored: Callable[[], bytes | None]
    ) -> None:
        """Note that a row is about to change, and its entries from `before` to `after`.

        `stored` gives the row's present bytes, None for a new row. In key order its entry is in `before`,
        whether the row is new, stays or is deleted.
        """
        to_come = list(filter(self._is_ahead, before))
        if not to_come and not any(map(self._is_ahead, after)):
            return
        row = self._former[key] = stored() if to_come else None
        if row is not None:
            for entry in to_come:
                item = entry, key
                heappush(self._ahead, _Descending(item) if self._search.reverse else item)

    def _is_ahead(self, entry: bytes) -> bool:
        search, after = self._search, self._after
        if entry < search.low or (search.high is not None and entry >= search.high):
            return False
        return after is None or (entry < after if search.reverse else entry > after)

    # -- for its reader --------------------------------------------------------------------------------------
    def _part(
        self, search: Search, after: bytes | None, size: int, bare: bool
    ) -> tuple[list[Any], bytes | None]:
        for key in self._given:
            self._former[key] = None
        self._given = []
        chunk, last = self._read_part(search, after, size, bare)
        if self._former:
            chunk = self._as_it_was(chunk, last, bare)
        self._after = last
        self._ended = last is None
        return chunk, last

    def _as_it_was(self, chunk: list[Any], last: bytes | None, bare: bool) -> list[Any]:
        """A chunk's entries without the rows that changed, and the former entries of those up to `last`."""
        former, by_key = self._former, self.by_key
        keys = chunk if bare else [item[0 if by_key else 1] for item in chunk]
        found = [item for item, key in zip(chunk, keys, strict=True) if key not in former]
        came = self._come_up_to(last)
        if bare:
            found += [entry for entry, _ in came]
        elif by_key:
            found += [(entry, former[key]) for entry, key in came]
        else:
            found += came
        if came:
            found.sort(reverse=self._search.reverse)
        if by_key:  # A key that was passed cannot come again.
            for key in keys:
                former.pop(key, None)
            for _, key in came:
                former.pop(key, None)
        else:
            self._given = [key for _, key in came]
        return found

    def _come_up_to(self, last: bytes | None) -> list[tuple[bytes, bytes]]:
        ahead, reverse = self._ahead, self._search.reverse
        came: list[tuple[bytes, bytes]] = []
        while ahead and (last is None or (ahead[0][0] >= last if reverse else ahead[0][0] <= last)):
            entry, key = heappop(ahead)
            came.append((entry, key))
        return came

    def _fetch(self, row_keys: list[bytes]) -> list[bytes | None]:
        former = self._former
        if former.keys().isdisjoint(row_keys):
            return self._read_rows(row_keys)
        stored = iter(self._read_rows([key for key in row_keys if key not in former]))
        return [former[key] if key in former else next(stored) for key in row_keys]
