"""The connection for projections: a sqlite3.Connection that refuses statements reserved for the engine.

The results of a statement are fixed when it is executed: before the projection writes, the rows that a cursor
has not given yet are buffered. The replica's thread uses it, within a batch.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from weakref import ref

from storage.engines.sqlite.buffered_rows import BufferedRows
from storage.engines.sqlite.guard import Guard
from storage.errors import StatementRefused
from storage.files.opening_resources import ResourceSlot

__all__ = ["GuardedConnection", "GuardedCursor", "connect"]


_READS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*+(?:SELECT|VALUES|EXPLAIN)\b", re.IGNORECASE | re.DOTALL)
"""A statement that certainly writes nothing; a WITH may write."""


class GuardedCursor(sqlite3.Cursor):
    """A cursor whose errors name the model and say what to do."""

    connection: GuardedConnection
    rest: BufferedRows

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """As `sqlite3.Cursor.execute`.

        Raises StatementRefused, UnencodableValue, StoreFull and sqlite3's errors.
        """
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
            connection.add_reading(ref(self, connection.drop_reading))
            if connection.in_many:
                connection.buffer_rest()
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
        """Refused, because it would end the transaction."""
        raise self.connection.refused(
            "run a script", "it would end the transaction; use execute for each statement"
        )

    @property
    def lastrowid(self) -> NoReturn:
        """Refused: after a statement that inserted no row it is an earlier one's, maybe of another batch."""
        raise self.connection.refused(
            "ask for lastrowid",
            "if the statement inserts no row, it is that of an earlier one, or of none since the database "
            "was opened, so a rebuild could give other rows; end the INSERT with RETURNING rowid, or set the "
            "key yourself",
        )

    def buffer_rest(self) -> None:
        """Read all rows that are left, to give them later. Raises StoreFull, StorageError."""
        guard = self.connection.guard
        rest = BufferedRows(guard.file)
        factory = self.row_factory
        self.row_factory = None
        try:
            rest.read_from(super().fetchone, guard.explain)
        finally:
            self.row_factory = factory
        if not rest.empty:
            # From now on this cursor fetches from the buffer; the fetches of all other cursors pay nothing
            # for that.
            self.__class__ = BufferedCursor
            self.rest = rest
            self.connection.buffered.add(ref(self, self.connection.buffered.discard))


