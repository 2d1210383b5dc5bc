"""A build of a read model in its own SQLite database: SQL and full-text search. The replica's thread writes.

It writes through one connection; queries read through pooled ones in WAL mode, in any thread, so neither
waits for the other. Like commits of the replica's tables, commits here do not wait for the disk. After a
crash of the machine the file must not be trusted; the replica's state file shows that.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

from storage.codec.codec import Codec
from storage.engines.sqlite.connection import GuardedConnection, connect
from storage.engines.sqlite.error_translation import translate_engine_error
from storage.engines.sqlite.guard import CONFIG, OURS, Guard
from storage.engines.sqlite.pool import SqliteReaderPool
from storage.engines.sqlite.reader_connection import SHADOWS
from storage.engines.sqlite.script import check_script, run_script
from storage.engines.sqlite.snapshot import BEGIN, CHECKPOINT, COMMIT, ROLLBACK, SqliteSnapshot, all_rows
from storage.engines.sqlite.wal import WAL_BYTES, WriteAheadLog
from storage.errors import (
    DamagedStore,
    NewerFormat,
    SnapshotClosed,
    StatementRefused,
    StorageError,
    StoreClosed,
)
from storage.files.error_translation import from_system
from storage.files.opening_resources import Descriptor
from storage.log.history import digest_of
from storage.tables.schema import ModelSchema, Row

__all__ = ["SqliteStore"]

FILE = "model.sqlite"
FORMAT = 1
DIGEST = "SELECT digest FROM onewriter_checkpoint"
NEW_CHECKPOINT = "UPDATE onewriter_checkpoint SET position = ?, changed = ?, digest = ?"

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",
    "PRAGMA wal_autocheckpoint = 0",
    f"PRAGMA journal_size_limit = {WAL_BYTES}",
    "PRAGMA secure_delete = OFF",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA busy_timeout = 0",
)


class SqliteStore:
    """A `ModelStore`: `storage.engines.base` says what each method promises."""

    def __init__(self, directory: Path, schema: ModelSchema | None, db: GuardedConnection) -> None:
        self.directory = directory
        self._file = directory / FILE
        self._wal = WriteAheadLog(directory / (FILE + "-wal"))
        self._name = schema.name if schema is not None else directory.name.partition("@")[0]
        self._frozen = schema is None
        self._db = db
        self._what = f"the database {self._file}"
        [(checkpoint, changed)] = db.engine(CHECKPOINT)
        self._checkpoint, self._changed = int(checkpoint), int(changed)
        [(digest,)] = db.engine(DIGEST)
        self._digest = bytes(digest or b"")
        self._seen_changes = db.changes_so_far()
        db.guard.shadows = frozenset(name for (name,) in db.engine(SHADOWS))
        self._ranks = self._ranking()
        self._reader_pool = SqliteReaderPool(self._file, self._name)
        self._lock = threading.RLock()
        self._closed = self._left = self._ended = False

    @classmethod
    def open(cls, directory: Path, schema: ModelSchema | None, codec: Codec) -> SqliteStore:  # noqa: ARG003
        """Open the database in `directory`; if there is none, create it with the model's script."""
        what = f"opening the database in {directory}"
        file = directory / FILE
        if schema is not None and not file.exists():
            check_script(schema.name, schema.script)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with Descriptor(file, os.O_RDWR | os.O_CREAT):
                pass
        except OSError as error:
            raise from_system(error, what, directory) from error
        db: GuardedConnection | None = None
        try:
            db = connect(file, Guard("projection", schema.name if schema else directory.name, file))
            for setting in _SETTINGS:
                db.engine(setting)
            _prepare(db, schema, file)
            db.guard.refuse_functions(db)
            return cls(directory, schema, db)
        except BaseException as error:
            if db is not None:
                sqlite3.Connection.close(db)
            if isinstance(error, sqlite3.Error | TypeError | ValueError):
                raise translate_engine_error(error, what, file) from error
            raise

    @property
    def checkpoint(self) -> int:
        """The position that the last commit stored."""
        return self._checkpoint

    @property
    def digest(self) -> bytes:
        """The digest of the event at the checkpoint."""
        return self._digest

    # -- applying --------------------------------------------------------------------------------------------
    def begin(self) -> GuardedConnection:
        """Begin a transaction; returns the guarded connection."""
        if self._closed:
            raise StoreClosed(f"{self._what} is closed; open it again")
        if self._frozen:
            raise StorageError(f"{self._what} is frozen: the code that filled it is gone")
        db = self._db
        try:
            self._wal.keep_short(db)
            db.engine(BEGIN)
        except sqlite3.Error as error:
            raise translate_engine_error(
                error, f"beginning a transaction of {self._what}", self._file
            ) from error
        self._seen_changes = db.changes_so_far()
        db.batch, db.lost = True, False
        return db

    def flush(self) -> None:
        """Nothing is buffered; raises StorageError if a statement's conflict rolled back the transaction."""
        if not self._db.in_transaction:
            raise StorageError(
                f"{self._what}: a statement ended the transaction (OR ROLLBACK, RAISE(ROLLBACK), or a full "
                "disk), so nothing of the batch is left; use OR ABORT or OR IGNORE"
            )
        # After a ranking is changed, readers that have loaded it use the old one for one more query.
        if self._db.guard.configured and (changed := self._ranks.items() ^ self._ranking().items()):
            table = min(changed)[0].removesuffix(CONFIG)
            raise StatementRefused(
                f"read model {self._name!r}: a projection may not change the ranking of full-text table "
                f"{table!r} (its option 'rank'): set it in schema= and raise version=, or let a query give "
                f"its own, as in WHERE {table} MATCH ? AND rank MATCH 'bm25(10.0, 5.0)'"
            )

    def _ranking(self) -> dict[str, Any]:
        """How each full-text table of FTS5 ranks, by the name of its settings table."""
        found = {}
        for table in sorted(self._db.guard.shadows):
            if table.endswith(CONFIG):
                quoted = '"' + table.replace('"', '""') + '"'
                # FTS5 ignores the case of the option's name, and stores a row for each spelling.
                rows = self._db.engine(f"SELECT k, v FROM {quoted} WHERE lower(k) = 'rank' ORDER BY k")
                found[table] = tuple(map(tuple, rows))
        return found

    def commit(self, position: int, digest: bytes = b"") -> None:
        """Commit the batch and its checkpoint."""
        db = self._db
        db.end_batch()
        self.flush()
        changed = self._changed if db.changes_so_far() == self._seen_changes else position
        try:
            db.engine(NEW_CHECKPOINT, (position, changed, digest))
            db.engine(COMMIT)
        except sqlite3.Error as error:
            raise translate_engine_error(error, f"a commit of {self._what}", self._file) from error
        self._checkpoint, self._changed, self._digest = position, changed, digest

    def abort(self) -> None:
        """Roll back the batch."""
        db = self._db
        db.end_batch()
        if db.in_transaction:
            try:
                db.engine(ROLLBACK)
            except sqlite3.Error as error:
                raise translate_engine_error(error, f"rolling back in {self._what}", self._file) from error

    # -- reading ---------------------------------------------------------------------------------------------
    def await_readable(self, timeout: float = 10.0) -> None:
        """Returns immediately: a batch is invisible until its commit."""

    def snapshot(
        self,
        *,
        closed: type[SnapshotClosed] = SnapshotClosed,
        waited: bool = False,  # noqa: ARG002
    ) -> SqliteSnapshot:
        """Pin the present state of the database."""
        return self._reader_pool.snapshot(closed)

    def changed(self, name: str = "") -> int:  # noqa: ARG002
        """The position of the last batch that changed a row; SQLite does not distinguish tables here."""
        return self._changed

    def dump(self) -> dict[str, list[Row]]:
        """All rows of the model's own tables, full-text tables included, in the order of their keys."""
        with self.snapshot() as snapshot:
            return all_rows(snapshot.target)

    def size_bytes(self) -> int:
        """The size of the database and its write-ahead log."""
        return self._file.stat().st_size + self._wal.size()

    # -- ending ----------------------------------------------------------------------------------------------
    def close(self) -> None:
        """End all snapshots, close all connections, and write the file to disk."""
        with self._lock:
            if self._ended:
                return
            self._closed = True
            if not self._left:
                self._reader_pool.close()
                self.abort()
                try:
                    self._db.engine("PRAGMA wal_checkpoint(TRUNCATE)")
                except sqlite3.Error as error:
                    raise translate_engine_error(error, f"closing {self._what}", self._file) from error
                finally:
                    # Noted first: after an interrupt this is called once more, and only closes.
                    self._left = True
                    sqlite3.Connection.close(self._db)
            sqlite3.Connection.close(self._db)
            try:
                with Descriptor(self._file, os.O_RDONLY) as number:
                    os.fsync(number)
            except OSError as error:
                raise from_system(error, f"closing {self._what}", self._file) from error
            self._ended = True

    @classmethod
    def delete(cls, directory: Path) -> None:
        """Delete the database with its directory."""
        shutil.rmtree(directory, ignore_errors=True)


