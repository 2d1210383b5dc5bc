"""An iteration's results are fixed when it starts, whatever is changed and read until it ends.

This covers a replica's tables and inline tables; engines/test_sqlite_iterations.py covers the SQLite engine.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.errors import SnapshotClosed
from storage.log.event_log import EventLog
from storage.log.inline_batch import InlineBatch
from storage.replica.replica_store import ReplicaStore
from storage.tables import entries as table_entries
from storage.tables import writer as table_writer
from storage.tables.entries import TableEntries
from storage.tables.index import IndexSpec, each, words
from storage.tables.pending_table import PendingTable
from storage.tables.schema import ModelSchema, TableSchema
from storage.tables.writer import TableWriter

ROWS = TableSchema("rows", "key", ["value", ("kind", "value"), words("text"), each("items")])
MODEL = ModelSchema("model", 1, (ROWS,))
PREPARED = ROWS.prepare(("kind", "value"), equal=1)


def open_replica_table(stack: ExitStack, path: Path) -> TableWriter:
    store = stack.enter_context(ReplicaStore.open(path, [MODEL], Codec(), history_id="h", log_head=0))
    return stack.enter_context(store.write()).tables("model")[ROWS]


def open_inline_batch(stack: ExitStack, path: Path) -> InlineBatch:
    log = stack.enter_context(EventLog.open(path, Codec(), durable=False, inline=[MODEL]))
    batch = log.inline_batch()
    assert batch is not None
    stack.callback(batch.close)
    return batch


def open_inline_table(stack: ExitStack, path: Path) -> TableWriter:
    return open_inline_batch(stack, path).table(ROWS)


OPEN = {"replica": open_replica_table, "inline": open_inline_table}


@pytest.fixture(params=OPEN)
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TableWriter]:
    with ExitStack() as stack:
        yield OPEN[request.param](stack, tmp_path / "store")


def row(key: int, value: int, **columns: Any) -> dict[str, Any]:
    return {"key": key, "value": value, **columns}


def fill(table: TableWriter, number: int) -> None:
    for key in range(number):
        table.put(row(key, key, kind="a", text=f"word{key} all", items=[key, "all"], times=0))
    table.flush()


# -- each row once -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", [8, 50, 300])
@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_move_ahead_while_others_are_counted_come_once(
    table: TableWriter, number: int, reverse: bool
) -> None:
    fill(table, number)
    step = -1000 if reverse else 1000
    for found in table.range("value", reverse=reverse):
        assert found["times"] == 0
        value = found["value"] + step
        while table.count("value", equal=value):
            value += 1
        table.update(found["key"], value=value, times=found["times"] + 1)
    assert {found["times"] for found in table.all()} == {1}


SEARCHES = {
    "range": lambda table: (found["key"] for found in table.range("value")),
    "all": lambda table: (found["key"] for found in table.all()),
    "find": lambda table: (found["key"] for found in table.find(("kind", "value"), "a")),
    "find words": lambda table: (found["key"] for found in table.find(words("text"), "all")),
    "each, repeated": lambda table: (found["key"] for found in table.range(each("items"))),
    "prefix": lambda table: (found["key"] for found in table.prefix(words("text"), "")),
    "keys": lambda table: table.keys("value"),
    "keys of rows": lambda table: table.keys(),
    "prepared": lambda table: (found["key"] for found in PREPARED(table, "a")),
    "prepared keys": lambda table: PREPARED.keys(table, "a"),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_every_row_comes_once_though_each_is_changed_in_every_way(table: TableWriter, search: str) -> None:
    fill(table, 150)
    seen: list[int] = []
    for key in SEARCHES[search](table):
        assert key not in seen
        seen.append(key)
        table.update(key, value=key + 500, text=f"zz{key} all", items=[f"z{key}", "all", 1000 + key])
        table.put(row(1000 + key, 1000 + key, kind="a", text="all new", items=["all", "zzz"]))
        assert table.count("value") == 150 + len(seen)
        assert len(list(islice(table.range(each("items")), 3))) == 3
    assert sorted(seen) == list(range(150))


@pytest.mark.parametrize("index", [None, "value", words("text"), each("items")])
def test_a_row_that_was_changed_or_deleted_before_it_came_is_as_it_was(
    table: TableWriter, index: IndexSpec | None
) -> None:
    fill(table, 60)
    expected = list(table.range(index))
    found = []
    for number, one in enumerate(table.range(index)):
        if number % 10 == 0:
            for key in range(60):
                if key % 3:
                    table.put(row(key, -number, kind="b"))
                elif key in table:
                    table.delete(key)
            assert len(table) == 40
        found.append(one)
    assert found == expected


def test_a_page_taken_while_rows_change_shows_them_as_they_are(table: TableWriter) -> None:
    fill(table, 20)
    for found in table.range("value"):
        table.update(found["key"], value=-found["key"])
        assert table.page("value", size=1).rows[0]["value"] == -found["key"]


def test_a_call_fixes_what_its_iteration_gives(table: TableWriter) -> None:
    fill(table, 20)
    later = table.range("value")
    either = [table.find("value", 3), table.find("value", 33)]
    for key in range(20):
        table.update(key, value=key + 30)
    table.flush()
    assert [found["value"] for found in later] == list(range(20))
    assert [found["value"] for one in either for found in one] == [3]


def test_a_limit_counts_the_rows_that_are_given(table: TableWriter) -> None:
    fill(table, 30)
    found = table.range("value", limit=12)
    first = next(found)
    for key in range(5, 25):
        table.delete(key)
    for key in range(100, 120):
        table.put(row(key, 6))
    table.flush()
    assert [first["key"], *(one["key"] for one in found)] == list(range(12))


# -- what it costs -------------------------------------------------------------------------------------------
def iteration_of(table: TableWriter) -> Any:
    [iteration] = table._open_iterations()
    return iteration


@pytest.mark.parametrize("index", [None, "value"])
def test_a_loop_that_updates_the_row_it_is_at_keeps_nothing(
    table: TableWriter, index: IndexSpec | None
) -> None:
    fill(table, 500)
    most = 0
    for found in table.range(index):
        table.update(found["key"], times=1)
        assert table.count("value", equal=found["value"]) == 1
        most = max(most, len(iteration_of(table)._former))
    assert most == 0
    assert table._open_iterations() == []


def test_of_a_row_that_moves_ahead_the_key_is_kept_alone(table: TableWriter) -> None:
    fill(table, 200)
    for found in table.range("value"):
        table.update(found["key"], value=found["value"] + 1000)
        table.flush()
        assert set(iteration_of(table)._former.values()) <= {None}
        assert iteration_of(table)._ahead == []


def test_what_is_kept_of_rows_ahead_is_let_go_as_they_come(table: TableWriter) -> None:
    fill(table, 500)
    found = table.all()
    next(found)
    for key in range(500):
        table.update(key, times=1)
    table.flush()
    kept = iteration_of(table)
    assert 350 < len(kept._former) <= 500
    assert [one["times"] for one in islice(found, 450)] == [0] * 450
    assert len(kept._former) < 100


@pytest.mark.parametrize("how", ["break", "error", "dropped", "finished"])
def test_an_iteration_that_is_left_holds_nothing(table: TableWriter, how: str) -> None:
    fill(table, 150)

    def leave() -> None:
        rows = table.range("value")
        if how == "dropped":
            return
        for _ in rows:
            if how == "break":
                break
            if how == "error":
                raise KeyError(how)
            assert len(table._iterations) == 1

    with suppress(KeyError):
        leave()
    if how == "error":
        gc.collect()  # the traceback keeps the frame alive until it is collected
    assert len(table._iterations) == 0


def test_an_iteration_that_outlives_its_transaction_says_so(tmp_path: Path) -> None:
    for name, opened in OPEN.items():
        with ExitStack() as stack:
            table = opened(stack, tmp_path / name)
            fill(table, 150)
            found = table.range("value")
            next(found)
        with pytest.raises(SnapshotClosed):
            list(found)


# -- against lists -------------------------------------------------------------------------------------------
keys = st.integers(0, 15)
values = st.integers(0, 6)
texts = st.sampled_from([None, "oak desk", "oak", "desk lamp", "lamp"])
lists = st.lists(st.sampled_from(["x", "y", "z", 1]), max_size=3)
rows = st.fixed_dictionaries(
    {"key": keys, "value": values, "kind": st.sampled_from("ab"), "text": texts, "items": lists}
)
order = st.fixed_dictionaries({"reverse": st.booleans(), "limit": st.sampled_from([None, None, 1, 4])})
SPECS: list[tuple[IndexSpec | None, dict[str, Any]]] = [
    (None, {}),
    (None, {"start": 3, "stop": 12}),
    ("value", {}),
    ("value", {"start": 2}),
    ("value", {"equal": 3}),
    (("kind", "value"), {"equal": "a"}),
    (words("text"), {}),
    (words("text"), {"equal": "oak"}),
    (each("items"), {}),
    (each("items"), {"start": "x", "stop": "z"}),
]
begin = st.tuples(st.just("begin"), st.sampled_from(["range", "keys"]), st.sampled_from(SPECS), order)
steps = st.one_of(
    begin,
    st.tuples(st.just("put"), rows),
    st.tuples(st.just("put"), rows),
    st.tuples(st.just("update"), keys, values),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("flush")),
    st.tuples(st.just("go on"), st.integers(0, 5), st.integers(1, 6)),
    st.tuples(st.just("leave"), st.integers(0, 5)),
    st.tuples(st.just("mark")),
    st.tuples(st.just("back")),
)


@pytest.mark.parametrize("engine", OPEN)
@given(first=st.lists(rows, max_size=16), done=st.lists(steps, max_size=40))
def test_iterations_give_what_a_list_taken_at_their_beginning_holds(
    engine: str, first: list[Any], done: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(table_entries, "CHUNK_ROWS", 3)
        patch.setattr(table_entries, "CHUNK_KEYS", 4)
        patch.setattr(TableEntries, "_first", 2)
        patch.setattr(PendingTable, "_first", 2)
        patch.setattr(table_writer, "CHUNK_ROWS", 3)
        path = tmp_path_factory.mktemp("iterations")
        batch = open_inline_batch(stack, path) if engine == "inline" else None
        table = batch.table(ROWS) if batch is not None else open_replica_table(stack, path)
        for one in first:
            table.put(one)
        mark = None
        open_now: list[tuple[Iterator[Any], Iterator[Any]]] = []
        for step, *arguments in done:
            if step == "begin":
                how, (spec, bounds), options = arguments
                call = partial(getattr(table, how), spec, **bounds, **options)
                open_now.append((iter(list(call())), call()))
            elif step == "put":
                table.put(arguments[0])
            elif step == "update" and arguments[0] in table:
                table.update(arguments[0], value=arguments[1])
            elif step == "delete":
                table.delete(arguments[0])
            elif step == "flush":
                table.flush()
            elif step == "mark" and batch is not None:
                mark = batch.mark()
            elif step == "back" and batch is not None and mark is not None:
                batch.back_to(mark)
                mark = None
            elif step == "go on" and arguments[0] < len(open_now):
                expected, found = open_now[arguments[0]]
                assert list(islice(found, arguments[1])) == list(islice(expected, arguments[1]))
            elif step == "leave" and arguments[0] < len(open_now):
                del open_now[arguments[0]]
        table.flush()
        for expected, found in open_now:
            assert list(found) == list(expected)
