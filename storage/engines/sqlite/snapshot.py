"""Snapshots of a SQLite build: a read-only connection at one position, lent until the snapshot is closed.

The connections are pooled, so a query never holds a connection itself. Once the snapshot has ended,
everything that it gave raises when it is used. Any thread, one at a time; any thread may close.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakSet

from storage.engines.sqlite.cacheability import ReadGuard
from storage.engines.sqlite.guard import OURS
from storage.errors import SnapshotClosed
from storage.tables.schema import Row

__all__ = ["ReadConnection", "ReadCursor", "SqliteSnapshot", "all_rows"]

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]

CHECKPOINT = "SELECT position, changed FROM onewriter_checkpoint"
BEGIN, COMMIT, ROLLBACK = (f"{verb} /* onewriter */" for verb in ("BEGIN", "COMMIT", "ROLLBACK"))
"""With a comment: the authorizer is not asked again about a text that is in sqlite3's statement cache."""

_CHUNK = 64
"""How many rows an iteration takes under the lock at a time."""

_INTERRUPT_EVERY = 0.002
"""Seconds between interrupts of a statement that must end: one that comes before its start is lost."""

_abandoned: list[sqlite3.Connection] = []
"""Kept for ever: a collected connection is closed, and in a forked child that removes the parent's locks."""


