"""A search for a value finds the rows with it, and none whose text or bytes continue with a NUL after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.codec.keys import above_equal, encode_key
from storage.log.event_log import EventLog
from storage.replica.replica_reader import ReplicaReader
from storage.replica.replica_store import ReplicaStore
from storage.tables.index import IndexSpec, each
from storage.tables.reader import TableReader
from storage.tables.schema import ModelSchema, TableSchema
from tests.oracle.value_forms import order
from tests.oracle.values import keys, raws, texts

TEXTS = ["", "\0", "\0b", "a", "a\0", "a\0\0", "a\0b", "a\0\xff", "a\x01", "a\xff", "ab"]
BYTES = [text.encode("latin-1") for text in TEXTS]
VALUES = TEXTS + BYTES

ROWS = TableSchema("rows", "n", ["v", ("v", "n"), ("g", "v"), each("many"), ("g", each("many"))])
KEYED = TableSchema("keyed", "v")
PAIRS = TableSchema("pairs", ("v", "n"))
MODEL = ModelSchema("m", 1, (ROWS, KEYED, PAIRS))

Find = Callable[[TableSchema], TableReader]


def row(number: int) -> dict[str, Any]:
    value = VALUES[number]
    return {"n": number, "v": value, "g": 1, "many": [value, -1]}


def put(tables: Any, numbers: Any) -> None:
    for number in numbers:
        for table in MODEL.tables:
            tables(table).put(row(number))


def in_a_replica(path: Path, closing: ExitStack) -> Find:
    store = filled_replica(path, closing)
    snapshot = closing.enter_context(store.snapshot())
    return lambda table: snapshot.table("m", table)


def filled_replica(path: Path, closing: ExitStack) -> ReplicaStore:
    store = ReplicaStore.open(path, [MODEL], Codec(), history_id="h", log_head=10)
    closing.callback(store.close)
    with store.write() as transaction:
        put(transaction.tables("m").__getitem__, range(len(VALUES)))
        transaction.set_checkpoint("m", 1)
    return store


def in_another_process_s_replica(path: Path, closing: ExitStack) -> Find:
    filled_replica(path, closing).close()
    reader = ReplicaReader.open(path, Codec(), [MODEL])
    closing.callback(reader.close)
    snapshot = closing.enter_context(reader.snapshot())
    return lambda table: snapshot.table("m", table)


def among_a_projection_s_own_changes(path: Path, closing: ExitStack) -> Find:
    store = ReplicaStore.open(path, [MODEL], Codec(), history_id="h", log_head=10)
    closing.callback(store.close)
    transaction = closing.enter_context(store.write())
    put(transaction.tables("m").__getitem__, range(len(VALUES)))
    return transaction.tables("m").__getitem__


def in_an_inline_batch(path: Path, closing: ExitStack, stored: int) -> Find:
    """`stored` of the rows are on disk, and the others wait in the batch."""
    log = closing.enter_context(EventLog.open(path, Codec(), durable=False, inline=[MODEL]))
    batch: Any = log.inline_batch()
    put(batch.table, range(stored))
    log.append([], inline=batch)
    batch = log.inline_batch()
    closing.callback(batch.close)
    put(batch.table, range(stored, len(VALUES)))
    return batch.view  # type: ignore[no-any-return]


WHERE = {
    "a replica": in_a_replica,
    "another process's replica": in_another_process_s_replica,
    "a projection's own changes": among_a_projection_s_own_changes,
    "an inline model on disk": lambda path, closing: in_an_inline_batch(path, closing, len(VALUES)),
    "an inline batch": lambda path, closing: in_an_inline_batch(path, closing, 0),
    "an inline batch over its disk": lambda path, closing: in_an_inline_batch(
        path, closing, len(VALUES) // 2
    ),
}


@pytest.fixture(params=WHERE)
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Find]:
    with ExitStack() as closing:
        yield WHERE[request.param](tmp_path / "store", closing)


def numbers(rows: Any) -> list[int]:
    return [row["n"] for row in rows]


SEARCHES: list[tuple[TableSchema, IndexSpec | None, tuple[Any, ...]]] = [
    (ROWS, "v", ()),
    (ROWS, ("v", "n"), ()),
    (ROWS, ("g", "v"), (1,)),
    (ROWS, each("many"), ()),
    (ROWS, ("g", each("many")), (1,)),
    (KEYED, None, ()),
    (PAIRS, None, ()),
]


@pytest.mark.parametrize(("table", "index", "lead"), SEARCHES, ids=lambda one: str(one)[:30])
def test_each_look_up_finds_the_rows_that_have_the_value_and_no_other(
    found: Find, table: TableSchema, index: IndexSpec | None, lead: tuple[Any, ...]
) -> None:
    rows = found(table)
    prepared = table.prepare(index, equal=len(lead) + 1)
    led = table.prepare(index, equal=len(lead))
    pinned = {"equal": lead} if lead else {}
    for number, value in enumerate(VALUES):
        equal = (*lead, value)
        inclusive = {"start": value, "stop": value, "include_stop": True}
        for reverse in (False, True):
            assert numbers(rows.find(index, *equal, reverse=reverse)) == [number]
            assert numbers(rows.range(index, equal=equal, reverse=reverse)) == [number]
            assert numbers(rows.range(index, **pinned, **inclusive, reverse=reverse)) == [number]
            assert numbers(rows.page(index, equal=equal, reverse=reverse, size=1).rows) == [number]
            assert rows.page(index, equal=equal, reverse=reverse, size=1).token is None
        assert len(list(rows.keys(index, equal=equal))) == 1
        assert rows.count(index, equal=equal) == rows.count(index, **pinned, **inclusive) == 1
        assert numbers(prepared(rows, *equal)) == numbers(led(rows, *lead, **inclusive)) == [number]
        assert prepared.count(rows, *equal) == len(list(prepared.keys(rows, *equal))) == 1


def test_ranges_end_before_and_after_a_value_rightly(found: Find) -> None:
    for kind in (TEXTS, BYTES):
        ordered = sorted(kind)
        for place, value in enumerate(ordered):
            below = found(KEYED).range(start=ordered[0], stop=value)
            assert [row["v"] for row in below] == ordered[:place]
            up_to = found(KEYED).range(start=ordered[0], stop=value, include_stop=True)
            assert [row["v"] for row in up_to] == ordered[: place + 1]
            above = found(KEYED).range(start=value, stop=ordered[-1], include_stop=True)
            assert [row["v"] for row in above] == ordered[place:]


def test_a_prefix_finds_what_goes_on_with_a_nul(found: Find) -> None:
    for prefix in TEXTS:
        want = sorted(text for text in TEXTS if text.startswith(prefix))
        assert [row["v"] for row in found(ROWS).prefix("v", prefix)] == want
        assert [row["v"] for row in found(ROWS).prefix(("g", "v"), 1, prefix)] == want
        assert [row["v"] for row in found(KEYED).prefix(None, prefix)] == want


some_keys = st.one_of(texts, raws, keys, st.tuples(texts | raws, keys), st.tuples(keys, texts | raws))


@given(some_keys, some_keys)
def test_below_the_bound_is_what_equals_and_what_begins_with_equal_components(one: Any, other: Any) -> None:
    low, high = encode_key(one), above_equal(encode_key(one))
    assert high is not None
    parts, others = (order(key if isinstance(key, tuple) else (key,)) for key in (one, other))
    assert (low <= encode_key(other) < high) == (others[: len(parts)] == parts)
