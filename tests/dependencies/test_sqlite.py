"""What the SQLite engine relies on in SQLite and Python's module, tested with these alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript("CREATE TABLE prices(amount); INSERT INTO prices VALUES (7)")
        yield db


TEXTS = (
    "CREATE VIRTUAL TABLE texts USING fts5(title, text);"
    "INSERT INTO texts VALUES ('red red', 'blue'), ('blue', 'red')"
)
RANKED = "SELECT title, rank FROM texts WHERE texts MATCH 'red' ORDER BY rank"


@contextmanager
def two_connections(path: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """Two connections to one database: one that writes, one that reads."""
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as writer,
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
    ):
        yield writer, reader


def test_an_interrupt_before_a_statement_has_begun_is_lost(db: sqlite3.Connection) -> None:
    db.interrupt()
    assert db.execute("SELECT amount FROM prices").fetchall() == [(7,)]


def test_a_lone_surrogate_is_refused_before_sqlite_sees_it(db: sqlite3.Connection) -> None:
    with pytest.raises(UnicodeEncodeError):
        db.execute("SELECT ?", ("\ud800",))


def test_a_snapshot_of_a_database_with_a_write_ahead_log_stays_as_it_was(tmp_path: Path) -> None:
    with two_connections(tmp_path / "prices.db") as (writer, reader):
        assert writer.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
        writer.executescript("CREATE TABLE prices(amount); INSERT INTO prices VALUES (7)")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (1,)
        writer.execute("INSERT INTO prices VALUES (8)")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM prices").fetchone() == (2,)


@pytest.mark.skipif(
    sqlite3.sqlite_version_info[:2] != (3, 40), reason="later versions rank anew at once, or not"
)
def test_a_reader_ranks_once_more_in_the_old_way_after_the_ranking_was_changed(tmp_path: Path) -> None:
    with two_connections(tmp_path / "texts.db") as (writer, reader):
        writer.executescript(TEXTS)
        before = reader.execute(RANKED).fetchall()
        writer.execute("INSERT INTO texts(texts, rank) VALUES ('rank', 'bm25(0.0, 10.0)')")
        first, second = reader.execute(RANKED).fetchall(), reader.execute(RANKED).fetchall()
        assert first == before
        assert second == writer.execute(RANKED).fetchall() != before


@pytest.mark.parametrize(
    ("option", "value"),
    [("automerge", 4), ("crisismerge", 8), ("usermerge", 8), ("pgsz", 64), ("hashsize", 100)],
)
def test_other_settings_of_full_text_change_no_answer(tmp_path: Path, option: str, value: int) -> None:
    with two_connections(tmp_path / "texts.db") as (writer, reader):
        writer.executescript(TEXTS)
        before = reader.execute(RANKED).fetchall()
        writer.execute("INSERT INTO texts(texts, rank) VALUES (?, ?)", (option, value))
        assert reader.execute(RANKED).fetchall() == before == writer.execute(RANKED).fetchall()


def test_a_table_of_r_tree_prepares_its_writes_when_it_is_opened_to_be_read(tmp_path: Path) -> None:
    path = str(tmp_path / "places.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE VIRTUAL TABLE places USING rtree(number, west, east)")
    asked: list[tuple[int, str | None]] = []

    def note(action: int, first: str | None, *_: Any) -> int:
        asked.append((action, first))
        return sqlite3.SQLITE_OK

    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.set_authorizer(note)
        assert reader.execute("SELECT * FROM places").fetchall() == []
        assert (sqlite3.SQLITE_INSERT, "places_node") in asked
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("INSERT INTO places_node VALUES (9, '')")
        # Asking for the list of tables opens the virtual table too.
        reader.set_authorizer(None)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT name FROM pragma_table_list WHERE name = 'places'").fetchall()
        asked.clear()
        reader.set_authorizer(note)
        assert reader.execute("SELECT * FROM places").fetchall() == []
        assert (sqlite3.SQLITE_INSERT, "places_node") not in asked
