"""A table with the changes of earlier batches and of the batch being decided. The deciding thread only.

Nothing is written before the batch is: changed rows wait here, and every read, by index and range too, merges
them with the stored ones. So no write transaction is open while a caller's code runs, and the changes of one
command are undone by putting the former rows back.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, NamedTuple

import lmdb

from storage.codec.codec import Codec
from storage.tables.access import Access, TableHandle, read_chunk, read_rows
from storage.tables.entries import CHUNK_ROWS
from storage.tables.index import Index
from storage.tables.rows import UNKNOWN_ROW, Row
from storage.tables.search import Entries, Search
from storage.tables.writer import TableWriter

__all__ = ["PendingTable", "UndoLog"]

_ENTRY = itemgetter(0)


class Change(NamedTuple):
    """A row as it was before a change; None if there was none."""

    table: PendingTable
    key: bytes
    row: Row | None

    def take_back(self) -> None:
        self.table.put_back(self.key, self.row)


UndoLog = list[Change]
"""The changes, in order; shared by the tables of a batch."""


class _Prepared(NamedTuple):
    """A changed row, ready for the disk. `more` is how much it changes the number of rows."""

    encoded: bytes
    entries: dict[Index, list[bytes]]
    more: int


class PendingTable(TableWriter):
    """The table that a projection writes to.

    `prepare` finds rows that cannot be stored; `write_to` stores the rest.
    """

    _first = CHUNK_ROWS  # Merging has a cost, however many entries there are.

    __slots__ = ("_count", "_prepared", "_ranges", "_stale", "_undo")

    def __init__(self, access: Access, handle: TableHandle, codec: Codec, undo: UndoLog) -> None:
        super().__init__(access, handle, codec)
        self._undo = undo
        # Keys of changed rows whose `_prepared` entry is out of date.
        self._stale: set[bytes] = set()
        self._prepared: dict[bytes, _Prepared] = {}
        # The entries of changed rows, sorted, each with its row key, for the indexes that were read by range.
        self._ranges: dict[Index, list[tuple[bytes, bytes]]] = {}
        self._count = 0

    # -- changing --------------------------------------------------------------------------------------------
    def put(self, row: Mapping[str, Any]) -> None:
        """As `TableWriter.put`."""
        self._note(self.schema.key_of(row))
        super().put(row)

    def update(self, key: Any, /, **changes: Any) -> None:
        """As `TableWriter.update`."""
        self._note(self._encode_key(key))
        super().update(key, **changes)

    def delete(self, key: Any) -> bool:
        """As `TableWriter.delete`."""
        self._note(self._encode_key(key))
        return super().delete(key)

    def _note(self, raw_key: bytes) -> None:
        row = self._rows_changed.get(raw_key, UNKNOWN_ROW)
        # An update changes the buffered row itself.
        self._undo.append(Change(self, raw_key, dict(row) if row else row))
        self._stale.add(raw_key)

    def put_back(self, raw_key: bytes, row: Row | None) -> None:
        """Restore a row to its state before a change."""
        self._stale.add(raw_key)
        if row is UNKNOWN_ROW:
            self._rows_changed.pop(raw_key, None)
        else:
            self._rows_changed[raw_key] = row

    def flush(self) -> None:
        """As `prepare`: nothing is written before the batch is."""
        self.prepare()

    def prepare(self) -> None:
        """Encode and index the rows that changed.

        Raises CodecError, InvalidKey or KeyTooLong for a row that cannot be stored, with its key; then it
        must be put back.
        """
        while self._stale:
            for raw_key in tuple(self._stale):
                self._prepare(raw_key)
                self._stale.discard(raw_key)

    def _prepare(self, raw_key: bytes) -> None:
        row = self._rows_changed.get(raw_key, UNKNOWN_ROW)
        now: _Prepared | None
        if row is UNKNOWN_ROW:
            now = None
        elif row is None:
            now = _Prepared(b"", {}, -(self._on_disk(raw_key) is not None))
        else:
            entries = {index: index.entries(row, raw_key) for index in self._handle.indexes}
            now = _Prepared(self._encode(row), entries, self._on_disk(raw_key) is None)
        if self._iterations:
            self._notify_of_change(raw_key, now)
        before = self._prepared.pop(raw_key, None)
        if before is not None:
            self._count -= before.more
        if now is not None:
            self._prepared[raw_key] = now
            self._count += now.more
        for index, found in self._ranges.items():
            for entry in _entries(index, raw_key, before, self.schema.primary):
                del found[bisect_left(found, (entry, b""))]
            for entry in _entries(index, raw_key, now, self.schema.primary):
                insort(found, (entry, raw_key))

    def _notify_of_change(self, raw_key: bytes, now: _Prepared | None) -> None:
        before = self._prepared.get(raw_key)
        stored = self._on_disk(raw_key)

        def entries(index: Index, prepared: _Prepared | None) -> list[bytes]:
            if prepared is not None:
                return prepared.entries.get(index, [])
            return [] if stored is None else index.entries(stored, raw_key)

        for iteration in self._open_iterations():
            if not iteration.is_about(raw_key):
                continue
            if iteration.by_key:
                entries_before, entries_after = [raw_key], []
            else:
                entries_before, entries_after = (
                    entries(iteration.index, before),
                    entries(iteration.index, now),
                )
            iteration.will_change(
                raw_key, entries_before, entries_after, lambda: self._fetch_flushed([raw_key])[0]
            )

    def write_to(self, txn: lmdb.Transaction) -> None:
        """Write every changed row and its index entries in a transaction. Raises LMDB's errors."""
        self.prepare()
        changed = sorted(self._prepared.items())
        with txn.cursor(self._db) as cursor:
            for key, prepared in changed:
                if prepared.encoded:
                    cursor.put(key, prepared.encoded)
                elif cursor.set_key(key):
                    cursor.delete()
        for index, db in self._handle.indexes.items():
            with txn.cursor(db) as cursor:
                for key, prepared in changed:
                    old = self._on_disk(key)
                    entries = prepared.entries.get(index, [])
                    former = [] if old is None else index.entries(old, key)
                    for entry in former:
                        if entry not in entries and cursor.set_key(entry):
                            cursor.delete()
                    for entry in entries:
                        if entry not in former:
                            cursor.put(entry, key)

    # -- reading ---------------------------------------------------------------------------------------------
    def _counted(self) -> int:
        self.prepare()
        return self._stored_count() + self._count

    def _fetch(self, row_keys: list[bytes]) -> list[bytes | None]:
        self.prepare()
        return self._fetch_flushed(row_keys)

    def _fetch_flushed(self, row_keys: list[bytes]) -> list[bytes | None]:
        prepared = self._prepared
        stored = dict(self._stored_rows([key for key in row_keys if key not in prepared]))
        for key in row_keys:
            if key in prepared and prepared[key].encoded:
                stored[key] = prepared[key].encoded
        return list(map(stored.get, row_keys))

    def _part(
        self, search: Search, after: bytes | None, size: int, bare: bool
    ) -> tuple[list[Any], bytes | None]:
        index, reverse, prepared = search.index, search.reverse, self._prepared
        primary = index is self.schema.primary
        stored = self._stored_chunk(search, after, size)
        last = stored[-1][0] if len(stored) == size else None
        # A changed row is found by its own entries, not by those stored under its key.
        found = [item for item in stored if item[0 if primary else 1] not in prepared]
        found += [
            (entry, prepared[key].encoded if primary else key)
            for entry, key in self._changed_between(search, after, last, size + 1)
        ]
        found.sort(reverse=reverse)
        if len(found) > size:
            del found[size:]
            last = found[-1][0]
        return [entry for entry, _ in found] if bare else found, last

    def _changed_between(
        self, search: Search, after: bytes | None, last: bytes | None, size: int
    ) -> list[tuple[bytes, bytes]]:
        """The next entries of changed rows in [low, high) after `after`, up to `last`, with row keys."""
        index, low, high, reverse = search.index, search.low, search.high, search.reverse
        found = self._ranges.get(index)
        if found is None:
            primary = self.schema.primary
            found = self._ranges[index] = sorted(
                (entry, key)
                for key, prepared in self._prepared.items()
                for entry in _entries(index, key, prepared, primary)
            )
        first, end = bisect_left(found, (low,)), len(found) if high is None else bisect_left(found, (high,))
        upper, lower = (after, last) if reverse else (last, after)
        # `after` is excluded and `last` is included.
        if upper is not None:
            end = min(end, (bisect_left if reverse else bisect_right)(found, upper, key=_ENTRY))
        if lower is not None:
            first = max(first, (bisect_left if reverse else bisect_right)(found, lower, key=_ENTRY))
        return found[max(first, end - size) : end] if reverse else found[first : min(end, first + size)]

    # -- what is stored --------------------------------------------------------------------------------------
    def _stored_count(self) -> int:
        return self._access.locked(lmdb.Transaction.stat, self._db)["entries"]

    def _stored_rows(self, row_keys: list[bytes]) -> Entries:
        return self._access.locked(read_rows, self._db, row_keys)

    def _stored_chunk(self, search: Search, after: bytes | None, size: int) -> Entries:
        db = self._db if search.index is self.schema.primary else self._handle.indexes[search.index]
        return self._access.locked(read_chunk, db, search, after, size)


def _entries(index: Index, raw_key: bytes, prepared: _Prepared | None, primary: Index) -> list[bytes]:
    if prepared is None:
        return []
    if index is primary:
        return [raw_key] if prepared.encoded else []
    return prepared.entries.get(index, [])
