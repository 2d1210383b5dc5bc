"""SQLite as an engine: what projections and queries may do, what is committed together, how snapshots end."""

from __future__ import annotations

import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from storage import (
    Codec,
    DamagedStore,
    InvalidSchema,
    ModelSchema,
    SnapshotClosed,
    StorageError,
    StoreClosed,
    StoreFull,
)
from storage.engines.sqlite import wal as sqlite_wal
from storage.engines.sqlite.full_text import fts_match
from storage.engines.sqlite.pool import MAX_OPEN
from storage.engines.sqlite.script import check_script, statements
from storage.engines.sqlite.store import FILE, SqliteStore
from storage.errors import StatementRefused, UnencodableValue
from tests.helpers import PATIENCE, Threads, wait_until

SCRIPT = """
-- products; and what is searched
CREATE TABLE products (sku TEXT PRIMARY KEY, price INTEGER NOT NULL, note TEXT DEFAULT 'a;b');
CREATE INDEX by_price ON products (price);
CREATE VIRTUAL TABLE texts USING fts5(sku UNINDEXED, name);
CREATE TRIGGER no_gifts BEFORE INSERT ON products WHEN new.price < 0 BEGIN
    SELECT raise(ROLLBACK, 'nothing is given away');
END;
"""
SCHEMA = ModelSchema("shelf", 1, engine="sqlite", script=SCRIPT)
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