def _prepare(db: GuardedConnection, schema: ModelSchema | None, file: Path) -> None:
    """Check an existing database; if it has no tables, create them in one transaction."""
    tables = [name for (name,) in db.engine("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    [(version,)] = db.engine("PRAGMA user_version")
    if version > FORMAT:
        raise NewerFormat(f"{file} has format {version}, this program knows {FORMAT}; use a newer one")
    if OURS + "checkpoint" in tables and version == FORMAT:
        if not db.engine(CHECKPOINT):
            raise DamagedStore(f"{file} has no checkpoint; it is rebuilt from the log")
        columns = [column for _, column, *_ in db.engine("PRAGMA table_info(onewriter_checkpoint)")]
        for column in {"digest", "shape"}.difference(columns):  # of an earlier version
            db.engine(f"ALTER TABLE onewriter_checkpoint ADD COLUMN {column} BLOB")
        [(shape,)] = db.engine("SELECT shape FROM onewriter_checkpoint")
        if shape is not None and shape != _shape(db):
            raise DamagedStore(f"{file} has other tables than its model's; it is rebuilt from the log")
        return
    if tables or schema is None:
        raise DamagedStore(f"{file} is not a database of this engine; it is rebuilt from the log")
    db.engine(BEGIN)
    guard = Guard("schema", schema.name, file)
    db.set_authorizer(guard)
    db.batch = True
    try:
        run_script(db, guard, schema.script)
    finally:
        db.batch = False
        db.set_authorizer(db.guard)
    db.engine(
        "CREATE TABLE onewriter_checkpoint "
        "(position INTEGER NOT NULL, changed INTEGER NOT NULL, digest BLOB, shape BLOB)"
    )
    db.engine("INSERT INTO onewriter_checkpoint VALUES (0, 0, NULL, ?)", (_shape(db),))
    db.engine(f"PRAGMA user_version = {FORMAT}")
    db.engine(COMMIT)


def _shape(db: GuardedConnection) -> bytes:
    """A digest of all tables, indexes and triggers, except the engine's own."""
    found = db.engine(
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'onewriter%' ORDER BY type, name"
    )
    return digest_of(repr(found).encode())
