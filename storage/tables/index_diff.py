"""Finds the entries that an index loses and gains when rows change. Pure; the thread that applies events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from storage.codec.keys import MAX_KEY_BYTES, encode_component, too_long
from storage.errors import InvalidKey
from storage.tables.index import Index, Values

__all__ = ["index_diff"]

_PLAIN = frozenset({str, int, float, bytes, bool, Decimal, date, datetime, UUID})
"""Types whose equal values have equal encodings. Containers are not such: [1] == [True]."""


def index_diff(
    index: Index, changed: Iterable[tuple[bytes, Values | None]], stored: Mapping[bytes, Values | None]
) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """The entries to delete, and those to put with their rows' keys, both sorted, for changed rows by key.

    None means a row that is deleted, or that was not `stored`. Raises InvalidKey or KeyTooLong, with the
    column.
    """
    if index.single is None:
        removed, added = _of_many(index, changed, stored)
    else:
        removed, added = _of_one(index, index.single, changed, stored)
    removed.sort()
    added.sort()
    return removed, added


def _of_many(
    index: Index, changed: Iterable[tuple[bytes, Values | None]], stored: Mapping[bytes, Values | None]
) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    removed: list[bytes] = []
    added: list[tuple[bytes, bytes]] = []
    for key, row in changed:
        old = stored.get(key)
        if row is not None and old is not None and _unchanged(index, old, row):
            continue
        before = [] if old is None else index.entries(old, key)
        after = [] if row is None else index.entries(row, key)
        removed += [entry for entry in before if entry not in after]
        added += [(entry, key) for entry in after if entry not in before]
    return removed, added


def _unchanged(index: Index, old: Values, new: Values) -> bool:
    """Whether two versions of a row surely have the same entries, which is found without encoding them."""
    for column in index.columns:
        before, after = old.get(column), new.get(column)
        if before is not after and (
            before.__class__ is not after.__class__ or before.__class__ not in _PLAIN or before != after
        ):
            return False
    return True


def _of_one(
    index: Index,
    column: str,
    changed: Iterable[tuple[bytes, Values | None]],
    stored: Mapping[bytes, Values | None],
) -> tuple[list[bytes], list[tuple[bytes, bytes]]]:
    """For an index of one column: nearly all are, and calls and lists would cost more than the work."""
    removed: list[bytes] = []
    added: list[tuple[bytes, bytes]] = []
    encode = encode_component
    try:
        for key, row in changed:
            old = stored.get(key)
            if old is None:
                if row is not None:
                    added.append((encode(row.get(column)) + key, key))
                continue
            before = old.get(column)
            if row is None:
                removed.append(encode(before) + key)
                continue
            after = row.get(column)
            if before is after or (
                before.__class__ is after.__class__ and before.__class__ in _PLAIN and before == after
            ):
                continue
            former, entry = encode(before) + key, encode(after) + key
            if former != entry:
                removed.append(former)
                added.append((entry, key))
    except InvalidKey as error:
        raise index.located(error, column) from None
    longest = max([len(entry) for entry, _ in added], default=0)
    if longest > MAX_KEY_BYTES:
        raise index.located(too_long(longest), "value and key of the row")
    return removed, added
