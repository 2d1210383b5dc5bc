"""Writes a table in one write transaction, through a buffer of changed rows. The transaction's thread only.

A projection changes the same rows many times within a batch. Changed rows wait in the buffer, where reads by
key find them. They are encoded and written once, sorted by key, when the transaction commits or a range or an
index is read. Comparing the stored row with the final one shows which index entries to remove and to add.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any
from weakref import ref

import lmdb

from storage.codec.codec import Codec
from storage.errors import CodecError, InvalidKey, RowMissing
from storage.tables.access import Access, TableHandle, read_rows
from storage.tables.changes import TableChanges, row_digest, table_seed
from storage.tables.entries import CHUNK_ROWS
from storage.tables.index_diff import index_diff
from storage.tables.iteration import Iteration
from storage.tables.reader import TableReader
from storage.tables.rows import UNKNOWN_ROW, Columns, Row, checked_columns
from storage.tables.search import Entries, Search, once_each
from storage.tables.sorted_put import last_key, put_sorted
from storage.value_text import short_repr

_KEY = itemgetter(0)


class TableWriter(TableReader):
    """A table inside a write transaction: a reader that sees its own changes and makes changes.

    The call that starts an iteration fixes its results: the rows as they are then, each once, whatever is
    put, updated, deleted or read until it ends.
    """

    __slots__ = (
        "_digests",
        "_iterations",
        "_key_columns",
        "_nested",
        "_own",
        "_rows_changed",
        "_seed",
        "_stored",
        "_safe_types",
        "changed",
        "recorded",
    )

    def __init__(self, access: Access, handle: TableHandle, codec: Codec, record: bool = False) -> None:
        """`record`: keep what each flush changes in `recorded`."""
        super().__init__(access, handle, codec)
        self._rows_changed: dict[bytes, Row | None] = {}
        # Rows as they are on disk, as far as they were looked up; None for a missing one. Never changed.
        self._stored: dict[bytes, Row | None] = {}
        self._key_columns = frozenset(handle.schema.columns)
        self._safe_types = codec.shareable.safe_types
        self._own = codec.own
        # Whether there were values that may be nested too deeply.
        self._nested = False
        # Weak references: an iteration that nobody continues ends when it is dropped.
        self._iterations: set[ref[Iteration]] = set()
        self.changed = False
        """Whether rows were written into the transaction."""
        self.recorded: list[TableChanges] | None = [] if record else None
        """What was written so far, one item for each flush; None if it is not kept."""
        # The digests of rows as they are on disk, as far as they were looked up; 0 for a missing one.
        self._digests: dict[bytes, int] = {}
        self._seed = table_seed(handle.schema.name) if record else 0

    # -- changing --------------------------------------------------------------------------------------------
    def put(self, row: Mapping[str, Any]) -> None:
        """Insert a row, or replace the one with its key. The row is copied; reads give what will be on disk.

        Raises InvalidKey or KeyTooLong for its key; a value that cannot be encoded or indexed raises at the
        next `flush`.
        """
        self._rows_changed[self.schema.key_of(row)] = self._copied(row)

    def update(self, key: Any, /, **changes: Any) -> None:
        """Change columns of the row with this key.

        Raises RowMissing; InvalidKey if a key column would change.
        """
        raw_key = self._encode_key(key)
        row = self._rows_changed.get(raw_key, UNKNOWN_ROW)
        if row is UNKNOWN_ROW:
            row = self._load(raw_key)
        if row is None:
            raise RowMissing(
                f"{self._handle.where} has no row with key {short_repr(key)} to update: put it first"
            )
        if not self._key_columns.isdisjoint(changes) and self.schema.key_of({**row, **changes}) != raw_key:
            raise InvalidKey(
                f"{self._handle.where}: update cannot change the key of row {short_repr(key)}: delete it and "
                "put another"
            )
        for value in changes.values():
            if type(value) not in self._safe_types:
                changes = self._copied(changes)
                break
        row.update(changes)
        self._rows_changed[raw_key] = row

    def delete(self, key: Any) -> bool:
        """Delete the row with this key; False if there was none."""
        raw_key = self._encode_key(key)
        row = self._rows_changed.get(raw_key, UNKNOWN_ROW)
        if row is UNKNOWN_ROW:
            row = self._load(raw_key)
        if row is None:
            return False
        self._rows_changed[raw_key] = None
        return True

    # -- reading ---------------------------------------------------------------------------------------------
    def get(self, key: Any, default: Row | None = None, *, columns: Columns | None = None) -> Row | None:
        """A copy of the row of a key with all its changes so far, or `default`."""
        wanted = checked_columns(columns)
        raw_key = self._encode_key(key)
        row = self._rows_changed.get(raw_key, UNKNOWN_ROW)
        if row is UNKNOWN_ROW:
            row = self._on_disk(raw_key)
        if row is not None and wanted is not None:
            row = {column: value for column, value in row.items() if column in wanted}
        return default if row is None else self._copied(row)

    def get_many(self, keys: Iterable[Any], *, columns: Columns | None = None) -> list[Row | None]:
        """The rows of several keys in their order; None for each that is missing."""
        return [self.get(key, columns=columns) for key in keys]

    def __contains__(self, key: Any) -> bool:
        row = self._rows_changed.get(self._encode_key(key), UNKNOWN_ROW)
        return super().__contains__(key) if row is UNKNOWN_ROW else row is not None

    def read(self, search: Search, columns: frozenset[str] | None = None) -> Iterator[Row]:
        """The rows that a search finds now, or the given columns of them."""
        found = self._at_once(search, False)
        if found is None:
            return self._iteration(search).read(search, columns)
        return iter(self._rows_at(search, found, columns))

    def read_keys(self, search: Search) -> Iterator[Any]:
        """The keys of the rows that a search finds now."""
        by_key = search.index is self.schema.primary
        found = self._at_once(search, by_key)
        if found is None:
            return self._iteration(search).read_keys(search)
        return self._decoded(found if by_key else [key for _, key in found])

    def _at_once(self, search: Search, bare: bool) -> list[Any] | None:
        """All entries that a search finds, of each row only the first; None if there may be more of them."""
        limit = search.limit
        if limit is not None and limit <= 0:
            return []
        self.flush()
        if limit is None or search.repeats:
            found, rest = self._part(search, None, self._first, bare)
            if rest is not None:
                return None
            return next(once_each([found], limit)) if search.repeats else found
        found, rest = self._part(search, None, min(limit, CHUNK_ROWS), bare)
        return found if rest is None or len(found) >= limit else None

    def _iteration(self, search: Search) -> Iteration:
        iteration = Iteration(
            self._access, self._handle, self._codec, search, self._part, self._fetch_flushed
        )
        self._iterations.add(ref(iteration, self._iterations.discard))
        return iteration

    def _open_iterations(self) -> list[Iteration]:
        return [found for reference in list(self._iterations) if (found := reference()) is not None]

    def _counted(self) -> int:
        self.flush()
        return super()._counted()

    def _fetch_flushed(self, row_keys: list[bytes]) -> list[bytes | None]:
        """The values stored under these keys, without the changes that wait in the buffer."""
        return super()._fetch(row_keys)

    def _chunks(self, search: Search, after: bytes | None = None) -> Iterator[Entries]:
        self.flush()
        return super()._chunks(search, after)

    def _bare_chunks(self, search: Search) -> Iterator[list[bytes]]:
        self.flush()
        return super()._bare_chunks(search)

    # -- writing out -----------------------------------------------------------------------------------------
    def flush(self) -> None:
        """Write the buffered rows into the transaction. Reads of ranges and the commit call it.

        Raises CodecError for a row that cannot be encoded, InvalidKey or KeyTooLong for one that cannot be
        indexed, with table and column. Nothing was written then, and the next call tries everything again, so
        a caller that ignores the error loses no row. Raises StoreFull too, after which the transaction can
        only be aborted.
        """
        if not self._rows_changed:
            return
        rows, stored = self._rows_changed, self._stored
        changed = sorted(rows.items(), key=_KEY)
        self._rows_changed, self._stored = {}, {}
        self.changed = True
        try:
            self._access.locked(self._write, changed, stored)
        except BaseException:
            self._rows_changed, self._stored = rows, stored
            raise

    def _write(
        self,
        txn: lmdb.Transaction[bytes],
        changed: list[tuple[bytes, Row | None]],
        stored: dict[bytes, Row | None],
    ) -> None:
        indexes = self._handle.indexes
        end = last_key(txn, self._db, len(changed))
        record = self.recorded is not None
        if indexes or record:
            # A row that sorts after all existing ones is new.
            # Rows of which only the digest is known were changed and written before, in this transaction.
            known = stored if indexes else self._digests
            unread = [key for key, _ in changed if key not in known and (end is None or key <= end)]
            if unread:
                self._read_stored(read_rows(txn, self._db, unread), stored)
        # Everything that can be refused is checked before anything is written.
        written = self._encoded(changed)
        differences = [(db, *index_diff(index, changed, stored)) for index, db in indexes.items()]
        if self._iterations:
            self._notify_iterations(txn, changed, stored)
        deleted = [key for key, row in changed if row is None]
        if record:
            deleted = [key for key in deleted if self._digests.get(key)]
        for key in deleted:
            txn.delete(key, b"", self._db)
        put_sorted(txn, self._db, written, end)
        for db, removed, added in differences:
            end = last_key(txn, db, len(added))
            for entry in removed:
                txn.delete(entry, b"", db)
            put_sorted(txn, db, added, end)
        if record:
            self._record(deleted, written, [(removed, added) for _, removed, added in differences])

    def _read_stored(self, found: Entries, stored: dict[bytes, Row | None]) -> None:
        """Note rows as they are on disk, as far as the index entries, or what is recorded, depend on them."""
        if self.recorded is not None:
            seed, digests = self._seed, self._digests
            for key, raw in found:
                digests[key] = row_digest(seed, key, raw)
        if self._handle.indexes:
            stored.update((key, self._decode(raw)) for key, raw in found if key not in stored)

    def _record(
        self, deleted: list[bytes], written: Entries, differences: list[tuple[list[bytes], Entries]]
    ) -> None:
        seed, digests = self._seed, self._digests
        content = 0
        for key in deleted:
            content -= digests[key]
            digests[key] = 0
        for key, raw in written:
            digest = row_digest(seed, key, raw)
            content += digest - digests.get(key, 0)
            digests[key] = digest
        assert self.recorded is not None
        self.recorded.append(TableChanges(self.schema.name, deleted, written, differences, content))

    def _notify_iterations(
        self,
        txn: lmdb.Transaction[bytes],
        changed: list[tuple[bytes, Row | None]],
        stored: dict[bytes, Row | None],
    ) -> None:
        """Let open iterations store what they need of rows that are about to change."""
        for iteration in self._open_iterations():
            index, by_key = iteration.index, iteration.by_key
            for key, row in changed:
                if not iteration.is_about(key):
                    continue
                if by_key:
                    before, after = [key], []
                else:
                    old = stored.get(key)
                    before = [] if old is None else index.entries(old, key)
                    after = [] if row is None else index.entries(row, key)
                iteration.will_change(key, before, after, partial(txn.get, key, None, self._db))

    def _encoded(self, changed: list[tuple[bytes, Row | None]]) -> Entries:
        """The rows to put, encoded. A packer for each would cost as much as the packing."""
        pack = self._codec.packer()
        try:
            written = [(key, pack(row)) for key, row in changed if row is not None]
            if not self._nested and max([len(raw) for _, raw in written], default=0) <= self._codec.max_bytes:
                return written
        except Exception:
            pass  # One by one, each raises its own error.
        return [(key, self._encode(row)) for key, row in changed if row is not None]

    def _encode(self, row: Row) -> bytes:
        try:
            return self._codec.encode(row)
        except CodecError as error:
            key = [row[column] for column in self.schema.columns]
            error.args = (f"{self._handle.where}, row {', '.join(map(repr, key))}: {error}",)
            raise

    def _copied(self, row: Mapping[str, Any]) -> Row:
        """The row, with copies of values that are not shareable: neither side sees the other's changes."""
        safe = self._safe_types
        if safe.issuperset(map(type, row.values())):
            return dict(row)
        copy: Row = {}
        for column, value in row.items():
            kind = type(value)
            if kind not in safe:
                self._nested = self._nested or kind is not datetime
                with suppress(CodecError):  # The value is refused with its row, in an error that names it.
                    value = self._own(value)
            copy[column] = value
        return copy

    def _load(self, raw_key: bytes) -> Row | None:
        row = self._on_disk(raw_key)
        return None if row is None else dict(row)

    def _on_disk(self, raw_key: bytes) -> Row | None:
        row = self._stored.get(raw_key, UNKNOWN_ROW)
        if row is UNKNOWN_ROW:
            access = self._access
            try:
                with access.lock:
                    raw = (access.txn or access.live()).get(raw_key, None, self._db)
            except lmdb.Error as error:
                raise self._explained(error) from error
            try:
                row = None if raw is None else self._unpack(raw)
            except Exception as error:
                raise self._explained(error) from error
            if row.__class__ is not dict and row is not None:
                raise self._no_row(row)
            self._stored[raw_key] = row
            if self.recorded is not None:
                self._digests[raw_key] = 0 if raw is None else row_digest(self._seed, raw_key, raw)
        return row
