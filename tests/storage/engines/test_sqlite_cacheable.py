"""What projections and queries of a SQLite database may read, and which results depend on rows alone.

Projections may not read anything that depends on where batches end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from storage import Codec, ModelSchema, StatementRefused
from storage.engines.sqlite import cacheability as sqlite_cacheability
from storage.engines.sqlite.store import SqliteStore
from storage.errors import SnapshotClosed, UnencodableValue

SCRIPT = """
CREATE TABLE sales (number INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT, price REAL);
CREATE TABLE seen (position INTEGER);
CREATE VIEW how_far AS SELECT position FROM onewriter_checkpoint;
CREATE VIEW today AS SELECT sales.number, date('now') AS day FROM sales;
CREATE VIEW tables AS SELECT name FROM pragma_table_list;
CREATE VIEW schemas AS SELECT rowid FROM sqlite_master;
CREATE TABLE peeked (day TEXT);
CREATE TRIGGER peeks AFTER INSERT ON peeked BEGIN
    INSERT INTO seen SELECT position FROM onewriter_checkpoint;
END;
CREATE TABLE kept (number INTEGER);
CREATE VIEW the_last AS SELECT last_insert_rowid() AS number;
CREATE TABLE counted (day TEXT);
CREATE TRIGGER counts AFTER INSERT ON counted BEGIN
    INSERT INTO seen SELECT changes();
END;
CREATE TABLE numbered (number INTEGER DEFAULT (last_insert_rowid()), day TEXT);
CREATE TRIGGER todays INSTEAD OF INSERT ON today BEGIN
    INSERT INTO kept VALUES (new.number);
