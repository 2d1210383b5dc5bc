"""Inline tables: a batch's changes, undoing them, what cannot be stored, and opening with other models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from storage.codec.codec import Codec
from storage.errors import (
    CodecError,
    CommitFailed,
    InvalidKey,
    InvalidSchema,
    KeyTooLong,
    RowMissing,
    SnapshotClosed,
    StorageError,
)
from storage.log.event_log import EventLog
from storage.log.inline_batch import InlineBatch
from storage.log.log_databases import DATABASES
from storage.tables.schema import ModelSchema, TableSchema
from tests.storage.log.test_event_log import FaultyLog, event, make_codec, os_error

NAMES = TableSchema("names", "name", ["owner", ("city", "owner")])
PAIRS = TableSchema("pairs", ("left", "right"))
MODEL = ModelSchema("names", 1, (NAMES, PAIRS))
OTHER = TableSchema("others", "id")


def open_log(path: Path, *models: ModelSchema, **options: Any) -> FaultyLog:
    return FaultyLog.open(path, make_codec(), durable=False, inline=models, **options)


@pytest.fixture
def log(store_path: Path) -> Iterator[FaultyLog]:
    with open_log(store_path, MODEL) as opened:
        yield opened


def batch_of(log: EventLog) -> InlineBatch:
    batch = log.inline_batch()
    assert batch is not None
    return batch


def put(log: EventLog, *rows: dict[str, Any]) -> None:
    batch = batch_of(log)
    for row in rows:
        batch.table(NAMES).put(row)
    log.append([event(log.head + 1)], inline=batch)


def stored(log: EventLog, table: TableSchema = NAMES) -> list[dict[str, Any]]:
    with log.inline_snapshot() as snapshot:
        return list(snapshot.table("names", table).all())


# -- a batch -------------------------------------------------------------------------------------------------
def test_rows_are_committed_with_the_batch_and_not_before(log: FaultyLog) -> None:
    batch = batch_of(log)
    batch.table(NAMES).put({"name": "a", "owner": 1})
    assert batch.view(NAMES).get("a") == {"name": "a", "owner": 1}
    assert stored(log) == []
    log.append([event(1)], inline=batch)
    assert stored(log) == [{"name": "a", "owner": 1}]
    assert log.inline_positions() == {"names": 1}


def test_a_batch_sees_what_is_stored_and_what_it_changed_in_every_kind_of_read(log: FaultyLog) -> None:
    put(log, *({"name": name, "owner": number} for number, name in enumerate("acegi")))
    batch = batch_of(log)
    table, view = batch.table(NAMES), batch.view(NAMES)
    table.put({"name": "b", "owner": 9})
    table.update("c", owner=-1)
    assert table.delete("e")
    assert not table.delete("e")
    with pytest.raises(RowMissing):
        table.update("e", owner=1)
    assert [row["name"] for row in view.all()] == list("abcgi")
    assert [row["name"] for row in view.range("owner")] == list("cagib")
    assert [row["name"] for row in view.range("owner", reverse=True, limit=2)] == list("bi")
    assert [row["name"] for row in view.find("owner", -1)] == ["c"]
    assert list(view.find("owner", 1)) == []
    assert [row and row["name"] for row in view.get_many("aebx")] == ["a", None, "b", None]
    assert ("b" in view, "e" in view, "i" in view) == (True, False, True)
    assert (len(view), view.count("owner", 0, 3), view.count(stop="c")) == (5, 1, 2)
    page = view.page("owner", size=3)
    assert [row["name"] for row in page.rows] == list("cag")
    assert [row["name"] for row in view.page("owner", size=3, token=page.token).rows] == list("ib")


def test_a_view_is_for_reading_alone(log: FaultyLog) -> None:
    assert not hasattr(batch_of(log).view(NAMES), "put")


def test_rows_are_copies(log: FaultyLog) -> None:
    batch = batch_of(log)
    row = {"name": "a", "owner": 1, "tags": ["x"]}
    batch.table(NAMES).put(row)
    row["tags"].append("y")
    batch.view(NAMES).get("a")["tags"].append("z")
    assert batch.view(NAMES).get("a")["tags"] == ["x"]


def test_a_projection_may_change_rows_while_it_iterates(log: FaultyLog) -> None:
    put(log, *({"name": f"{number:03}", "owner": 1} for number in range(250)))
    batch = batch_of(log)
    table = batch.table(NAMES)
    for row in table.find("owner", 1):
        if row["name"] < "240":
            table.delete(row["name"])
    assert [row["name"] for row in table.all()] == [f"{number}" for number in range(240, 250)]
    for row in table.range("owner"):
        table.update(row["name"], owner=0)
    assert table.count("owner", equal=0) == 10


# -- taking back ---------------------------------------------------------------------------------------------
def test_changes_since_a_mark_are_taken_back_however_often_a_row_changed(log: FaultyLog) -> None:
    put(log, {"name": "a", "owner": 1}, {"name": "b", "owner": 1})
    batch = batch_of(log)
    table = batch.table(NAMES)
    table.update("a", owner=2)
    table.put({"name": "c", "owner": 2})
    outer = batch.mark()
    table.update("a", owner=3)
    table.delete("b")
    inner = batch.mark()
    table.delete("a")
    table.put({"name": "b", "owner": 4})
    table.put({"name": "d", "owner": 4})
    assert [row["name"] for row in table.find("owner", 4)] == ["b", "d"]
    batch.back_to(inner)
    assert [row["name"] for row in table.range("owner")] == ["c", "a"]
    assert len(table) == 2
    batch.back_to(outer)
    assert [(row["name"], row["owner"]) for row in table.range("owner")] == [("b", 1), ("a", 2), ("c", 2)]
    assert len(table) == 3
    log.append([], inline=batch)
    assert [(row["name"], row["owner"]) for row in stored(log)] == [("a", 2), ("b", 1), ("c", 2)]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"name": "a", "owner": {1}, "more": object()}, InvalidKey, "owner"),
        ({"name": "a", "owner": "x" * 600}, KeyTooLong, "value and key"),
        ({"name": "a", "owner": 1, "more": object()}, CodecError, r"names\.names, row 'a'"),
    ],
)
def test_a_row_that_can_not_be_stored_is_found_before_the_batch_and_can_be_taken_back(
    log: FaultyLog, row: dict[str, Any], error: type[StorageError], message: str
) -> None:
    batch = batch_of(log)
    batch.table(NAMES).put({"name": "good", "owner": 1})
    mark = batch.mark()
    batch.table(NAMES).put(row)
    with pytest.raises(error, match=message):
        batch.prepare()
    batch.back_to(mark)
    batch.prepare()
    log.append([event(1)], inline=batch)
    assert [found["name"] for found in stored(log)] == ["good"]


def test_a_batch_that_is_not_appended_leaves_nothing(log: FaultyLog) -> None:
    put(log, {"name": "a", "owner": 1})
    batch = batch_of(log)
    batch.table(NAMES).delete("a")
    batch.close()
    with pytest.raises(SnapshotClosed, match="a batch of the log"):
        batch.table(PAIRS).get(("x", "y"))
    assert len(stored(log)) == 1


# -- faults --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_commit_that_failed_tables_and_events_agree(log: FaultyLog, when: str) -> None:
    put(log, {"name": "a", "owner": 1})
    setattr(log, when, os_error(5))
    with pytest.raises(CommitFailed):
        put(log, {"name": "b", "owner": 2})
    log.reopen()
    assert log.head == len(stored(log)) == log.inline_positions()["names"] == (1 if when == "before" else 2)
    put(log, {"name": "c", "owner": 3})
    assert stored(log)[-1] == {"name": "c", "owner": 3}


def test_reopening_and_closing_end_snapshots_and_batches(log: FaultyLog) -> None:
    put(log, {"name": "a", "owner": 1})
    snapshot, batch = log.inline_snapshot(), batch_of(log)
    table = snapshot.table("names", NAMES)
    batch.table(NAMES)
    log.reopen()
    for read in (lambda: table.get("a"), lambda: list(batch.view(NAMES).all())):
        with pytest.raises(SnapshotClosed):
            read()
    assert snapshot.closed
    log.inline_snapshot()
    log.close()
    with pytest.raises(StorageError):
        log.inline_snapshot()


def test_a_batch_is_written_whole_or_not_when_the_map_is_full(store_path: Path) -> None:
    with open_log(store_path, MODEL, map_size=1 << 20) as log:
        put(log, {"name": "a", "owner": 1})
        with pytest.raises(StorageError, match="map is full"):
            put(log, *({"name": f"{number}", "owner": 1, "text": "x" * 3000} for number in range(400)))
        assert (log.head, len(stored(log))) == (1, 1)
        put(log, {"name": "b", "owner": 1})
        assert len(stored(log)) == 2


# -- opening -------------------------------------------------------------------------------------------------
def test_tables_and_positions_are_there_when_the_log_is_opened_again(store_path: Path) -> None:
    with open_log(store_path, MODEL) as log:
        put(log, {"name": "a", "owner": 1})
    with open_log(store_path, MODEL) as log:
        assert (stored(log), log.inline_positions()) == ([{"name": "a", "owner": 1}], {"names": 1})


def test_a_model_is_behind_when_events_were_written_without_it(store_path: Path) -> None:
    with open_log(store_path, MODEL) as log:
        put(log, {"name": "a", "owner": 1})
    with EventLog.open(store_path, make_codec()) as plain:
        plain.append([event(2)])
        assert plain.inline_batch() is None
        assert plain.inline_positions() == {}
        with pytest.raises(StorageError, match="without inline models"):
            plain.inline_snapshot()
    with open_log(store_path, MODEL) as log:
        assert (log.head, log.inline_positions(), len(stored(log))) == (2, {"names": 1}, 1)


@pytest.mark.parametrize(
    "changed",
    [
        ModelSchema("names", 2, (NAMES, PAIRS)),
        ModelSchema("names", 1, (NAMES,)),
        ModelSchema("names", 1, (TableSchema("names", "name", ["owner"]), PAIRS)),
    ],
    ids=["its version", "a table less", "an index less"],
)
def test_a_model_that_changed_begins_anew(store_path: Path, changed: ModelSchema) -> None:
    with open_log(store_path, MODEL) as log:
        put(log, {"name": "a", "owner": 1})
    with open_log(store_path, changed) as log:
        assert (stored(log, changed.tables[0]), log.inline_positions()) == ([], {"names": 0})
    with open_log(store_path, MODEL) as log:
        assert (stored(log), log.inline_positions()) == ([], {"names": 0})


def test_models_that_are_gone_are_dropped_and_take_no_room(store_path: Path) -> None:
    many = [
        ModelSchema(f"m{number}", 1, tuple(TableSchema(f"t{table}", "id", ["x"]) for table in range(20)))
        for number in range(3)
    ]
    with open_log(store_path, MODEL, *many) as log:
        put(log, {"name": "a", "owner": 1})
        databases = log._live_environment().stat()["entries"]
    with open_log(store_path) as log:
        assert log.inline_positions() == {}
        assert log._live_environment().stat()["entries"] == databases - 4 - 3 * 40
    with open_log(store_path, MODEL) as log:
        assert log.inline_positions() == {"names": 0}


def test_a_drop_that_was_cut_short_is_finished_before_the_model_is_used_again(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_log(store_path, MODEL) as log:
        put(log, {"name": "a", "owner": 1})
        inline = log._inline
        assert inline is not None
        with monkeypatch.context() as patch:
            patch.setattr("storage.log.inline_tables.POSITION", None)
            with pytest.raises(TypeError):
                inline._drop(log._live_environment(), "names", _databases(log))
    with open_log(store_path, MODEL) as log:
        assert (stored(log), log.inline_positions()) == ([], {"names": 0})
        put(log, {"name": "b", "owner": 1})
        assert len(stored(log)) == 1


def _databases(log: EventLog) -> list[str]:
    with log._live_environment().begin() as transaction:
        return [key.decode() for key, _ in transaction.cursor() if key.startswith(b"inline/")]


def test_a_table_of_another_model_is_refused_by_name(log: FaultyLog) -> None:
    with pytest.raises(
        InvalidSchema, match=r"table 'others' is not in the log in .*inline models are: names"
    ):
        batch_of(log).table(OTHER)
    with log.inline_snapshot() as snapshot, pytest.raises(InvalidSchema, match="others"):
        snapshot.table("names", OTHER)


def test_a_snapshot_knows_position_and_version(log: FaultyLog) -> None:
    put(log, {"name": "a", "owner": 1})
    with log.inline_snapshot() as snapshot:
        put(log, {"name": "b", "owner": 1})
        assert (snapshot.checkpoint("names"), snapshot.version("names")) == (1, 1)
        assert len(snapshot.table("names", NAMES)) == 1


def test_the_log_reads_and_writes_nothing_of_it_without_inline_models(store_path: Path) -> None:
    with EventLog.open(store_path, Codec(), inline=[]) as log:
        log.append([], notes=[(b"k", b"v")])
        assert log._live_environment().stat()["entries"] == 3 + len(DATABASES)
