"""Inline tables against the model of test_tables_stateful: a batch's rows merged with stored ones.

Every kind of read is made while changed rows wait, and before and after some changes are taken back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis.stateful import initialize, invariant, precondition, rule

from storage.codec.codec import Codec
from storage.log.event_log import EventLog
from storage.tables.reader import TableReader
from storage.tables.schema import Row
from tests.storage.tables import test_tables_stateful as tables
from tests.storage.tables.test_tables_stateful import LINES, MODEL, SCHEMA, index_values


class PendingTables(tables.Tables):
    """`rows` is what the batch must show; `marked` is what it showed at a mark."""

    @initialize()
    def begin(self) -> None:
        self.marked: Any = None
        super().begin()

    def open(self) -> None:
        self.store: Any = EventLog.open(Path(self.folder.name, "log"), Codec(), durable=False, inline=[MODEL])
        self.block = None

    def writing(self) -> Any:
        if self.block is None:
            self.block = self.store.inline_batch()
            self.rows = dict(self.committed)
            self.new_lines = dict(self.lines)
        return {table: self.block.table(table) for table in (SCHEMA, LINES)}

    def commit(self) -> None:
        if self.block is not None:
            self.store.append([], inline=self.block)
            self.drop()
            self.committed, self.lines = self.rows, self.new_lines

    def drop(self) -> None:
        self.block.close()
        self.block = self.marked = None

    def reader(self, of_snapshot: bool) -> tuple[TableReader, dict[bytes, Row]]:
        if of_snapshot or self.block is None:
            return self.store.inline_snapshot().table("catalog", SCHEMA), self.committed
        return self.block.view(SCHEMA), self.rows

    @precondition(lambda self: self.block is not None)
    @rule()
    def mark(self) -> None:
        self.marked = self.block.mark(), dict(self.rows), dict(self.new_lines)

    @precondition(lambda self: self.marked is not None)
    @rule()
    def back_to_the_mark(self) -> None:
        mark, rows, lines = self.marked
        self.block.back_to(mark)
        self.rows, self.new_lines = dict(rows), dict(lines)

    @precondition(lambda self: self.block is not None)
    @rule()
    def settle(self) -> None:
        self.block.settle()
        self.marked = None

    @precondition(lambda self: self.block is not None)
    @rule()
    def abort(self) -> None:
        self.drop()

    @rule()
    def reopen(self) -> None:
        self.commit()
        self.store.reopen()

    @rule()
    def close_and_open(self) -> None:
        self.commit()
        self.store.close()
        self.open()

    @invariant()
    def snapshots_show_what_was_committed(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.inline_snapshot() as snapshot:
            products, lines = (snapshot.table("catalog", table) for table in (SCHEMA, LINES))
            assert list(products.all()) == [row for _, row in sorted(self.committed.items())]
            assert list(lines.all()) == [row for _, row in sorted(self.lines.items())]
            for index, db in products._handle.indexes.items():
                entries = sum(len(set(index_values(row, index.spec))) for row in self.committed.values())
                assert snapshot._access.live().stat(db)["entries"] == entries

    @invariant()
    def the_batch_shows_every_row(self) -> None:
        if getattr(self, "block", None) is not None:
            assert list(self.block.view(SCHEMA).all()) == [row for _, row in sorted(self.rows.items())]
            assert len(self.block.view(SCHEMA)) == len(self.rows)
            assert len(self.block.view(LINES)) == len(self.new_lines)


TestPendingTables = PendingTables.TestCase