class Expired(SnapshotClosed):
    """The error of a view."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "shelf@1.abc.1"


@pytest.fixture
def store(directory: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(directory, SCHEMA, Codec())
    yield store
    store.close()


def put(store: SqliteStore, position: int, *skus: str, price: int = 1) -> None:
    db = store.begin()
    for sku in skus:
        db.execute("INSERT INTO products (sku, price) VALUES (?, ?)", (sku, price))
    store.commit(position)


def count(store: SqliteStore) -> int:
    with store.snapshot() as snapshot:
        return snapshot.target.execute("SELECT count(*) FROM products").fetchone()[0]


# -- committing -----------------------------------------------------------------------------
def test_rows_and_checkpoint_are_there_after_opening_again(store, directory):
    put(store, 7, "lamp")
    store.close()
    again = SqliteStore.open(directory, SCHEMA, Codec())
    assert (again.checkpoint, again.changed(), count(again)) == (7, 7, 1)
    again.close()


def test_a_database_that_was_not_closed_goes_on_where_it_committed(store, directory):
    put(store, 7, "lamp")
    store.begin().execute("DELETE FROM products")
    other = SqliteStore.open(directory, None, Codec())  # as after a crash of the process, without a close
    assert (other.checkpoint, count(other)) == (7, 1)
    other._reader_pool.close()
    sqlite3.Connection.close(other._db)


def test_an_aborted_batch_leaves_rows_and_checkpoint_as_they_were(store):
    put(store, 1, "lamp")
    store.begin().execute("DELETE FROM products")
    store.abort()
    store.abort()
    assert (store.checkpoint, count(store)) == (1, 1)


def test_changed_is_the_last_position_that_changed_a_row(store):
    put(store, 3, "lamp")
    store.begin().execute("UPDATE products SET price = 5 WHERE sku = 'nothing'")
    store.commit(9)
    assert (store.checkpoint, store.changed()) == (9, 3)
    with store.snapshot() as snapshot:
        assert (snapshot.checkpoint, snapshot.changed()) == (9, 3)


def test_a_conflict_that_rolls_the_transaction_back_is_not_committed_as_if_nothing_were(store):
    put(store, 1, "lamp")
    db = store.begin()
    db.execute("INSERT INTO products (sku, price) VALUES ('desk', 1)")
    with pytest.raises(sqlite3.IntegrityError, match="nothing is given away"):
        db.execute("INSERT INTO products (sku, price) VALUES ('gift', -1)")
    with pytest.raises(StorageError, match="ended the transaction"):
        store.flush()
    with pytest.raises(StorageError, match="ended the transaction"):
        store.commit(2)
    store.abort()
    assert (store.checkpoint, count(store)) == (1, 1)


@pytest.mark.parametrize("many", [False, True])
def test_what_comes_after_a_conflict_that_rolled_back_is_not_committed_by_itself(store, many):
    put(store, 1, "lamp")
    db = store.begin()
    db.execute("INSERT INTO products (sku, price) VALUES ('desk', 1)")
    cursor = db.cursor()
    use, given = (cursor.executemany, [("a", 1), ("gift", -1)]) if many else (cursor.execute, ("gift", -1))
    with pytest.raises(sqlite3.IntegrityError, match="nothing is given away"):
        use("INSERT INTO products (sku, price) VALUES (?, ?)", given)
    for use in (db.execute, cursor.execute):
        with pytest.raises(StatementRefused, match=r"rolled back its batch.*OR IGNORE"):
            use("INSERT INTO products (sku, price) VALUES ('chair', 1)")
    store.abort()
    assert (store.checkpoint, count(store)) == (1, 1)
    put(store, 2, "chair")
    assert (store.checkpoint, count(store)) == (2, 2)


def test_a_broken_constraint_is_sqlites_own_error_and_may_be_caught(store):
    db = store.begin()
    db.execute("INSERT INTO products (sku, price) VALUES ('lamp', 1)")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO products (sku, price) VALUES ('lamp', 2)")
    store.commit(1)
    assert count(store) == 1


def test_a_full_disk_is_told_and_what_was_committed_stays(store):
    put(store, 1, "lamp")
    [(pages,)] = store._db.engine("PRAGMA page_count")
    store._db.engine(f"PRAGMA max_page_count = {pages}")
    db = store.begin()
    rows = ((f"{number:0100}",) for number in range(10_000))
    with pytest.raises(StoreFull, match=r"'shelf'.*make room"):
        db.executemany("INSERT INTO products (sku, price) VALUES (?, 1)", rows)
    store.abort()
    assert (store.checkpoint, count(store)) == (1, 1)
    store._db.engine(f"PRAGMA max_page_count = {pages + 1000}")
    put(store, 2, "desk")
    assert count(store) == 2


# -- what projections may not do ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("COMMIT", "together with the checkpoint"),
        ("ROLLBACK", "together with the checkpoint"),
        ("BEGIN", "together with the checkpoint"),
        ("SAVEPOINT here", "together with the checkpoint"),
        ("ATTACH 'other' AS other", "one database"),
        ("PRAGMA synchronous = FULL", "sets the database up"),
        ("SELECT load_extension('evil')", "extensions"),
        ("CREATE TABLE more (a)", "schema="),
        ("CREATE TEMP TABLE more (a)", "schema="),
        ("DROP TABLE products", "schema="),
        ("ALTER TABLE products ADD COLUMN more", "schema="),
        ("UPDATE onewriter_checkpoint SET position = 0", "belong to the engine"),
    ],
)
def test_a_projection_is_told_what_it_may_not_do_and_why(store, sql, why):
    put(store, 1, "lamp")
    db = store.begin()
    with pytest.raises(StatementRefused, match=f"'shelf'.*{why}"):
        db.execute(sql)
    with pytest.raises(StatementRefused, match=why):
        db.cursor().execute(sql)
    db.execute("INSERT INTO products (sku, price) VALUES ('desk', 1)")
    store.commit(2)
    assert (store.checkpoint, count(store)) == (2, 2)


@pytest.mark.parametrize(
    "use",
    [
        lambda db: db.commit(),
        lambda db: db.rollback(),
        lambda db: db.close(),
        lambda db: db.__enter__(),
        lambda db: db.executescript("SELECT 1"),
        lambda db: db.cursor().executescript("SELECT 1"),
        lambda db: db.set_authorizer(None),
        lambda db: db.blobopen("products", "note", 1),
        lambda db: db.set_progress_handler(None, 1),
        lambda db: db.cursor(sqlite3.Cursor),
    ],
)
def test_methods_of_a_connection_that_are_the_engines_are_refused(store, use):
    db = store.begin()
    with pytest.raises(StatementRefused, match="'shelf'"):
        use(db)
    store.commit(1)
    assert store.checkpoint == 1


def test_a_connection_that_was_kept_is_of_no_use_after_the_batch(store):
    db = store.begin()
    cursor = db.cursor()
    store.commit(1)
    for use in (lambda: db.execute("SELECT 1"), lambda: cursor.execute("SELECT 1")):
        with pytest.raises(StatementRefused, match="keep no reference"):
            use()


@pytest.mark.parametrize("fails", [False, True], ids=["committed", "rolled back"])
def test_a_statement_that_a_projection_leaves_half_read_locks_nothing(store, tmp_path, fails):
    put(store, 1, "lamp", "desk")
    db = store.begin()
    half_read = db.execute("SELECT sku FROM products")
    assert half_read.fetchone()
    if fails:
        store.abort()
    else:
        store.commit(2)
    with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
        half_read.fetchall()
    put(store, 3, "chair")
    store.close()
    assert not list(tmp_path.rglob("*-wal"))


@pytest.mark.parametrize("value", [Decimal("1.5"), uuid4(), object(), ["a"]])
def test_a_value_that_sqlite_has_no_type_for_is_refused_with_how_to_store_it(store, value):
    db = store.begin()
    with pytest.raises(UnencodableValue, match=r"'shelf'.*parameter 1.*isoformat"):
        db.execute("INSERT INTO products (sku, price) VALUES (?, 1)", (value,))
    with pytest.raises(UnencodableValue, match="'shelf'"):
        db.executemany("INSERT INTO products (sku, price) VALUES (?, 1)", [(value,)])
    store.abort()


def test_what_the_documentation_says_of_values_comes_back(store):
    when, number, key = datetime(2026, 1, 2, 3, 4, tzinfo=UTC), Decimal("0.10"), uuid4()
    db = store.begin()
    for text in (when.isoformat(), str(number), str(key)):
        db.execute("INSERT INTO products (sku, price) VALUES (?, 1)", (text,))
    store.commit(1)
    with store.snapshot() as snapshot:
        found = {row["sku"] for row in snapshot.target.execute("SELECT sku FROM products")}
    assert when in [datetime.fromisoformat(text) for text in found if "T" in text]
    assert {str(number), str(key)} < found


def test_when_no_more_files_can_be_opened_the_error_says_so(store):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, limit[1]))
    try:
        with ExitStack() as snapshots:

            def take_them() -> None:
                while True:
                    snapshots.enter_context(store.snapshot())

            with pytest.raises(StorageError) as caught:
                take_them()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert "as many files open as it may" in str(caught.value)
    assert str(caught.value).count(FILE) == 1
    put(store, 1, "lamp")
    assert count(store) == 1


# -- the schema --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("CREATE TABEL a (b)", 'near "TABEL": syntax error'),
        ("CREATE TABLE a (b); CREATE TABLE a (b);", "already exists"),
        ("CREATE VIRTUAL TABLE a USING fts9(b)", r"no such module: fts9.*Python"),
        ("CREATE TABLE a (b); COMMIT;", "may not end or begin a transaction"),
        ("PRAGMA journal_mode = DELETE; CREATE TABLE a (b)", "may not use PRAGMA"),
        ("CREATE TABLE onewriter_mine (b)", "onewriter_"),
        ("-- nothing", "creates no table"),
        ("", "creates no table"),
        ("CREATE TABLE a (", "syntax error"),
    ],
)
def test_a_mistake_in_the_schema_is_found_before_a_file_is_made(directory, script, message):
    with pytest.raises(InvalidSchema, match=f"'bad'.*{message}"):
        check_script("bad", script)
    with pytest.raises(InvalidSchema, match=message):
        SqliteStore.open(directory, ModelSchema("bad", 1, engine="sqlite", script=script), Codec())
    assert not directory.exists()


def test_statements_end_at_their_own_semicolons_only():
    assert list(statements("A 'x;y'; -- c;\nB; CREATE TRIGGER t BEGIN C; D; END; E")) == [
        "A 'x;y';",
        " -- c;\nB;",
        " CREATE TRIGGER t BEGIN C; D; END;",
        " E;",
    ]


def test_without_its_schema_a_database_can_be_read_but_not_changed(store, directory):
    put(store, 1, "lamp")
    store.close()
    frozen = SqliteStore.open(directory, None, Codec())
    assert count(frozen) == 1
    with pytest.raises(StorageError, match="frozen"):
        frozen.begin()
    frozen.close()


@pytest.mark.parametrize("offset", [0, 100])
def test_a_damaged_database_is_told_and_can_be_deleted(store, directory, offset):
    put(store, 1, *map(str, range(1000)))
    store.close()
    with (directory / FILE).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 8000)
    with pytest.raises(DamagedStore, match="from the log"):
        SqliteStore.open(directory, SCHEMA, Codec()).dump()
    SqliteStore.delete(directory)
    SqliteStore.delete(directory)
    again = SqliteStore.open(directory, SCHEMA, Codec())
    assert (again.checkpoint, count(again)) == (0, 0)
    again.close()


# -- snapshots -----------------------------------------------------------------------------------
def test_a_snapshot_stays_at_its_position_while_batches_are_committed(store):
    put(store, 1, "lamp")
    with store.snapshot() as before:
        put(store, 2, "desk")
        rows = before.target.execute("SELECT sku, price FROM products").fetchall()
        assert (before.checkpoint, [dict(row) for row in rows]) == (1, [{"sku": "lamp", "price": 1}])
        assert rows[0]["sku"] == rows[0][0]
        with store.snapshot() as after:
            assert after.checkpoint == 2


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO products (sku, price) VALUES ('desk', 1)",
        "UPDATE products SET price = 2",
        "DELETE FROM products",
        "CREATE TEMP TABLE more (a)",
        "COMMIT",
        "ROLLBACK",
        "ATTACH 'other' AS other",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('evil')",
    ],
)
def test_a_query_only_reads(store, sql):
    put(store, 1, "lamp")
    for _ in range(2):  # the second time on the same connection, from the pool
        with store.snapshot() as snapshot:
            with pytest.raises(StatementRefused, match="a query may not"):
                snapshot.target.execute(sql)
            put(store, store.checkpoint + 1, f"desk {store.checkpoint}")
            assert snapshot.checkpoint == store.checkpoint - 1
            assert (
                snapshot.target.execute("SELECT count(*) FROM products").fetchone()[0] == snapshot.checkpoint
            )


def test_a_mistake_in_a_querys_sql_is_sqlites_own_error(store):
    with (
        store.snapshot() as snapshot,
        pytest.raises(sqlite3.OperationalError, match="no such table: missing"),
    ):
        snapshot.target.execute("SELECT * FROM missing")
    with store.snapshot() as snapshot, pytest.raises(UnencodableValue, match="a query"):
        snapshot.target.execute("SELECT ?", (Decimal(1),))


def test_all_that_a_snapshot_gave_out_ends_with_it(store):
    put(store, 1, *map(str, range(200)))
    snapshot = store.snapshot(closed=Expired)
    db = snapshot.target
    cursor = db.execute("SELECT * FROM products")
    rows = iter(db.execute("SELECT * FROM products"))
    next(rows)
    snapshot.close()
    snapshot.close()
    with store.snapshot() as other:  # gets the same connection
        assert other.target.execute("SELECT 1").fetchone()[0] == 1
        for use in (
            lambda: db.execute("SELECT 1"),
            cursor.fetchone,
            cursor.fetchall,
            lambda: cursor.fetchmany(2),
            lambda: next(rows),
            lambda: snapshot.target,
        ):
            with pytest.raises(Expired, match="closed"):
                use()


@pytest.mark.parametrize(
    "read",
    [lambda db: db.execute(ENDLESS.format("max(i)")), lambda db: db.execute(ENDLESS.format("i")).fetchall()],
)
def test_a_statement_that_runs_is_ended_when_its_snapshot_is(store, read):
    snapshot = store.snapshot(closed=Expired)
    ended: list[BaseException] = []
    started = threading.Event()

    def query() -> None:
        started.set()
        try:
            read(snapshot.target)
        except Expired as error:
            ended.append(error)

    with Threads() as threads:
        threads.start(query)
        started.wait()
        wait_until(snapshot._lock.locked)
        snapshot.close()
    assert len(ended) == 1


def test_snapshots_are_used_from_several_threads(store):
    put(store, 1, *map(str, range(500)))
    with store.snapshot() as snapshot, Threads() as threads:

        def query() -> None:
            for _ in range(50):
                assert len(list(snapshot.target.execute("SELECT * FROM products"))) == 500

        for _ in range(4):
            threads.start(query)


def test_connections_are_pooled_and_bounded(store):
    snapshots = [store.snapshot() for _ in range(MAX_OPEN)]
    with pytest.raises(StorageError, match="close some"):
        store.snapshot()
    for snapshot in snapshots:
        snapshot.close()
    used = {id(snapshot._db) for snapshot in snapshots}
    assert used == {id(None)}
    assert 0 < len(store._reader_pool._idle) <= 16


def test_closing_ends_snapshots_and_is_told(store):
    snapshot = store.snapshot()
    store.close()
    store.close()
    with pytest.raises(SnapshotClosed):
        snapshot.target.execute("SELECT 1")
    for use in (store.snapshot, store.begin):
        with pytest.raises(StoreClosed, match="open it again"):
            use()


# -- the write-ahead log -----------------------------------------------------------------------
def fill(store: SqliteStore, times: int) -> None:
    for _ in range(times):
        db = store.begin()
        db.executemany(
            "INSERT OR REPLACE INTO products (sku, price, note) VALUES (?, 1, ?)",
            [(str(number), "x" * 1000) for number in range(500)],
        )
        store.commit(store.checkpoint + 1)


def test_the_write_ahead_log_grows_with_an_old_snapshot_and_shrinks_after_it(store):
    fill(store, 1)
    old = store.snapshot()
    fill(store, 20)
    assert store._wal.size() > 2 * sqlite_wal.WAL_BYTES
    old.close()
    fill(store, 3)
    assert store._wal.size() <= sqlite_wal.WAL_BYTES + (2 << 20)


def test_readers_that_overlap_without_end_do_not_let_it_grow(store, monkeypatch):
    monkeypatch.setattr(sqlite_wal, "_PATIENCE", sqlite_wal.WAL_BYTES)
    monkeypatch.setattr(sqlite_wal, "_TRIED_EVERY", 0.0)
    monkeypatch.setattr(sqlite_wal, "_WAIT", 5.0)
    ending = threading.Event()

    def read() -> None:
        while not ending.is_set():
            with store.snapshot() as snapshot:
                snapshot.target.execute("SELECT sum(price) FROM products").fetchone()

    with Threads() as threads:
        for _ in range(3):
            threads.start(read)
        try:
            fill(store, 40)
            size = store._wal.size()
        finally:
            ending.set()
    assert size <= sqlite_wal.WAL_BYTES + (2 << 20)


# -- full text -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("oak", ["bench", "lamp"]),
        ("OAK lamp", ["lamp"]),
        ("lam", []),
        ("oak-desk", ["lamp"]),
        ("lamp OR bench", []),
        ('oak"', ["bench", "lamp"]),
        ("NEAR(oak)", []),
        ("*", []),
        ("", []),
        ("-- ;", []),
        ("oak \0 bench", ["bench"]),
        ("name:oak", []),
        ("oak \ud800", ["bench", "lamp"]),
    ],
)
def test_whatever_a_person_types_is_a_full_text_query(store, text, found):
    db = store.begin()
    for sku, name in (("lamp", "Oak-desk lamp"), ("bench", "A bench of oak")):
        db.execute("INSERT INTO texts VALUES (?, ?)", (sku, name))
    store.commit(1)
    assert search(store, fts_match(text)) == found


def search(store: SqliteStore, match: str) -> list[Any]:
    with store.snapshot() as snapshot:
        rows = snapshot.target.execute("SELECT sku FROM texts WHERE texts MATCH ? ORDER BY sku", (match,))
        return [sku for (sku,) in rows]


def test_the_last_word_may_be_the_beginning_of_one_and_one_word_may_do(store):
    db = store.begin()
    db.execute("INSERT INTO texts VALUES ('lamp', 'Oak desk lamp')")
    store.commit(1)
    assert search(store, fts_match("oak la", prefix=True)) == ["lamp"]
    assert search(store, fts_match("oa lamp", prefix=True)) == []
    assert search(store, fts_match("pine lamp", any_word=True)) == ["lamp"]


def test_a_search_for_no_text_is_refused():
    words: Any = None
    with pytest.raises(TypeError, match=r"fts_match\(\) takes text, not None"):
        fts_match(words)


def test_a_dump_has_every_table_of_the_model_and_none_of_the_engine(store):
    db = store.begin()
    db.execute("INSERT INTO texts VALUES ('lamp', 'Oak')")
    store.commit(1)
    assert store.dump() == {"products": [], "texts": [{"sku": "lamp", "name": "Oak"}]}
    assert store.size_bytes() > 0


def test_an_interrupt_for_a_snapshot_that_is_closed_twice_at_once_never_meets_the_next_one(store):
    snapshot = store.snapshot()
    given_back, interrupting = threading.Event(), threading.Event()
    too_early: list[bool] = []

    class Connection:
        def interrupt(self) -> None:
            if not interrupting.is_set():
                interrupting.set()
                too_early.append(given_back.wait(0.2))

        def execute(self, sql: str) -> None:
            pass

    connection, snapshot._db = snapshot._db, Connection()
    snapshot._give_back = lambda *_: given_back.set()
    with Threads() as threads, snapshot._lock:  # as a running statement holds it
        threads.start(snapshot.close)
        threads.start(snapshot.close)
        assert interrupting.wait(PATIENCE)
    assert given_back.is_set()
    assert too_early == [False]
    connection.close()
