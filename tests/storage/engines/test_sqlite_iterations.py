"""The results of a projection's SQL statement are fixed when it is executed, whatever is written later."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Codec, ModelSchema, StoreFull
from storage.engines.sqlite import buffered_rows
from storage.engines.sqlite.connection import BufferedCursor, GuardedConnection
from storage.engines.sqlite.store import SqliteStore

SCRIPT = """
CREATE TABLE rooms (room INTEGER PRIMARY KEY, price INTEGER, raised INTEGER DEFAULT 0, note TEXT);
CREATE INDEX by_price ON rooms (price);
CREATE VIRTUAL TABLE texts USING fts5(name);
"""
SCHEMA = ModelSchema("hotel", 1, engine="sqlite", script=SCRIPT)
BY_PRICE = "SELECT room, price FROM rooms INDEXED BY by_price WHERE price > -5000 ORDER BY price"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "hotel@1.abc.1", SCHEMA, Codec())
    yield store
    store.close()


@pytest.fixture
def db(store: SqliteStore) -> GuardedConnection:
    return store.begin()


def fill(db: GuardedConnection, number: int) -> None:
    db.executemany("INSERT INTO rooms (room, price) VALUES (?, ?)", [(n, 100 + n) for n in range(number)])


def rooms(found: Any) -> list[int]:
    return [row[0] for row in found]


@pytest.mark.parametrize("number", [1, 8, 50, 1000])
def test_rows_that_move_ahead_come_once(db: GuardedConnection, number: int) -> None:
    fill(db, number)
    came = []
    for room, price in db.execute(BY_PRICE):
        assert room not in came
        came.append(room)
        db.execute("UPDATE rooms SET price = ?, raised = raised + 1 WHERE room = ?", (price + 5000, room))
    assert came == list(range(number))
    assert db.execute("SELECT DISTINCT raised FROM rooms").fetchall() == [(1,)]


WRITES = {
    "update": "UPDATE rooms SET price = price + 1000",
    "delete": "DELETE FROM rooms WHERE room > 3",
    "insert": "INSERT INTO rooms (room, price) VALUES (500, 110), (501, 900)",
    "replace": "REPLACE INTO rooms (room, price) SELECT room, 7 FROM rooms",
    "comment": " -- a comment\n /* SELECT */ UPDATE rooms SET price = 0",
    "with": "WITH one AS (SELECT 5 AS n) DELETE FROM rooms WHERE room = (SELECT n FROM one)",
    "returning": "UPDATE rooms SET price = 1 RETURNING room",
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("first", [0, 1, 5])
def test_a_row_that_was_changed_or_deleted_before_it_came_is_as_it_was(
    db: GuardedConnection, write: str, first: int
) -> None:
    fill(db, 300)
    cursor = db.execute(BY_PRICE)
    found = list(islice(cursor, first))
    db.execute(WRITES[write])
    found += cursor
    assert found == [(n, 100 + n) for n in range(300)]


def test_every_way_of_fetching_goes_on_where_the_one_before_ended(db: GuardedConnection) -> None:
    fill(db, 250)
    cursor = db.execute(BY_PRICE)
    found = [cursor.fetchone()]
    db.execute(WRITES["update"])
    assert [column[0] for column in cursor.description] == ["room", "price"]
    found += [next(cursor), cursor.fetchone(), *cursor.fetchmany(), *cursor.fetchmany(110)]
    db.execute(WRITES["delete"])
    found += cursor.fetchall()
    assert rooms(found) == list(range(250))
    assert (cursor.fetchone(), cursor.fetchmany(3), cursor.fetchall(), list(cursor)) == (None, [], [], [])


def test_rows_are_made_as_the_projection_chose(db: GuardedConnection) -> None:
    fill(db, 20)
    db.row_factory = sqlite3.Row
    cursor = db.execute(BY_PRICE)
    db.execute(WRITES["update"])
    assert [(row["room"], row["price"]) for row in cursor] == [(n, 100 + n) for n in range(20)]
    db.row_factory = None
    db.text_factory = bytearray
    db.execute("UPDATE rooms SET note = 'x'")
    cursor = db.execute("SELECT note FROM rooms")
    db.execute("UPDATE rooms SET note = 'y'")
    assert cursor.fetchall() == [(bytearray(b"x"),)] * 20


def test_iterations_may_be_nested(db: GuardedConnection) -> None:
    fill(db, 12)
    pairs = []
    for room, _ in db.execute(BY_PRICE):
        for other, price in db.execute(BY_PRICE + " DESC"):
            pairs.append((room, other))
            db.execute("UPDATE rooms SET price = ? WHERE room = ?", (-price, other))
    assert sorted(pairs) == [(a, b) for a in range(12) for b in range(12)]


def test_one_statement_for_many_parameters_may_read_what_it_changes(db: GuardedConnection) -> None:
    fill(db, 100)
    moved = ((price + 1000, room) for room, price in db.execute(BY_PRICE))
    db.executemany("UPDATE rooms SET price = ?, raised = raised + 1 WHERE room = ?", moved)

    def moved_again() -> Iterator[tuple[int, int]]:  # starts to read when the first parameters are asked for
        for room, price in db.execute(BY_PRICE):
            yield price + 1000, room

    db.executemany("UPDATE rooms SET price = ?, raised = raised + 1 WHERE room = ?", moved_again())
    assert db.execute("SELECT DISTINCT raised FROM rooms").fetchall() == [(2,)]


def test_full_text_tables_may_be_changed_while_they_are_searched(db: GuardedConnection) -> None:
    db.executemany("INSERT INTO texts VALUES (?)", [(f"oak number{n}",) for n in range(150)])
    found = 0
    for rowid, name in db.execute("SELECT rowid, name FROM texts WHERE texts MATCH 'oak'"):
        db.execute("INSERT INTO texts VALUES (?)", (name + " again",))
        db.execute("DELETE FROM texts WHERE rowid = ?", (rowid,))
        found += 1
    assert found == 150


def test_the_error_of_a_statement_comes_at_its_row(db: GuardedConnection) -> None:
    fill(db, 8)
    for write in (None, WRITES["update"]):
        cursor = db.execute("SELECT CASE room WHEN 5 THEN abs(-9223372036854775808) ELSE room END FROM rooms")
        if write is not None:
            db.execute(write)
        # Python's sqlite3 makes a step before it gives a row, so the row before the error is lost.
        assert rooms(islice(cursor, 4)) == [0, 1, 2, 3]
        with pytest.raises(sqlite3.OperationalError, match="overflow"):
            cursor.fetchone()


def test_a_cursor_that_executes_again_has_the_rows_of_that_statement(db: GuardedConnection) -> None:
    fill(db, 30)
    cursor = db.execute(BY_PRICE)
    db.execute(WRITES["update"])
    assert isinstance(cursor, BufferedCursor)
    cursor.execute("SELECT count(*) FROM rooms")
    assert cursor.fetchall() == [(30,)]
    cursor.execute(BY_PRICE)
    cursor.execute("UPDATE rooms SET price = 1")  # drops the rows that it had
    assert cursor.fetchall() == []


def test_reads_put_nothing_aside(db: GuardedConnection) -> None:
    fill(db, 30)
    cursor = db.execute(BY_PRICE)
    for sql in ("SELECT 1", " \n/* c */ -- d\n select 2", "VALUES (3)", "EXPLAIN SELECT 4"):
        db.execute(sql)
    assert not isinstance(cursor, BufferedCursor)
    db.execute("WITH n AS (SELECT 1) SELECT * FROM n")  # might write
    assert isinstance(cursor, BufferedCursor)
    assert rooms(cursor) == list(range(30))


def test_a_cursor_that_is_dropped_or_closed_is_not_read_on(db: GuardedConnection) -> None:
    fill(db, 30)
    db.execute(BY_PRICE).fetchone()
    closed = db.execute(BY_PRICE)
    closed.close()
    assert len(db.reading) == 1
    db.execute(WRITES["update"])
    assert not db.reading
    for fetch in (closed.fetchone, closed.fetchall):
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            fetch()


# -- many rows -----------------------------------------------------------------------------------------------
def files_open_beside(store: SqliteStore) -> int:
    """The number of unnamed files that are open in the database's directory."""
    named = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is_open(fd)]
    return sum(name.startswith(str(store.directory)) and name.endswith("(deleted)") for name in named)


