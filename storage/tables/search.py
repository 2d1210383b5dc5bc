"""A search: the entries of an index between two bounds, in an order. Pure, any thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias, TypedDict

from storage.tables.index import Bounds, Index

__all__ = ["BoundOptions", "Entries", "Search", "once_each"]

Entries: TypeAlias = list[tuple[bytes, bytes]]


class BoundOptions(TypedDict, total=False):
    """The bounds of a range besides `start` and `stop`.

    `equal`, a scalar or a tuple, fixes the leading columns of an index of several; `start` and `stop` then
    refer to the next columns. To search for None itself, write `equal=(None,)`. With `include_stop` the range
    includes what equals `stop`.
    """

    equal: Any
    include_stop: bool


class Search:
    """What to look for: an index, bounds, a direction, a limit.

    `repeats` says that a row may have several entries there; the first one that is read stands for the row.
    """

    __slots__ = ("high", "index", "limit", "low", "repeats", "reverse")

    def __init__(self, index: Index, bounds: Bounds, reverse: bool = False, limit: int | None = None) -> None:
        self.index = index
        self.low, self.high, pinned = bounds
        self.reverse = reverse
        self.limit = limit
        self.repeats = index.many is not None and index.repeats(pinned)


def once_each(chunks: Iterable[Entries], limit: int | None) -> Iterator[Entries]:
    """The first entry of each row, at most `limit` of them; the entries' values are the rows' keys."""
    seen: set[bytes] = set()
    for chunk in chunks:
        first: Entries = []
        for item in chunk:
            if item[1] not in seen:
                seen.add(item[1])
                first.append(item)
        if limit is not None and len(seen) >= limit:
            yield first[: len(first) - (len(seen) - limit)]
            return
        yield first
