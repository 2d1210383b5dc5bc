"""Connections that only read the database of a read model. Any thread, one at a time."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from storage.engines.sqlite.cacheability import ReadGuard
from storage.engines.sqlite.error_translation import translate
from storage.files.opening_resources import ResourceSlot

__all__ = ["SHADOWS", "SqlRow", "open_reader"]


class SqlRow(sqlite3.Row):
    """A `sqlite3.Row` whose repr shows its contents.

    Copying returns the same object, since it is immutable.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SqlRow({', '.join(f'{name}={self[name]!r}' for name in self.keys())})"

    def __deepcopy__(self, memo: Any) -> SqlRow:
        return self


SHADOWS = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'"
"""The tables of virtual tables.

This query opens the virtual tables too, so that their preparations are not attributed to a query later.
"""


def open_reader(file: Path, model: str) -> tuple[sqlite3.Connection, ReadGuard]:
    """A connection that only reads, with its guard. For any thread, one at a time. Raises our errors."""
    opened: ResourceSlot[sqlite3.Connection] = ResourceSlot(sqlite3.Connection.close)
    try:
        opened.resource = db = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        guard = ReadGuard("query", model, file)
        guard.engine = True
        guard.shadows = frozenset(name for (name,) in db.execute(SHADOWS))
        db.set_authorizer(guard)
        db.row_factory = SqlRow
        return db, guard
    except BaseException as error:
        opened.release()
        if isinstance(error, sqlite3.Error):
            raise translate(error, f"opening the database of read model {model!r}", file) from error
        raise