class BufferedCursor(GuardedCursor):
    """The class of a cursor while its rows are buffered, until it executes another statement."""

    def __next__(self) -> Any:
        row = self.rest.take()
        if row is None:
            return super().__next__()  # raises if the cursor is closed
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
    """Within a batch it runs any statement that reads or changes rows of the model's own tables."""

    guard: Guard
    batch = False
    lost = False
    """Whether an error of a statement rolled back the whole batch."""
    in_many = 0
    reading: set[ref[GuardedCursor]]
    """Cursors that may have rows left."""
    add_reading: Callable[[ref[GuardedCursor]], None]
    drop_reading: Callable[[ref[GuardedCursor]], None]
    """Add to `reading`, and remove from it."""
    buffered: set[ref[GuardedCursor]]
    """Cursors whose rows are buffered."""

    def end_batch(self) -> None:
        """End all statements of projections: one that is kept half-read would lock the database."""
        self.batch = False
        for reference in [*self.reading, *self.buffered]:
            cursor = reference()
            if cursor is not None:
                cursor.close()
        self.reading.clear()
        self.buffered.clear()

    def failed(self) -> None:
        """Note that a statement failed.

        If that ended the transaction, later statements would commit on their own.
        """
        if not self.in_transaction:
            self.batch, self.lost = False, True

    def before(self, sql: str, cursor: GuardedCursor) -> None:
        """Buffer the rows of other cursors, unless `sql`, which this cursor will execute, only reads."""
        self.reading.discard(ref(cursor))  # its previous statement ends
        if _READS.match(sql) is None:
            self.buffer_rest()

    def buffer_rest(self) -> None:
        """Buffer the rows that open cursors have not given yet. Raises StoreFull, StorageError."""
        for reference in list(self.reading):
            cursor = reference()
            if cursor is not None:
                cursor.buffer_rest()
        self.reading.clear()

    def refused(self, what: str, why: str) -> StatementRefused:
        """The error for a method that projections may not call."""
        return StatementRefused(f"read model {self.guard.model!r}: a projection may not {what}: {why}")

    def outside(self) -> StatementRefused:
        """The error for a use while no batch is open."""
        if self.lost:
            return self.refused(
                "continue after an error that rolled back its batch (OR ROLLBACK, RAISE(ROLLBACK), or a "
                "full disk)",
                "nothing of the batch is left; use OR ABORT or OR IGNORE",
            )
        return self.refused(
            "use its connection outside of the event that it was called for", "keep no reference to it"
        )

    def cursor(self, factory: Any = None) -> GuardedCursor:  # type: ignore[override]
        """A new cursor. Raises StatementRefused outside a batch, and for any `factory`."""
        if not self.batch:
            raise self.outside()
        if factory is not None:
            raise self.refused("choose the class of its cursors", "the engine's own class explains errors")
        return super().cursor(GuardedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> GuardedCursor:
        """Run one statement; see `GuardedCursor.execute`."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> GuardedCursor:
        """Run one statement for each of the parameters; see `GuardedCursor.execute`."""
        return self.cursor().executemany(sql, parameters)

    def commit(self) -> NoReturn:
        """Refused."""
        raise self.refused("commit", "the engine ends the transaction, together with the checkpoint")

    def rollback(self) -> NoReturn:
        """Refused."""
        raise self.refused("roll back", "raise an error: the model then stops before this event")

    def executescript(self, sql_script: str, /) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self.refused("run a script", "it would end the transaction; use execute for each statement")

    def __enter__(self) -> NoReturn:
        raise self.refused("use its connection in a with statement", "that would end the transaction")

    def close(self) -> None:
        """Refused within a batch; otherwise the engine closes it at its end."""
        if self.batch:
            raise self.refused("close its connection", "it belongs to the engine")
        super().close()

    def blobopen(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise self.refused("open a blob", "that would bypass the guard; use SELECT and UPDATE")

    def set_progress_handler(self, *_: Any, **__: Any) -> NoReturn:
        """Refused."""
        raise self.refused("set a progress handler", "it would interrupt the engine too")

    @property
    def total_changes(self) -> NoReturn:
        """Refused: rows that depend on it could differ after a rebuild."""
        raise self.refused(
            "ask for total_changes", "it counts since the database was opened; use cursor.rowcount"
        )

    def changes_so_far(self) -> int:
        """For the engine: how many rows were changed since the connection was opened."""
        return int(sqlite3.Connection.total_changes.__get__(self))

    def set_authorizer(self, callback: Any) -> None:
        """Called once, by the engine: a guard that a projection could remove would be useless."""
        if self.batch:
            raise self.refused("replace the authorizer", "it belongs to the engine")
        super().set_authorizer(callback)

    def engine(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """Run a statement of the engine itself, and return all its rows."""
        self.guard.engine = True
        try:
            return sqlite3.Connection.cursor(self).execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            self.guard.raise_failure(error)
            raise
        finally:
            self.guard.engine = False


def connect(file: Path, guard: Guard) -> GuardedConnection:
    """A connection that writes, in autocommit mode. Any thread, one at a time."""
    opened: ResourceSlot[GuardedConnection] = ResourceSlot(sqlite3.Connection.close)
    try:
        opened.resource = db = sqlite3.connect(
            file, isolation_level=None, check_same_thread=False, factory=GuardedConnection
        )
        db.guard = guard
        db.reading, db.buffered = set(), set()
        db.add_reading, db.drop_reading = db.reading.add, db.reading.discard
        db.set_authorizer(guard)
        return db
    except BaseException:
        opened.release()
        raise