END;
CREATE VIRTUAL TABLE texts USING fts5(title, text);
CREATE VIRTUAL TABLE "odd ""name" USING fts5(text);
INSERT INTO "odd ""name"("odd ""name", rank) VALUES ('rank', 'bm25(3.0)');
CREATE VIRTUAL TABLE places USING rtree(number, west, east);
"""
SCHEMA = ModelSchema("shop", 1, engine="sqlite", script=SCRIPT)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "shop@1.abc.1", SCHEMA, Codec())
    db = store.begin()
    db.execute("INSERT INTO sales (day, price) VALUES ('2026-03-28', 2)")
    db.execute("INSERT INTO texts VALUES ('red', 'blue'), ('blue', 'red red')")
    db.execute("INSERT INTO places VALUES (7, 1, 2)")
    store.commit(1)
    yield store
    store.close()


def counts(store: SqliteStore, sql: str, *parameters: Any) -> bool:
    with store.snapshot() as snapshot:
        connection = snapshot.target
        connection.execute(sql, parameters).fetchall()
        return not connection.uncacheable


COUNTED = [
    "SELECT * FROM sales",
    "VALUES (1)",
    "-- all\n /* of */ SELECT count(*), sum(price), group_concat(day), max(day) FROM sales",
    "WITH cheap AS (SELECT * FROM sales WHERE price < 9) SELECT upper(day), row_number() OVER () FROM cheap",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
    "SELECT rowid, rank, bm25(texts), highlight(texts, 0, '<', '>'), snippet(texts, 0, '<', '>', '', 9) "
    "FROM texts WHERE texts MATCH 'red' ORDER BY rank",
    "SELECT number FROM places WHERE west < 5",
    "SELECT value FROM json_each('[1, 2]')",
    "SELECT json_extract('[1]', '$[0]'), day LIKE '2026%', abs(price), coalesce(price, 0), '[1]' ->> '$[0]', "
    "sqlite_version() FROM sales",
]

NOT_COUNTED = [
    "SELECT random()",
    "SELECT hex(randomblob(4)) FROM sales",
    "SELECT date('now')",
    "SELECT strftime('%Y', day) FROM sales",
    "SELECT CURRENT_TIMESTAMP",
    "SELECT day FROM today",
    "SELECT changes(), total_changes()",
    "SELECT last_insert_rowid()",
    "SELECT seq FROM sqlite_sequence",
    "SELECT count(*) FROM sqlite_schema",
    "SELECT rowid FROM sqlite_master",
    "SELECT * FROM schemas",
    "SELECT name FROM pragma_table_list",
    "SELECT count(*) FROM tables",
    "PRAGMA data_version",
    "PRAGMA page_count",
    "EXPLAIN SELECT 1",
    "SELECT (SELECT random()) IS NULL FROM sales",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM sqlite_schema)",
]


@pytest.mark.parametrize("sql", COUNTED)
def test_what_rows_alone_tell_counts(store: SqliteStore, sql: str) -> None:
    # The second time on a pooled connection, which has compiled it already.
    assert [counts(store, sql), counts(store, sql)] == [True, True]


@pytest.mark.parametrize("sql", NOT_COUNTED)
def test_what_may_change_without_a_row_does_not_count(store: SqliteStore, sql: str) -> None:
    assert [counts(store, sql), counts(store, sql)] == [False, False]
    assert counts(store, "SELECT * FROM sales")


def test_the_time_of_day_may_come_as_a_parameter(store: SqliteStore) -> None:
    assert not counts(store, "SELECT date(?)", "now")


FAILING = [
    ("SELECT date('now'), json_extract(?, '$')", ("{",), ("{}",)),
    ("SELECT random() + ?", (Decimal(1),), (1,)),
    ("SELECT random() + ?", (), (1,)),
    ("SELECT random() + ?", (2**70,), (1,)),
    ("SELECT random() + :number", {}, {"number": 1}),
    ("SELECT random() + abs(?)", (-(2**63),), (1,)),
    ("SELECT total_changes() FROM pragma_table_list WHERE json_extract(?, '$')", ("{",), ("1",)),
]


@pytest.mark.parametrize(("sql", "bad", "good"), FAILING)
def test_a_statement_that_failed_when_it_was_run_is_known_when_it_is_run_again(
    store: SqliteStore, sql: str, bad: Any, good: Any
) -> None:
    with store.snapshot() as snapshot:
        connection = snapshot.target
        with pytest.raises((sqlite3.Error, UnencodableValue, OverflowError)):
            connection.execute(sql, bad).fetchall()
        assert connection.uncacheable
        again = snapshot.target
        again.execute(sql, good).fetchall()
        assert again.uncacheable
    if isinstance(good, tuple):
        assert not counts(store, sql, *good)


def test_a_statement_that_was_interrupted_is_known_when_it_is_run_again(store: SqliteStore) -> None:
    sql = "SELECT random() + ?"
    with store.snapshot() as snapshot:
        with pytest.raises(KeyboardInterrupt):
            snapshot.target.execute(sql, Striking())
        again = snapshot.target
        again.execute(sql, (1,)).fetchall()
        assert again.uncacheable


class Striking(list[Any]):
    """Parameters that raise KeyboardInterrupt when they are read, after the statement was compiled."""

    def __len__(self) -> int:
        raise KeyboardInterrupt

    def __getitem__(self, _: Any) -> Any:
        raise KeyboardInterrupt


def test_a_statement_of_rows_alone_that_failed_counts_when_it_is_run_again(store: SqliteStore) -> None:
    sql = "SELECT json_extract(?, '$') FROM sales"
    with store.snapshot() as snapshot:
        with pytest.raises(sqlite3.Error):
            snapshot.target.execute(sql, ("{",)).fetchall()
        again = snapshot.target
        assert again.execute(sql, ("1",)).fetchall()
        assert not again.uncacheable


LATE = "SELECT json_extract(value, '$.a') FROM (SELECT '{}' AS value UNION ALL SELECT '{')"
FETCHES = {
    "fetchone": lambda cursor: [cursor.fetchone(), cursor.fetchone()],
    "fetchmany": lambda cursor: cursor.fetchmany(9),
    "fetchall": lambda cursor: cursor.fetchall(),
    "iteration": list,
}


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("fetch", FETCHES.values(), ids=list(FETCHES))
def test_an_answer_that_an_error_is_part_of_does_not_count(
    store: SqliteStore, fetch: Any, closed: bool
) -> None:
    with store.snapshot() as snapshot:
        connection = snapshot.target
        cursor = connection.execute(LATE)
        assert not connection.uncacheable
        if closed:
            snapshot.close()
        with pytest.raises(SnapshotClosed if closed else sqlite3.Error):
            fetch(cursor)
        assert connection.uncacheable


def test_an_answer_that_a_refused_statement_is_part_of_does_not_count(store: SqliteStore) -> None:
    with store.snapshot() as snapshot:
        for sql in ("SELECT 1 FROM nowhere", "DELETE FROM sales"):
            connection = snapshot.target
            with pytest.raises((sqlite3.Error, StatementRefused)):
                connection.execute(sql)
            assert connection.uncacheable


def test_rows_that_an_iteration_has_taken_do_not_count_after_the_end(store: SqliteStore) -> None:
    with store.snapshot() as snapshot:
        connection = snapshot.target
        rows = iter(connection.execute("VALUES (1), (2)"))
        next(rows)
        snapshot.close()
        with pytest.raises(SnapshotClosed):
            next(rows)
        assert connection.uncacheable


def test_one_statement_that_does_not_count_is_enough(store: SqliteStore) -> None:
    with store.snapshot() as snapshot:
        connection = snapshot.target
        connection.execute("SELECT random()")
        connection.execute("SELECT * FROM sales").fetchall()
        assert connection.uncacheable
        assert not snapshot.target.uncacheable  # that is another query's connection


def test_a_connection_that_knows_too_many_statements_counts_nothing_new_and_is_not_used_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_cacheability, "MAX_STATEMENTS", 3)
    with store.snapshot() as snapshot:
        for number in range(5):
            snapshot.target.execute(f"SELECT {number} FROM sales").fetchall()
        connection = snapshot.target
        connection.execute("SELECT 0 FROM sales")
        assert not connection.uncacheable
        connection.execute("SELECT 4 FROM sales")
        assert connection.uncacheable
    assert counts(store, "SELECT 4 FROM sales")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT position FROM onewriter_checkpoint",
        "SELECT position FROM ONEWRITER_CHECKPOINT",
        "SELECT count(*) FROM onewriter_checkpoint",
        "SELECT * FROM how_far",
        "SELECT (SELECT max(position) FROM onewriter_checkpoint) FROM sales",
        "WITH c AS (SELECT * FROM main.onewriter_checkpoint) SELECT * FROM c",
    ],
)
def test_nobody_reads_the_checkpoint_by_sql(store: SqliteStore, sql: str) -> None:
    with store.snapshot() as snapshot, pytest.raises(StatementRefused, match="read onewriter_checkpoint"):
        snapshot.target.execute(sql)
    db = store.begin()
    for statement in (sql, f"INSERT INTO seen SELECT * FROM ({sql})"):
        with pytest.raises(StatementRefused, match="a projection may not read onewriter_checkpoint"):
            db.execute(statement)
    store.abort()


def test_a_trigger_does_not_read_the_checkpoint_either(store: SqliteStore) -> None:
    with pytest.raises(StatementRefused, match="a projection may not read onewriter_checkpoint"):
        store.begin().execute("INSERT INTO peeked VALUES ('2026-03-28')")
    store.abort()


def test_a_projection_does_not_learn_how_much_was_changed_since_the_opening(store: SqliteStore) -> None:
    db = store.begin()
    with pytest.raises(StatementRefused, match=r"total_changes\(\): it counts since the database was opened"):
        db.execute("SELECT total_changes()")
    with pytest.raises(StatementRefused, match=r"cursor\.rowcount"):
        _ = db.total_changes
    store.abort()


TELL_OF_THE_LAST = [
    ("SELECT changes()", "rowcount"),
    ("SELECT CHANGES() FROM sales", "rowcount"),
    ("SELECT last_insert_rowid()", "RETURNING rowid"),
    ("INSERT INTO seen SELECT Last_Insert_Rowid()", "RETURNING rowid"),
    ("INSERT INTO sales (price) VALUES (1) RETURNING changes()", "rowcount"),
    ("SELECT * FROM the_last", "RETURNING rowid"),
    ("INSERT INTO counted VALUES ('2026-03-28')", "rowcount"),
    ("INSERT INTO numbered DEFAULT VALUES", "RETURNING rowid"),
    ("INSERT INTO numbered (day) VALUES ('2026-03-28')", "RETURNING rowid"),
]


@pytest.mark.parametrize(("sql", "advice"), TELL_OF_THE_LAST)
def test_a_projection_does_not_learn_what_the_connection_did_last(
    store: SqliteStore, sql: str, advice: str
) -> None:
    for _ in range(2):
        db = store.begin()
        with pytest.raises(StatementRefused, match=rf"where batches end.*{advice}"):
            db.execute(sql)
        with pytest.raises(StatementRefused, match=rf"where batches end.*{advice}"):
            db.cursor().executemany(sql, [()])
        store.abort()


def test_a_cursor_does_not_tell_of_a_statement_before_its_own(store: SqliteStore) -> None:
    db = store.begin()
    ignored = "INSERT OR IGNORE INTO sales (number, price) VALUES (1, 2)"
    for cursor in (db.execute(ignored), db.execute("SELECT number FROM sales"), db.cursor()):
        with pytest.raises(StatementRefused, match=r"lastrowid.*RETURNING rowid"):
            _ = cursor.lastrowid
    assert db.execute("INSERT INTO sales (price) VALUES (4) RETURNING number").fetchone() == (2,)
    store.abort()


ROWCOUNTS = {
    "UPDATE sales SET price = 3": 1,
    "INSERT OR IGNORE INTO sales (number) VALUES (1)": 0,
    "INSERT INTO sales (number) VALUES (1) ON CONFLICT DO UPDATE SET price = 4": 1,
    "INSERT INTO sales (price) SELECT price FROM sales WHERE price < 0": 0,
    "DELETE FROM seen": 0,
    "INSERT INTO texts VALUES ('green', 'red')": 1,
    "INSERT INTO places VALUES (9, 1, 2)": 1,
    "INSERT INTO today VALUES (1, 'none')": 0,
    "SELECT number FROM sales": -1,
}


@pytest.mark.parametrize("sql", ROWCOUNTS)
def test_the_rowcount_is_of_the_statement_alone(store: SqliteStore, sql: str) -> None:
    db = store.begin()
    db.executemany("INSERT INTO kept VALUES (?)", [(number,) for number in range(7)])
    db.execute("UPDATE kept SET number = number + 10")
    assert db.execute(sql).rowcount == ROWCOUNTS[sql]
    store.abort()


def test_an_r_tree_is_read_by_queries_and_dumps_and_changed_by_projections_alone(store: SqliteStore) -> None:
    for _ in range(2):
        with store.snapshot() as snapshot:
            found = snapshot.target.execute(
                "SELECT number FROM places WHERE west <= 1 AND east >= 1"
            ).fetchall()
            assert [tuple(row) for row in found] == [(7,)]
            for sql in (
                "INSERT INTO places VALUES (8, 1, 2)",
                "INSERT INTO places_node VALUES (8, 1)",
                "DELETE FROM places_node",
                "UPDATE texts_config SET v = 1",
            ):
                with pytest.raises(StatementRefused, match="queries read only"):
                    snapshot.target.execute(sql)
    assert store.dump()["places"] == [{"number": 7, "west": 1.0, "east": 2.0}]


RANK = "INSERT INTO texts(texts, rank) VALUES ('rank', 'bm25(0.0, 10.0)')"


@pytest.mark.parametrize(
    ("sql", "table"),
    [
        (RANK, "texts"),
        (RANK.replace("'rank'", "'RANK'"), "texts"),
        ("INSERT OR REPLACE INTO texts_config VALUES ('rank', 'bm25(0.0, 10.0)')", "texts"),
        ('DELETE FROM "odd ""name_config" WHERE k = \'rank\'', 'odd "name'),
    ],
)
def test_a_projection_does_not_change_the_ranking_of_a_full_text_table(
    store: SqliteStore, sql: str, table: str
) -> None:
    for _ in range(2):  # the second time FTS5 has its own statement in the cache
        store.begin().execute(sql)
        with pytest.raises(StatementRefused, match=f"ranking of full-text table '{table}'.*rank MATCH"):
            store.flush()
        with pytest.raises(StatementRefused, match="set it in schema="):
            store.commit(2)
        store.abort()
    db = store.begin()
    db.execute("INSERT INTO texts VALUES ('red', 'green')")
    store.commit(2)


def test_a_projection_gives_a_full_text_table_its_other_orders(store: SqliteStore) -> None:
    db = store.begin()
    for option, value in {
        "automerge": 4,
        "crisismerge": 8,
        "usermerge": 8,
        "pgsz": 64,
        "hashsize": 100,
    }.items():
        db.execute("INSERT INTO texts(texts, rank) VALUES (?, ?)", (option, value))
    for order in ("optimize", "rebuild", "integrity-check"):
        db.execute("INSERT INTO texts(texts) VALUES (?)", (order,))
    store.commit(2)
    assert store.changed() == 2


def test_a_query_ranks_in_its_own_way(store: SqliteStore) -> None:
    by = "SELECT title FROM texts WHERE texts MATCH 'red' AND rank MATCH ? ORDER BY rank"
    with store.snapshot() as snapshot:
        first = snapshot.target.execute(by, ("bm25(10.0, 0.0)",)).fetchone()[0]
        second = snapshot.target.execute(by, ("bm25(0.0, 10.0)",)).fetchone()[0]
    assert (first, second) == ("red", "blue")


def test_every_function_of_this_sqlite_is_known_to_count_or_not() -> None:
    with sqlite3.connect(":memory:") as db:
        names = {str(name) for (name,) in db.execute("SELECT name FROM pragma_function_list")}
    db.close()
    for name in ("now", "random", "randomblob", "date", "unixepoch", "changes", "a_function_of_tomorrow"):
        assert not sqlite_cacheability.is_cacheable_function(name)
    plain = {"abs", "count", "sum", "max", "lower", "json", "like", "row_number", "bm25", "match"}
    assert all(sqlite_cacheability.is_cacheable_function(name) for name in plain & names)
