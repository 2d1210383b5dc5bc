"""Inline tables of a test, without files: as in one endless batch of the writer. The test's thread."""

from __future__ import annotations

from typing import Any

from actors.domain.specs import CompiledDomain
from actors.writer.inline_models import InlineModels, InlineRun
from storage import TableSchema
from storage.log.inline_batch import InlineBatch
from storage.tables.access import Access, TableHandle
from storage.tables.pending_table import PendingTable
from storage.tables.schema import Row
from storage.tables.search import Entries, Search

__all__ = ["inline_tables"]

_NO_FILE: Any = object()


def inline_tables(domain: CompiledDomain) -> InlineRun | None:
    """The inline models' tables, empty; None where the domain has no such models."""
    models = InlineModels(domain)
    return InlineRun(models, _MemoryBatch(domain)) if models.models else None


class _MemoryBatch(InlineBatch):
    """Tables beneath which nothing is stored."""

    __slots__ = ()

    def __init__(self, domain: CompiledDomain) -> None:
        where = {
            table: f"{model.name}.{table.name}" for model in domain.models.values() for table in model.tables
        }

        def handle_of(table: TableSchema) -> TableHandle:
            return TableHandle(table, where[table], _NO_FILE, dict.fromkeys(table.indexes, _NO_FILE))

        super().__init__(handle_of, lambda: Access(_NO_FILE, "the tables of a test"), domain.codec)

    def table(self, table: TableSchema) -> PendingTable:
        """A table for writing."""
        found = self._tables.get(table)
        if found is None:
            handle = self._handle_of(table)
            found = self._tables[table] = _MemoryTable(self._begin(), handle, self._codec, self._undo)
        return found


class _MemoryTable(PendingTable):
    """A table of which nothing is stored; every row is a changed one."""

    __slots__ = ()

    def _on_disk(self, raw_key: bytes) -> Row | None:  # noqa: ARG002
        return None

    def _stored_count(self) -> int:
        return 0

    def _stored_rows(self, row_keys: list[bytes]) -> Entries:  # noqa: ARG002
        return []

    def _stored_chunk(self, search: Search, after: bytes | None, size: int) -> Entries:  # noqa: ARG002
        return []
