"""A log that another process writes: look-ups up to the announced head, a crash of either, another file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from storage.errors import EventsRemoved, NotAStore, SnapshotClosed, StorageError, StoreClosed
from storage.files.environment import MAX_READERS
from storage.log.event_log import EventLog
from storage.log.log_follower import LogFollower
from storage.log.records import DROPPED
from storage.tables.schema import ModelSchema, TableSchema
from tests.storage.log.follower_process import CODEC, MODEL, NUMBERS, Counted
from tests.storage.processes import other

WRITER = "tests.storage.log.follower_process"


def open_follower(path: Path, head: int = 0) -> LogFollower:
    follower = LogFollower.open(path, CODEC, inline=[MODEL])
    follower.advance(head)
    return follower


def follow_after(_: str, path: Path) -> LogFollower:
    """Open a follower after the writer's command that is the first argument."""
    return open_follower(path)


def check(log: LogFollower, last: int) -> None:
    """Every look-up gives what was written up to `last`, and nothing more."""
    positions = list(range(1, last + 1))
    odd = [one for one in positions if one % 2]
    assert log.head == last
    assert [one.event for one in log.read(0, 10_000)] == [Counted(one) for one in positions]
    assert [one.position for one in log.read_commands(3, 4, 10_000)] == positions[3:7]
    assert [one.position for one in log.read_stream("b")] == odd
    assert [one.position for one in log.read_tag("all", 2)] == positions[2:]
    assert [one.position for one in log.read_tag("mod-1")] == positions[::3]
    assert log.stream_version("b") == len(odd)
    expected = [("a", last // 2), ("b", len(odd))]
    assert log.streams() == [one for one in expected if one[1]]
    assert log.streams(after="a") == expected[1:]
    for position in (1, last):
        record = log.command(f"c-{position}")
        assert record is not None
        assert (record.first, record.count) == (position, 1)
    assert log.command(f"c-{last + 1}") is None


@pytest.mark.kill
def test_events_of_another_process_are_read_up_to_the_position_that_was_told(store_path: Path) -> None:
    with other(WRITER, store_path) as writer:
        writer.do("until", 8)
        with open_follower(store_path) as log:
            assert (log.head, log.read(), log.streams(), log.stream_version("a")) == (0, [], [], 0)
            assert log.command("c-1") is None
            assert log.read_tag("all") == []
            log.advance(5)
            check(log, 5)
            log.advance(3)
            check(log, 5)
            # Meanwhile the tail goes into the indexes, with events that must not be visible yet.
            for head in (8, 600, 1300, 2100):
                writer.do("until", head + 50)
                log.advance(head)
                check(log, head)
            writer.kill()
            check(log, 2100)


def test_a_tail_that_is_known_goes_on_with_what_was_told_since(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 20), store_path) as log:
        for head in (4, 5, 11, 20):
            log.advance(head)
            check(log, head)
        assert log.stats()["commands"] == 20


def test_look_ups_stay_at_the_head_while_the_writer_goes_on(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 1), store_path) as log:
        writer.begin("until", 2_500)
        at = 0
        while at < 2_500:
            at = int(log.note(b"at") or b"")
            log.advance(at)
            check(log, at)
        assert writer.answer() == "2500"


def test_a_snapshot_of_a_state_beyond_the_head_is_not_shown(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 9), store_path) as log:
        log.advance(7)
        assert log.snapshot("b") is None
        log.advance(9)
        assert log.snapshot("b") == (5, "f", Counted(9))


def test_notes_and_inline_tables_are_those_of_the_last_commit(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 3), store_path) as log:
        assert log.note(b"at") == b"3"
        assert log.notes(b"a") == [(b"at", b"3")]
        with log.inline_snapshot() as snapshot:
            writer.do("until", 4)
            assert snapshot.checkpoint("numbers") == 3
            assert [row["id"] for row in snapshot.table("numbers", NUMBERS).all()] == [1, 2, 3]
        assert log.inline_positions() == {"numbers": 4}


@pytest.mark.kill
def test_the_writer_may_open_its_log_again_and_be_started_again(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 3), store_path) as log:
        writer.do("reopen")
        log.advance(int(writer.do("until", 6)))
        check(log, 6)
        history = log.history_id
        writer.kill()
        with other(WRITER, store_path) as successor:
            log.advance(int(successor.do("until", 700)))
            check(log, 700)
        assert log.history_id == history


