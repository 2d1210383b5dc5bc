"""Copying a build's tables from another replica: faster than filling them from the log, and certainly equal.

The thread that applies events to the target; the source is a snapshot, so it may go on meanwhile.
"""

from __future__ import annotations

import lmdb

from storage.log.history import unpack_checkpoint, unpack_content
from storage.replica.build_changes import Content, content_of
from storage.replica.open_build import OpenBuild
from storage.tables.access import TableHandle, each_row

__all__ = ["copy_tables", "stored_state"]


def copy_tables(
    txn: lmdb.Transaction[bytes],
    target: OpenBuild,
    source_txn: lmdb.Transaction[bytes],
    source: OpenBuild,
) -> None:
    """Replace all rows and index entries of a build by those of one of the same code.

    Raises LMDB's errors.
    """
    for name, handle in target.by_name.items():
        for mine, other in zip(_databases(handle), _databases(source.by_name[name]), strict=True):
            txn.drop(mine, delete=False)
            with txn.cursor(mine) as cursor:
                cursor.putmulti(each_row(source_txn, other), append=True)


def stored_state(
    txn: lmdb.Transaction[bytes], meta: lmdb._Database, opened: OpenBuild
) -> tuple[int, bytes, Content]:
    """The checkpoint of a build in LMDB, the digest of its event, and its content."""
    raw = txn.get(opened.checkpoint_key, None, meta)
    if raw is None:
        return 0, b"", content_of(txn, list(opened.tables.values()))
    content = unpack_content(raw)
    if content is None:
        content = content_of(txn, list(opened.tables.values()))
    return *unpack_checkpoint(raw), content


def _databases(handle: TableHandle) -> list[lmdb._Database]:
    return [handle.rows, *handle.indexes.values()]