class SqliteSnapshot:
    """A build at one position, pinned by a read transaction.

    At its end, `give_back` receives the connection.
    """

    __slots__ = (
        "_changed",
        "_checkpoint",
        "_closed",
        "_closing",
        "_cursors",
        "_db",
        "_ending",
        "_give_back",
        "_guard",
        "_lock",
        "_what",
        "__weakref__",
        "opened",
    )

    def __init__(
        self,
        db: sqlite3.Connection,
        guard: ReadGuard,
        closed: type[SnapshotClosed],
        give_back: Callable[[sqlite3.Connection, ReadGuard, SqliteSnapshot], None],
        what: str,
    ) -> None:
        self._db: sqlite3.Connection | None = db
        self._guard = guard
        self._closed = closed
        self._give_back = give_back
        self._what = what
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._ending = False
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        self.opened = time.monotonic()
        guard.engine = True
        try:
            db.execute(BEGIN)
            row = db.execute(CHECKPOINT).fetchone()
            self._checkpoint, self._changed = int(row[0]), int(row[1])
        except sqlite3.Error as error:
            guard.raise_failure(error)
            raise
        finally:
            guard.engine = False

    @property
    def target(self) -> ReadConnection:
        """The connection for queries.

        After the end it raises SnapshotClosed, or the error that was asked for.
        """
        if self._ending:
            raise self.expired()
        return ReadConnection(self)

    @property
    def checkpoint(self) -> int:
        """The position of the last event that it includes; known even after its end."""
        return self._checkpoint

    def changed(self, name: str = "") -> int:  # noqa: ARG002
        """The position of the last batch of events that changed a row of the database."""
        return self._changed

    # -- for its connection and cursors ----------------------------------------------------------------------
    def expired(self) -> SnapshotClosed:
        """The error for a use after the end."""
        return self._closed(f"{self._what} is closed and cannot be used any more; take a new one")

    @property
    def ended(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._ending

    def execute(self, sql: str, parameters: Parameters) -> sqlite3.Cursor:
        """Run a statement; use the cursor only with `fetch`."""
        with self._lock:
            if self._db is None or self._ending:
                raise self.expired()
            cursor = self._db.cursor()
            self._cursors.add(cursor)
            self._guard.begin(sql)
            try:
                return cursor.execute(sql, parameters)
            except sqlite3.Error as error:
                explained = self.expired() if self._ending else self._guard.explain(error)
                if explained is error:
                    raise
                raise explained from error

    def is_cacheable(self, sql: str) -> bool:
        """Whether the result of a statement that was executed depends on the rows of the database alone."""
        return self._guard.is_cacheable(sql)

    def fetch(self, reader: ReadCursor, count: int | None) -> list[Any]:
        """The next `count` rows of a cursor, all for None.

        After an error no result of the query is cacheable.
        """
        try:
            with self._lock:
                if self._db is None or self._ending:
                    raise self.expired()
                cursor = reader._cursor
                try:
                    return cursor.fetchall() if count is None else cursor.fetchmany(count)
                except sqlite3.Error as error:
                    explained = self.expired() if self._ending else self._guard.explain(error)
                    if explained is error:
                        raise
                    raise explained from error
        except BaseException:
            reader._connection.uncacheable = True  # whatever the query makes of the error
            raise

    # -- ending ----------------------------------------------------------------------------------------------
    def abandon(self) -> None:
        """Forget the connection without closing it, and the lock, which a dead thread may hold."""
        self._ending = True
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        db, self._db = self._db, None
        if db is not None:
            _abandoned.append(db)

    def close(self) -> None:
        """End it, from any thread; a running statement is interrupted. A second call does nothing."""
        self._ending = True
        # One at a time: a late interrupt would hit the next user of the connection.
        with self._closing:
            db = self._db
            if db is None:
                return
            while not self._lock.acquire(timeout=_INTERRUPT_EVERY):
                db.interrupt()
            try:
                self._db = None
                for cursor in self._cursors:
                    cursor.close()
                self._guard.engine = True
                db.execute(ROLLBACK)
            except BaseException as error:
                db.close()
                if isinstance(error, sqlite3.Error):
                    self._guard.raise_failure(error)
                raise
            finally:
                self._lock.release()
        self._give_back(db, self._guard, self)

    def __enter__(self) -> SqliteSnapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ReadCursor:
    """The rows of one statement, with the reading methods of `sqlite3.Cursor`."""

    __slots__ = ("_connection", "_cursor", "_snapshot", "description")

    def __init__(self, connection: ReadConnection, snapshot: SqliteSnapshot, cursor: sqlite3.Cursor) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._cursor = cursor
        self.description = cursor.description

    def fetchone(self) -> Any:
        """The next row, None at the end.

        Raises SnapshotClosed or ViewExpired after the end of the snapshot.
        """
        rows = self._snapshot.fetch(self, 1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 1) -> list[Any]:
        """The next `size` rows; raises what `fetchone` raises."""
        return self._snapshot.fetch(self, size)

    def fetchall(self) -> list[Any]:
        """All remaining rows; raises what `fetchone` raises."""
        return self._snapshot.fetch(self, None)

    def __iter__(self) -> Iterator[Any]:
        while rows := self._snapshot.fetch(self, _CHUNK):
            for row in rows:
                if self._snapshot.ended:
                    self._connection.uncacheable = True
                    raise self._snapshot.expired()
                yield row


class ReadConnection:
    """What a query reads from: `execute` works as in sqlite3.Connection, for statements that only read.

    Rows are a kind of `sqlite3.Row`: columns by number and by name; `dict(row)` makes a dict. A query may
    keep them.
    """

    __slots__ = ("_snapshot", "uncacheable")

    def __init__(self, snapshot: SqliteSnapshot) -> None:
        self._snapshot = snapshot
        self.uncacheable = False
        """Whether a result may change without the rows: a statement used the clock, say, or it failed."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> ReadCursor:
        """Run one statement and return its cursor.

        Raises StatementRefused for a statement that does not only read; UnencodableValue for a parameter of a
        type that SQLite lacks; SnapshotClosed or ViewExpired after the end; and sqlite3's own errors for
        mistakes in the SQL.
        """
        snapshot = self._snapshot
        try:
            cursor = ReadCursor(self, snapshot, snapshot.execute(sql, parameters))
            if not snapshot.is_cacheable(sql):
                self.uncacheable = True
            return cursor
        except BaseException:
            self.uncacheable = True  # whatever the query makes of the error
            raise


def all_rows(db: ReadConnection | sqlite3.Connection) -> dict[str, list[Row]]:
    """All rows of a model's own tables, full-text tables included, in the order of their keys."""
    listed = db.execute(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual') "
        "ORDER BY name"
    ).fetchall()
    tables = {}
    for name, without_rowid in listed:
        if name.startswith(("sqlite_", OURS)):
            continue
        quoted = '"' + name.replace('"', '""') + '"'
        cursor = db.execute(f"SELECT * FROM {quoted}" + ("" if without_rowid else " ORDER BY rowid"))
        columns = [column[0] for column in cursor.description]
        tables[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return tables