def fd_is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed in /proc")
@pytest.mark.parametrize("left", ["dropped", "closed", "finished", "committed"])
def test_many_rows_go_to_a_file_that_is_gone_with_the_cursor(
    store: SqliteStore, db: GuardedConnection, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered_rows, "IN_MEMORY", 5_000)
    fill(db, 5_000)
    cursor: Any = db.execute(BY_PRICE)
    before = set(os.listdir(store.directory))
    db.execute(WRITES["update"])
    assert files_open_beside(store) == 1
    assert set(os.listdir(store.directory)) == before
    assert rooms(islice(cursor, 1000)) == list(range(1000))
    if left == "finished":
        assert rooms(cursor) == list(range(1000, 5000))
    elif left == "closed":
        cursor.close()
    elif left == "committed":
        store.commit(1)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            cursor.fetchone()
    else:
        del cursor
    assert files_open_beside(store) == 0


def test_a_full_disk_while_rows_are_put_aside_is_said(
    db: GuardedConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(db, 500)
    cursor = db.execute(BY_PRICE)

    class Full(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(StoreFull, match="buffering rows"):
        db.execute(WRITES["update"])
    cursor.close()


# -- against lists -------------------------------------------------------------------------------------------
steps = st.one_of(
    st.tuples(st.just("begin"), st.booleans()),
    st.tuples(st.just("put"), st.integers(0, 20), st.integers(0, 9)),
    st.tuples(st.just("raise"), st.integers(0, 20), st.integers(-9, 9)),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("go on"), st.integers(0, 4), st.integers(1, 8)),
    st.tuples(st.just("leave"), st.integers(0, 4)),
)


@given(first=st.integers(0, 20), done=st.lists(steps, max_size=40))
def test_statements_give_what_a_list_taken_at_their_beginning_holds(first: int, done: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffered_rows, "CHUNK", 3)
        store = SqliteStore.open(Path(folder) / "hotel@1.abc.1", SCHEMA, Codec())
        try:
            db = store.begin()
            fill(db, first)
            open_now: list[tuple[Iterator[Any], Any]] = []
            for step, *given_ in done:
                if step == "begin":
                    sql = BY_PRICE + " DESC" * given_[0]
                    open_now.append((iter(db.execute(sql).fetchall()), db.execute(sql)))
                elif step == "put":
                    db.execute("REPLACE INTO rooms (room, price) VALUES (?, ?)", given_)
                elif step == "raise":
                    db.execute("UPDATE rooms SET price = price + ? WHERE room = ?", given_[::-1])
                elif step == "delete":
                    db.execute("DELETE FROM rooms WHERE room = ?", given_)
                elif given_[0] < len(open_now):
                    expected, cursor = open_now[given_[0]]
                    if step == "go on":
                        assert cursor.fetchmany(given_[1]) == list(islice(expected, given_[1]))
                    else:
                        del open_now[given_[0]]
            for expected, cursor in open_now:
                assert cursor.fetchall() == list(expected)
        finally:
            store.close()
