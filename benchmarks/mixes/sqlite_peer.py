"""sqlite3 in the mixes: one table, a connection for each reader, and one that writers take turns with.

Writers with connections of their own would sleep in SQLite's busy handler and come out slower.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.mixes.client import Client, MixPeer, Record
from benchmarks.mixes.domain import FIELDS, increased

COLUMN_TYPES = ", ".join(f"{name} TEXT NOT NULL" for name in FIELDS)
SCHEMA = f"CREATE TABLE records (key TEXT PRIMARY KEY, {COLUMN_TYPES}) WITHOUT ROWID"
INSERT = f"INSERT INTO records VALUES (?{', ?' * len(FIELDS)})"
READ = f"SELECT key, {', '.join(FIELDS)} FROM records WHERE key = ?"
READ_FIELD = [f"SELECT {name} FROM records WHERE key = ?" for name in FIELDS]
WRITE_FIELD = [f"UPDATE records SET {name} = ? WHERE key = ?" for name in FIELDS]
COLUMNS = ("key", *FIELDS)


class SqliteMix(MixPeer):
    """A file in WAL mode."""

    key = "sqlite"
    label = "sqlite3"
    promises = (
        "WAL, `synchronous=FULL`: an fsync a write; reads show the last committed write; the table alone, "
        "without events, ids or copies"
    )

    def __init__(self) -> None:
        self._path: Path | None = None
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.Lock()

    def load(self, folder: Path, records: Iterable[Record]) -> None:
        self._path = folder / "records.sqlite"
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(SCHEMA)
        connection.execute("BEGIN")
        connection.executemany(INSERT, ((key, *fields) for key, fields in records))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def open(self) -> None:
        assert self._path is not None
        self._writer = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._writer.execute("PRAGMA synchronous = FULL")

    def client(self, way: str) -> Client:  # noqa: ARG002
        assert self._path is not None
        assert self._writer is not None
        reader = sqlite3.connect(self._path.as_uri() + "?mode=ro", uri=True, isolation_level=None)
        return _Client(reader, self._writer, self._writing)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Client(Client):
    def __init__(
        self, reader: sqlite3.Connection, writer: sqlite3.Connection, writing: threading.Lock
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = writing

    def read(self, key: str) -> dict[str, Any] | None:
        row = self._reader.execute(READ, (key,)).fetchone()
        return None if row is None else dict(zip(COLUMNS, row, strict=True))

    def update(self, key: str, field: int, value: str) -> None:
        with self._writing:
            changed = self._writer.execute(WRITE_FIELD[field], (value, key)).rowcount
        if changed != 1:
            raise KeyError(key)

    def insert(self, key: str, fields: tuple[str, ...]) -> None:
        with self._writing:
            self._writer.execute(INSERT, (key, *fields))

    def modify(self, key: str, field: int) -> None:
        with self._writing:
            run = self._writer.execute
            run("BEGIN IMMEDIATE")
            try:
                (value,) = run(READ_FIELD[field], (key,)).fetchone()
                run(WRITE_FIELD[field], (increased(value), key))
            except BaseException:
                run("ROLLBACK")
                raise
            run("COMMIT")

    def close(self) -> None:
        self._reader.close()
