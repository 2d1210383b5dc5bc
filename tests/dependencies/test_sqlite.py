"""What the SQLite engine relies on in SQLite and Python's module, seen with them alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript("CREATE TABLE prices(amount); INSERT INTO prices VALUES (7)")
        yield db


def test_an_interrupt_before_a_statement_has_begun_is_lost(db: sqlite3.Connection) -> None:
    db.interrupt()
    assert db.execute("SELECT amount FROM prices").fetchall() == [(7,)]


def test_a_lone_surrogate_is_refused_before_sqlite_sees_it(db: sqlite3.Connection) -> None:
    with pytest.raises(UnicodeEncodeError):
        db.execute("SELECT ?", ("\ud800",))


def test_a_snapshot_of_a_database_with_a_write_ahead_log_stays_as_it_was(tmp_path: Any) -> None:
    path = str(tmp_path / "prices.db")
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        assert writer.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        writer.executescript("CREATE TABLE prices(amount); INSERT INTO prices VALUES (7)")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (1,)
        writer.execute("INSERT INTO prices VALUES (8)")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (2,)