def test_a_larger_map_is_taken_over(store_path: Path) -> None:
    small = 2 << 20
    with other(WRITER, store_path, "write", small) as writer:
        writer.do("until", 10)
        with LogFollower.open(store_path, CODEC, map_size=small, inline=[MODEL]) as log:
            log.advance(10)
            check(log, 10)
            table = log.inline_snapshot().table("numbers", NUMBERS)
            writer.do("reopen", 64 << 20)
            log.advance(int(writer.do("until", 300)))
            with log.inline_snapshot() as snapshot:
                assert snapshot.table("numbers", NUMBERS).count() == 300
            check(log, 300)
            assert log.stats()["bytes"] > small
            with pytest.raises(SnapshotClosed):
                table.get(1)


@pytest.mark.kill
def test_no_call_leaves_a_reader_behind_and_a_killed_process_loses_its_slots(store_path: Path) -> None:
    with other(WRITER, store_path) as writer:
        writer.do("until", 5)
        with other(WRITER, store_path, "read") as reader:
            reader.do("inline")  # this leaves a transaction open
            before = int(writer.do("readers"))
            assert writer.do("check") == "0"
            reader.kill()
            assert writer.do("check") != "0"
            assert int(writer.do("readers")) <= before
            assert writer.do("check") == "0"


def test_pages_are_used_again_while_another_process_follows(store_path: Path) -> None:
    with other(WRITER, store_path) as writer, follow_after(writer.do("until", 5), store_path) as log:
        info = log._live_environment().info()
        assert info["max_readers"] == MAX_READERS
        log.advance(5)
        check(log, 5)
        size = log.stats()["bytes"]
        for head in range(10, 300, 10):
            log.advance(int(writer.do("until", head)))
            check(log, head)
        # Each commit frees some ten pages, so the file would be far larger if readers held them.
        assert log.stats()["bytes"] < size + (300 << 12)


def test_a_file_that_was_replaced_or_removed_is_told(store_path: Path) -> None:
    with other(WRITER, store_path) as writer:
        writer.do("until", 5)
        log = open_follower(store_path, 5)
    copy = store_path.with_name("copy")
    shutil.copytree(store_path, copy)
    shutil.rmtree(store_path)
    with pytest.raises(StoreClosed, match="removed or replaced"):
        log.read()
    copy.rename(store_path)
    for use in (log.read, log.inline_snapshot, log.streams):
        with pytest.raises(StoreClosed, match="open the log again"):
            use()
    log.close()
    with open_follower(store_path, 5) as again:
        check(again, 5)


def test_what_is_not_there_to_be_followed_is_refused_and_left_alone(store_path: Path) -> None:
    with pytest.raises(NotAStore):
        open_follower(store_path)
    assert not store_path.exists()
    with EventLog.open(store_path, CODEC), pytest.raises(StorageError):
        open_follower(store_path)  # a process can open an environment only once
    with pytest.raises(StorageError, match="declares other inline models"):
        open_follower(store_path)
    with EventLog.open(store_path, CODEC, inline=[MODEL]):
        pass
    wider = ModelSchema("numbers", 1, (TableSchema("numbers", "id", ["pad"]),))
    with pytest.raises(StorageError, match="declares other inline models"):
        LogFollower.open(store_path, CODEC, inline=[wider])
    open_follower(store_path).close()


def test_a_closed_follower_says_so(store_path: Path) -> None:
    EventLog.open(store_path, CODEC, inline=[MODEL]).close()
    log = open_follower(store_path)
    snapshot = log.inline_snapshot()
    table = snapshot.table("numbers", NUMBERS)
    log.close()
    log.close()
    with pytest.raises(StoreClosed):
        log.note(b"at")
    with pytest.raises(SnapshotClosed):
        table.get(1)
    assert snapshot.closed


@pytest.mark.kill
def test_what_another_process_archives_is_read_and_what_it_removes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with other(WRITER, path) as writer:
        writer.do("until", 60)
        with LogFollower.open(path, CODEC, inline=[MODEL]) as follower:
            follower.advance_to_end()
            before = follower.read()
            for first in (1, 21):
                writer.do("archive", first, first + 19)
                assert follower.read() == before
                assert follower.read_stream("a") == [one for one in before if one.stream == "a"]
            assert [one.state for one in follower.archives()] == ["archived", "archived"]
            writer.do("remove", 1)
            # All blocks of it are in memory.
            assert [one.event is DROPPED for one in follower.read()] == [True] * 20 + [False] * 40
            with pytest.raises(EventsRemoved):
                follower.read_stream("a")
            assert follower.read(20) == before[20:]
