"""A replica that another process fills: a reader sees its commits, each at one moment, and new files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.codec.codec import Codec
from storage.errors import InvalidSchema, NotAStore, SnapshotClosed, StorageError, StoreClosed
from storage.files.environment import DATA_FILE
from storage.replica import active_builds, replica_reader
from storage.replica.commit_lock import commit_of_several
from storage.replica.replica_reader import ReplicaReader
from storage.replica.replica_store import ReplicaStore, Snapshot
from storage.tables.schema import ModelSchema
from tests.helpers import PATIENCE
from tests.storage.processes import Other, other
from tests.storage.replica.replica_process import MAP, NEW_ROWS, NEW_TABLES, ROWS, TABLES, TEXTS, TOTALS

APPLIER = "tests.storage.replica.replica_process"


class Expired(SnapshotClosed):
    pass


def applier(path: Path, *models: str) -> Any:
    return other(APPLIER, path, "apply", *models)


def open_reader(path: Path, *models: ModelSchema) -> ReplicaReader:
    return ReplicaReader.open(path, Codec(), models or [TABLES], map_size=MAP)


@contextmanager
def applied(
    path: Path, *models: ModelSchema, names: tuple[str, ...] = ("tables",)
) -> Iterator[tuple[Other, ReplicaReader]]:
    """A process that has applied the first five events, and a reader of its replica."""
    with applier(path, *names) as process:
        process.do("apply", 1, 5)
        with open_reader(path, *models) as reader:
            yield process, reader


def numbers(snapshot: Snapshot) -> list[int]:
    return [row["number"] for row in snapshot.table("tables", ROWS).range("number")]


def read(reader: ReplicaReader) -> tuple[int, list[int]]:
    with reader.snapshot() as snapshot:
        return snapshot.checkpoint("tables"), numbers(snapshot)


def test_what_another_process_commits_is_seen_by_the_next_snapshot_and_no_earlier_one(
    store_path: Path,
) -> None:
    with applied(store_path) as (process, reader):
        with reader.snapshot(["tables"]) as snapshot:
            process.do("apply", 6, 8)
            assert (snapshot.checkpoint("tables"), numbers(snapshot)) == (5, [1, 2, 3, 4, 5])
            assert (snapshot.version("tables"), snapshot.changed("tables")) == (1, 5)
            assert snapshot.build("tables").startswith("tables@1.")
        assert read(reader) == (8, [1, 2, 3, 4, 5, 6, 7, 8])
        with reader.snapshot() as one, reader.snapshot() as another:
            assert one.state is another.state
        with pytest.raises(InvalidSchema):
            one.state.opened("others")


def test_a_build_that_was_activated_is_read_and_one_in_the_databases_of_an_earlier_one(
    store_path: Path,
) -> None:
    with applied(store_path) as (process, reader):
        with reader.snapshot() as before:
            for last in range(10, 60, 10):
                process.do("build", "tables")
                process.do("apply", last, last + 3)
                assert read(reader)[0] == last + 3
                process.do("activate", "tables")
                assert read(reader) == (last + 3, list(range(last, last + 4)))
            assert numbers(before) == [1, 2, 3, 4, 5]
            generations = int(reader.snapshot().build("tables").rpartition(".")[2])
        assert generations == 5


def test_the_old_version_of_a_model_is_read_until_the_new_one_is_active(store_path: Path) -> None:
    with applied(store_path):
        pass
    with applier(store_path, "new") as process, open_reader(store_path, NEW_TABLES) as reader:
        with reader.snapshot() as snapshot:
            assert snapshot.version("tables") == 1
            assert numbers(snapshot) == [1, 2, 3, 4, 5]
        process.do("activate", "tables")
        with reader.snapshot() as snapshot:
            assert (snapshot.version("tables"), snapshot.checkpoint("tables")) == (2, 0)
            assert list(snapshot.table("tables", NEW_ROWS).range("half")) == []


def test_handles_of_many_builds_never_run_out(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_builds, "_GENERATIONS", 1)
    monkeypatch.setattr(active_builds, "_OTHER_DATABASES", 2)
    with applied(store_path) as (process, reader):
        snapshot = reader.snapshot(closed=Expired)
        table = snapshot.table("tables", ROWS)
        for last in (10, 20, 30):
            process.do("build", "tables")
            process.do("apply", last, last + 3)
            process.do("activate", "tables")
            assert read(reader) == (last + 3, list(range(last, last + 4)))
        with pytest.raises(Expired):
            table.get(1)


def test_a_replica_that_was_begun_anew_is_read_from_its_new_files(store_path: Path) -> None:
    with applied(store_path) as (process, reader):
        table = (snapshot := reader.snapshot(closed=Expired)).table("tables", ROWS)
        assert process.do("history", "h2") == "True"  # another history, so that the replica is reset
        assert read(reader) == (0, [])
        assert snapshot.closed
        with pytest.raises(Expired):
            table.get(1)
        process.do("apply", 7, 9)
        assert read(reader) == (9, [7, 8, 9])


def test_a_replica_without_its_files_says_so_until_they_are_there_again(store_path: Path) -> None:
    with applied(store_path) as (process, reader):
        process.do("close")
        place = store_path / DATA_FILE
        place.rename(aside := store_path / "aside")
        for _ in range(2):
            with pytest.raises(StoreClosed, match="being reset"):
                reader.snapshot()
        place.touch()
        with pytest.raises(StoreClosed, match="being reset"):
            reader.snapshot()
        assert reader.readable()
        aside.rename(place)
        assert read(reader)[0] == 5


@pytest.mark.kill
def test_a_killed_process_leaves_what_it_committed_and_its_successor_goes_on(store_path: Path) -> None:
    with applied(store_path) as (process, reader):
        process.kill()
        assert read(reader) == (5, [1, 2, 3, 4, 5])
        with applier(store_path, "tables") as successor:
            successor.do("apply", 6, 6)
            assert read(reader) == (6, [1, 2, 3, 4, 5, 6])


@pytest.mark.kill
def test_the_slots_of_a_killed_reader_are_freed_and_its_pages_used_again(store_path: Path) -> None:
    with applied(store_path) as (process, _):
        with other(APPLIER, store_path, "read", "tables") as reader:
            reader.do("snapshot")
            assert process.do("check") == "0"
            pinned = grown(process, store_path, 1)
            reader.kill()
        assert process.do("check") != "0"
        grown(process, store_path, 2)
        assert pinned > 100 * 4096
        assert grown(process, store_path, 3) == 0


def grown(process: Other, path: Path, times: int) -> int:
    """How many bytes the file grows by with two hundred commits."""
    before = (path / DATA_FILE).stat().st_size
    process.do("apply", 200 * times, 200 * times + 200)
    return (path / DATA_FILE).stat().st_size - before


def test_a_model_in_sqlite_is_of_the_same_moment_as_the_tables(store_path: Path) -> None:
    go_on = store_path.parent / "go-on"
    go_on.touch()
    with applied(store_path, TABLES, TEXTS, names=("tables", "texts")) as (process, reader):
        process.begin("forever")
        assert process.answer() == "begun"
        seen: set[int] = set()
        end = time.monotonic() + PATIENCE
        while len(seen) < 100 and time.monotonic() < end:
            with reader.snapshot(["tables", "texts"]) as snapshot:
                position = snapshot.checkpoint("tables")
                [(number,)] = snapshot.target("texts").execute("SELECT number FROM texts").fetchall()
                assert snapshot.checkpoint("texts") == number == position == numbers(snapshot)[-1]
                seen.add(position)
        go_on.unlink()
        process.answer()
        assert len(seen) == 100
        with reader.snapshot(["tables"]) as snapshot, pytest.raises(InvalidSchema):
            snapshot.target("texts")


def test_a_model_in_sqlite_that_is_ahead_is_waited_for_during_a_commit_and_read_as_it_is_after_a_failed_one(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with applied(store_path, TABLES, TEXTS, names=("tables", "texts")) as (process, reader):
        process.do("close")
        (file,) = store_path.glob("engines/*/model.sqlite")
        import sqlite3

        db = sqlite3.connect(file)
        db.execute("UPDATE onewriter_checkpoint SET position = 6")
        db.commit()
        db.close()
        monkeypatch.setattr(replica_reader, "_PATIENCE", 0.1)
        with commit_of_several(store_path), pytest.raises(StorageError, match="at one moment"):
            reader.snapshot()
        monkeypatch.undo()
        for _ in range(2):
            with reader.snapshot() as snapshot:
                assert (snapshot.checkpoint("tables"), snapshot.checkpoint("texts")) == (5, 6)
        assert reader._accepted is not None


@pytest.mark.kill
def test_a_database_that_was_begun_anew_alone_is_opened_again(store_path: Path) -> None:
    with applied(store_path, TABLES, TEXTS, names=("tables", "texts")) as (process, reader):
        before = reader.snapshot()
        process.kill()
        (file,) = store_path.glob("engines/*/model.sqlite")
        file.write_bytes(b"no database" * 1000)
        for name in ("-wal", "-shm"):
            file.with_name(file.name + name).unlink(missing_ok=True)
        with applier(store_path, "tables", "texts") as successor:
            with reader.snapshot() as snapshot:
                assert (snapshot.checkpoint("tables"), snapshot.checkpoint("texts")) == (5, 0)
            successor.do("apply", 6, 6)
            with reader.snapshot() as snapshot:
                assert (snapshot.checkpoint("tables"), snapshot.checkpoint("texts")) == (6, 6)
        before.close()


def test_objects_in_the_memory_of_the_other_process_are_refused(store_path: Path) -> None:
    with applied(store_path, TABLES, TOTALS, names=("tables", "totals")) as (_, reader):
        with pytest.raises(StorageError, match="ask for them by a query"):
            reader.snapshot(["tables", "totals"])
        with reader.snapshot() as snapshot:
            assert (snapshot.checkpoint("tables"), snapshot.checkpoint("totals")) == (5, 5)
            with pytest.raises(InvalidSchema):
                snapshot.target("totals")


def test_what_is_not_there_to_be_read_is_refused_and_left_alone(store_path: Path) -> None:
    with pytest.raises(StoreClosed, match="does not exist"):
        open_reader(store_path)
    assert not store_path.exists()
    store_path.mkdir()
    (store_path / "letter").write_text("dear")
    with pytest.raises(StoreClosed):
        open_reader(store_path)
    assert [one.name for one in store_path.iterdir()] == ["letter"]
    (store_path / DATA_FILE).write_text("dear" * 100)
    with pytest.raises(StorageError):
        open_reader(store_path)


def test_a_log_is_no_replica_and_a_replica_is_read_by_another_process_only(store_path: Path) -> None:
    from storage.log.event_log import EventLog

    EventLog.open(store_path / "log", Codec()).close()
    with pytest.raises(NotAStore, match="holds a log"):
        open_reader(store_path / "log")
    options: dict[str, Any] = {"history_id": "h1", "log_head": 0, "map_size": MAP}
    with ReplicaStore.open(store_path / "replica", [TABLES], Codec(), **options), pytest.raises(StorageError):
        open_reader(store_path / "replica")


@pytest.mark.kill
def test_a_model_that_the_replica_does_not_hold_yet_is_waited_for(store_path: Path) -> None:
    with applied(store_path, TABLES, TEXTS) as (process, reader):
        with pytest.raises(StoreClosed, match="'texts' yet"):
            reader.snapshot()
        process.kill()
        with applier(store_path, "tables", "texts"), reader.snapshot() as snapshot:
            assert (snapshot.checkpoint("tables"), snapshot.checkpoint("texts")) == (5, 0)


def test_a_closed_reader_ends_its_snapshots_and_says_so(store_path: Path) -> None:
    with applied(store_path) as (_, reader):
        table = reader.snapshot(closed=Expired).table("tables", ROWS)
        reader.close()
        reader.close()
        with pytest.raises(Expired):
            table.get(1)
        with pytest.raises(StoreClosed, match="is closed"):
            reader.snapshot()
        assert reader.readable()
