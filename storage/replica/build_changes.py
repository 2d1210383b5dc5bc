"""What one transaction changed in a build, so that other replicas need not project the same events.

Immutable: the thread that applies events makes it, and the threads of other replicas apply it to theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import lmdb

from storage.replica.open_build import OpenBuild
from storage.tables.access import TableHandle, each_row
from storage.tables.changes import CONTENT_BITS, TableChanges, make_changes, row_digest, table_seed

__all__ = ["BuildChanges", "Content", "code_of", "content_of", "make_build_changes"]

Content = int
"""The digests of all rows of a build, added up modulo 2 ** `CONTENT_BITS`: equal for equal rows, however they
came about."""


class BuildChanges(NamedTuple):
    """The changes from one checkpoint of a build to the next.

    Replicas whose build has the same `code`, and the same content at `after`, have the same content at
    `position` once they have made them.
    """

    code: str
    after: int
    position: int
    digest: bytes
    """The digest of the event at `position`, empty if unknown."""
    content_before: Content
    content: Content
    tables: Sequence[TableChanges]


def code_of(build: str) -> str:
    """What the keys of builds on different replicas have in common that the same code fills."""
    return build.rpartition(".")[0]


def content_after(before: Content, tables: Sequence[TableChanges]) -> Content:
    """The content of a build after these changes."""
    return (before + sum(table.content for table in tables)) % (1 << CONTENT_BITS)


def make_build_changes(txn: lmdb.Transaction[bytes], opened: OpenBuild, changes: BuildChanges) -> None:
    """Make another replica's changes to the tables of a build; raises as `make_changes`."""
    for table in changes.tables:
        make_changes(txn, opened.by_name[table.table], table)


def content_of(txn: lmdb.Transaction[bytes], tables: Sequence[TableHandle]) -> Content:
    """The content of these tables, from all their rows. Raises LMDB's errors."""
    content = 0
    for handle in tables:
        seed = table_seed(handle.schema.name)
        content += sum(row_digest(seed, key, row) for key, row in each_row(txn, handle.rows))
    return content % (1 << CONTENT_BITS)
