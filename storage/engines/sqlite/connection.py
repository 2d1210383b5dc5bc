"""The connection that projections get: a sqlite3.Connection that refuses what belongs to the engine.

What a statement gives is fixed when it is executed: rows that a cursor has not given yet are put aside before the
projection writes. The replica's thread uses it, within a batch.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from weakref import ref

from storage.engines.sqlite.guard import Guard
from storage.engines.sqlite.pending_rows import KeptRows
from storage.errors import StatementRefused
from storage.files.opening_resources import ResourceSlot

__all__ = ["GuardedConnection", "GuardedCursor", "connect"]


_READS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*+(?:SELECT|VALUES|EXPLAIN)\b", re.IGNORECASE | re.DOTALL)
"""A statement that surely writes nothing; a WITH may."""


class GuardedCursor(sqlite3.Cursor):
    """A cursor whose errors say which model they are of, and what to do."""

    connection: GuardedConnection
    rest: KeptRows

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """As `sqlite3.Cursor.execute`. Raises StatementRefused, UnencodableValue, StoreFull and sqlite3's errors."""
        connection = self.connection
        if not connection.batch:
            raise connection.outside()
        if connection.reading:
            connection.before(sql, self)
        try:
            super().execute(sql, parameters)
        except sqlite3.Error as error:
            connection.failed()
            explained = connection.guard.explain(error)
            if explained is error:
                raise
            raise explained from error
        if self.description is not None:
            connection.begun(ref(self, connection.ended))
            if connection.in_many:
                connection.put_aside()
        return self

    def executemany(self, sql: str, parameters: Any, /) -> GuardedCursor:
        """As `sqlite3.Cursor.executemany`; raises what `execute` does."""
        connection = self.connection
        if not connection.batch:
            raise connection.outside()
        if connection.reading:
            connection.before(sql, self)
        connection.in_many += 1
        try:
            super().executemany(sql, parameters)
        except sqlite3.Error as error:
            connection.failed()
            explained = connection.guard.explain(error)
            if explained is error:
                raise
            raise explained from error
        finally:
            connection.in_many -= 1
        return self

    def executescript(self, sql_script: str, /) -> NoReturn:  # noqa: ARG002
        """Refused, for it would end the transaction."""
        raise self.connection.refused(
            "run a script", "it would end the transaction; use execute for each statement"
        )

    @property
    def lastrowid(self) -> NoReturn:
        """Refused: after a statement that inserted no row it is that of one before, perhaps of another batch."""
        raise self.connection.refused(
            "ask for lastrowid",
            "where the statement inserts no row it tells of one before it, or of none since the database was opened, so "
            "a rebuild would have other rows; end the INSERT with RETURNING rowid, or give the key yourself",
        )

    def put_aside(self) -> None:
        """Read all rows that are left, to give them later. Raises StoreFull, StorageError."""
        guard = self.connection.guard
        rest = KeptRows(guard.file)
        factory = self.row_factory
        self.row_factory = None
        try:
            rest.read_from(super().fetchone, guard.explain)
        finally:
            self.row_factory = factory
        if not rest.empty:
            # Fetches of this cursor find the rows kept from now on; those of all others pay nothing for that.
            self.__class__ = KeptCursor
            self.rest = rest
            self.connection.kept.add(ref(self, self.connection.kept.discard))


class KeptCursor(GuardedCursor):
    """What a cursor becomes when its rows are put aside, until it executes another statement."""

    def __next__(self) -> Any:
        row = self.rest.take()
        if row is None:
            return super().__next__()  # which knows whether the cursor is closed
        return row if self.row_factory is None else self.row_factory(self, row)

    def fetchone(self) -> Any:
        """As `sqlite3.Cursor.fetchone`."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """As `sqlite3.Cursor.fetchmany`."""
        return list(islice(self, self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """As `sqlite3.Cursor.fetchall`."""
        return list(self)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """As `GuardedCursor.execute`."""
        return self._renewed().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """As `GuardedCursor.executemany`."""
        return self._renewed().executemany(sql, parameters)

    def close(self) -> None:
        """As `sqlite3.Cursor.close`."""
        self._renewed().close()

    def _renewed(self) -> GuardedCursor:
        self.rest.close()
        cursor: GuardedCursor = self
        cursor.__class__ = GuardedCursor
        return cursor


class GuardedConnection(sqlite3.Connection):
    """Within a batch, any statement that reads or changes the rows of the model's own tables."""

    guard: Guard
    batch = False
    lost = False
    """Whether a statement's error rolled the whole batch back."""
    in_many = 0
    reading: set[ref[GuardedCursor]]
    """Cursors that may have rows left; some have none."""
    begun: Callable[[ref[GuardedCursor]], None]
    ended: Callable[[ref[GuardedCursor]], None]
    """Add to them, and take away."""
    kept: set[ref[GuardedCursor]]
    """Cursors whose rows are put aside."""

    def end_batch(self) -> None:
        """No statement of a projection runs any more: one that somebody holds half-read would lock the database."""
        self.batch = False
        for one in [*self.reading, *self.kept]:
            cursor = one()
            if cursor is not None:
                cursor.close()
        self.reading.clear()
        self.kept.clear()

    def failed(self) -> None:
        """A statement failed: where that ended the transaction, what comes after would be committed by itself."""
        if not self.in_transaction:
            self.batch, self.lost = False, True

    def before(self, sql: str, cursor: GuardedCursor) -> None:
        """Put the rows of other cursors aside, unless the statement that this one is to execute only reads."""
        self.reading.discard(ref(cursor))  # its former statement is given up
        if _READS.match(sql) is None:
            self.put_aside()

    def put_aside(self) -> None:
        """Put aside what open cursors have not given yet. Raises StoreFull, StorageError."""
        for one in list(self.reading):
            cursor = one()
            if cursor is not None:
                cursor.put_aside()
        self.reading.clear()

    def refused(self, what: str, why: str) -> StatementRefused:
        """The error for a method that projections may not call."""
        return StatementRefused(f"read model {self.guard.model!r}: a projection may not {what}: {why}")

    def outside(self) -> StatementRefused:
        """The error for a use when no batch is open."""
        if self.lost:
            return self.refused(
                "go on after an error that rolled its batch back (OR ROLLBACK, RAISE(ROLLBACK), or a full disk)",
                "nothing of the batch is left; use OR ABORT or OR IGNORE",
            )
        return self.refused(
            "use its connection outside of the event that it was called for", "keep no reference to it"
        )

    def cursor(self, factory: Any = None) -> GuardedCursor:  # type: ignore[override]
        """A new cursor. Raises StatementRefused outside of a batch, and for a factory of another kind."""
        if not self.batch:
            raise self.outside()
        if factory is not None:
            raise self.refused("choose the class of its cursors", "errors are explained by ours")
        return super().cursor(GuardedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """Run one statement; see `GuardedCursor.execute`."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> GuardedCursor:
        """Run one statement for each of the parameters; see `GuardedCursor.execute`."""
        return self.cursor().executemany(sql, parameters)

    def commit(self) -> NoReturn:
        """Refused."""
        raise self.refused("commit", "the transaction is ended by the engine, together with the checkpoint")

    def rollback(self) -> NoReturn:
        """Refused."""
        raise self.refused("roll back", "raise an error: the model then stops before this event")

    def executescript(self, sql_script: str, /) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self.refused("run a script", "it would end the transaction; use execute for each statement")

    def __enter__(self) -> NoReturn:
        raise self.refused("use its connection in a with statement", "that would end the transaction")

    def close(self) -> None:
        """Refused in a batch; else what the engine does at its end."""
        if self.batch:
            raise self.refused("close its connection", "it is the engine's")
        super().close()

    def blobopen(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise self.refused("open a blob", "that goes past its guard; use SELECT and UPDATE")

    def set_progress_handler(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise self.refused("set a progress handler", "it would interrupt the engine, too")

    @property
    def total_changes(self) -> NoReturn:
        """Refused: rows that depend on it would be others after a rebuild."""
        raise self.refused(
            "ask for total_changes", "it counts since the database was opened; use cursor.rowcount"
        )

    def changes_so_far(self) -> int:
        """For the engine: the rows that were changed since the connection was opened."""
        return int(sqlite3.Connection.total_changes.__get__(self))

    def set_authorizer(self, callback: Any) -> None:
        """Only once, by the engine: a guard that could be taken off were none."""
        if self.batch:
            raise self.refused("replace the authorizer", "it is the engine's")
        super().set_authorizer(callback)

    def engine(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """A statement of the engine itself, with all its rows."""
        self.guard.engine = True
        try:
            return sqlite3.Connection.cursor(self).execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            self.guard.raise_failure(error)
            raise
        finally:
            self.guard.engine = False


def connect(file: Path, guard: Guard) -> GuardedConnection:
    """A connection that writes, of any thread, one at a time, with no transaction of its own making."""
    opened: ResourceSlot[GuardedConnection] = ResourceSlot(sqlite3.Connection.close)
    try:
        opened.resource = db = sqlite3.connect(
            file, isolation_level=None, check_same_thread=False, factory=GuardedConnection
        )
        db.guard = guard
        db.reading, db.kept = set(), set()
        db.begun, db.ended = db.reading.add, db.reading.discard
        db.set_authorizer(guard)
        return db
    except BaseException:
        opened.release()
        raise
