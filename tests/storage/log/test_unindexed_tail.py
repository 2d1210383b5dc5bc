"""The tail of the log: look-ups find what the indexes on disk lack, after a crash too."""

from __future__ import annotations

import shutil
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import pytest

from storage.codec.codec import Codec
from storage.errors import DamagedStore, OutOfOrder
from storage.log import unindexed_tail as tail
from storage.log.event_log import EventLog
from storage.log.records import U64, CommandRecord, RecordedEvent


@dataclass(frozen=True, slots=True)
class Counted:
    number: int


CODEC = Codec()
CODEC.register(Counted)


def event(position: int, stream: str = "a", version: int | None = None, command: str = "") -> RecordedEvent:
    return RecordedEvent(
        position,
        stream,
        version or position,
        Counted(position),
        "Counted",
        0,
        command or f"c-{position}",
        tags=("all", f"mod-{position % 3}"),
    )


def command(position: int) -> CommandRecord:
    return CommandRecord(f"c-{position}", position, 1, b"d%d" % position, "a", position)


def fill(log: EventLog, first: int, last: int) -> None:
    for position in range(first, last + 1):
        log.append([event(position)], [command(position)])


def check(log: EventLog, last: int) -> None:
    """Every look-up gives what was written."""
    positions = list(range(1, last + 1))
    assert log.head == log.stream_version("a") == last
    assert [one.position for one in log.read_stream("a")] == positions
    assert [one.position for one in log.read_stream("a", 3, 4)] == positions[3:7]
    assert [one.position for one in log.read_tag("all", 2, 3)] == positions[2:5]
    assert [one.position for one in log.read_tag("mod-1")] == [one for one in positions if one % 3 == 1]
    assert log.streams() == [("a", last)]
    assert [log.command(f"c-{position}") for position in positions] == [command(one) for one in positions]
    assert log.stats()["streams"] == log.stats()["commands"] == last
    assert log.stats()["tags"] == 2 * last


def on_disk(path: Path) -> dict[str, int]:
    """The number of entries in each database of a copy of the file."""
    with lmdb.open(str(path), readonly=True, lock=False, max_dbs=8) as environment:
        names = ("events", "streams", "tags", "commands")
        databases = {name: environment.open_db(name.encode(), create=False) for name in names}
        with environment.begin() as transaction:
            return {name: transaction.stat(one)["entries"] for name, one in databases.items()}


def crashed(path: Path, to: Path) -> Path:
    """The store as a crash of the process at this moment would leave it."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(path, to))


@pytest.fixture(autouse=True)
def short_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "SHORTEST", 10)
    monkeypatch.setattr(tail, "LONGEST", 40)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog.open(tmp_path / "log", CODEC) as log:
        yield log


def test_a_commit_leaves_the_indexes_alone_until_the_tail_is_full(log: EventLog, tmp_path: Path) -> None:
    fill(log, 1, 10)
    assert on_disk(crashed(log.path, tmp_path / "copy")) == {
        "events": 10,
        "streams": 0,
        "tags": 0,
        "commands": 0,
    }
    check(log, 10)
    fill(log, 11, 11)
    assert on_disk(crashed(log.path, tmp_path / "copy")) == {
        "events": 11,
        "streams": 10,
        "tags": 20,
        "commands": 10,
    }
    check(log, 11)


@pytest.mark.parametrize("last", [1, 9, 10, 11, 12, 25])
def test_after_a_crash_the_tail_is_read_again(log: EventLog, tmp_path: Path, last: int) -> None:
    fill(log, 1, last)
    with EventLog.open(crashed(log.path, tmp_path / "copy"), CODEC) as copy:
        check(copy, last)
        fill(copy, last + 1, last + 15)
        check(copy, last + 15)
    with EventLog.open(tmp_path / "copy", CODEC) as copy:
        check(copy, last + 15)


def test_a_log_that_was_closed_has_no_tail(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "log", CODEC) as log:
        fill(log, 1, 7)
    assert on_disk(tmp_path / "log")["streams"] == on_disk(tmp_path / "log")["commands"] == 7
    with EventLog.open(tmp_path / "log", CODEC) as log:
        check(log, 7)


def test_a_large_batch_goes_into_the_indexes_at_once(log: EventLog, tmp_path: Path) -> None:
    fill(log, 1, 5)
    log.append([event(one) for one in range(6, 47)], [command(one) for one in range(6, 47)])
    assert on_disk(crashed(log.path, tmp_path / "copy"))["streams"] == 46
    check(log, 46)


def test_commands_of_several_events_streams_and_none_are_found_after_a_crash(
    log: EventLog, tmp_path: Path
) -> None:
    records = [
        CommandRecord("two", 1, 2, b"1", "a", 2),
        CommandRecord("elsewhere", 3, 2, b"2", "own", 7),
        CommandRecord("nothing", 4, 0, b"3", "a", 2),
        CommandRecord("last", 5, 1, b"4", "a", 3),
    ]
    log.append(
        [
            event(1, "a", 1, "two"),
            event(2, "a", 2, "two"),
            event(3, "b", 1, "elsewhere"),
            event(4, "c", 1, "elsewhere"),
            event(5, "a", 3, "last"),
        ],
        records,
    )
    log.append([event(6, "a", 4, "no record")])
    with EventLog.open(crashed(log.path, tmp_path / "copy"), CODEC) as copy:
        for found in (log, copy):
            assert [found.command(record.command_id) for record in records] == records
            assert found.command("no record") is None
            assert found.streams() == [("a", 4), ("b", 1), ("c", 1)]
            assert found.streams("", 2, "a") == [("b", 1), ("c", 1)]


def test_what_is_in_the_tail_is_not_written_twice(log: EventLog) -> None:
    fill(log, 1, 3)
    for ids in (["c-2"], ["new", "new"]):
        records = [CommandRecord(one, 4 + n, 1, b"", "a", 4 + n) for n, one in enumerate(ids)]
        with pytest.raises(OutOfOrder, match="command id"):
            log.append([event(4 + n, command=one) for n, one in enumerate(ids)], records)
    with pytest.raises(OutOfOrder, match="command id"):
        log.append([], [CommandRecord("c-2", 3, 0, b"", "a", 3)])
    with pytest.raises(OutOfOrder, match="version 3 of stream 'a' does not follow"):
        log.append([event(4, version=3)])
    check(log, 3)


def test_an_id_is_refused_that_is_twice_in_a_batch_with_and_without_events(log: EventLog) -> None:
    with pytest.raises(OutOfOrder, match="twice"):
        log.append(
            [event(1, command="x")],
            [CommandRecord("x", 1, 1, b"", "a", 1), CommandRecord("x", 0, 0, b"", "a", 0)],
        )
    assert (log.head, log.command("x")) == (0, None)


def test_a_record_of_fewer_events_than_bear_its_id_is_the_same_after_a_crash(
    log: EventLog, tmp_path: Path
) -> None:
    record = CommandRecord("y", 1, 1, b"d", "a", 1)
    log.append([event(1, command="y"), event(2, command="y")], [record])
    with EventLog.open(crashed(log.path, tmp_path / "copy"), CODEC) as copy:
        assert log.command("y") == copy.command("y") == record


def test_a_command_whose_event_was_encoded_without_its_origin_is_kept_all_the_same(
    log: EventLog, tmp_path: Path
) -> None:
    log.append([event(1)], [command(1)], encoded=[log.encode_event(event(1))])
    with EventLog.open(crashed(log.path, tmp_path / "copy"), CODEC) as copy:
        assert log.command("c-1") == copy.command("c-1") == command(1)


def test_a_tail_that_was_taken_stays_as_it_was_when_it_goes_into_the_indexes(log: EventLog) -> None:
    fill(log, 1, 10)
    taken = log._tail
    fill(log, 11, 11)
    assert log._tail is not taken
    assert len(taken.streams) == len(taken.commands) == 10


def test_a_damaged_tail_is_told_with_its_position(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "log", CODEC) as log:
        fill(log, 1, 5)
        copy = crashed(log.path, tmp_path / "copy")
    with lmdb.open(str(copy), max_dbs=8) as environment, environment.begin(write=True) as txn:
        txn.put(U64.pack(4), b"\xc1", db=environment.open_db(b"events", txn=txn))
    with pytest.raises(DamagedStore, match=r"event at position 4 .* checksum"):
        EventLog.open(copy, CODEC)


class DamagedIndex:
    """A cursor over two pages of keys, the second of which begins with `d`; fails when asked for ever."""

    def __init__(self, first: list[bytes], second: list[bytes]) -> None:
        self._keys = first + second
        self._first = len(first)
        self._at = 0
        self._calls = 0

    def set_range(self, key: bytes) -> bool:
        page = (self._first, len(self._keys)) if key >= b"d" else (0, self._first)
        self._at = bisect_left(self._keys, key, *page)
        return self._moved()

    def next(self) -> bool:
        self._at += 1
        return self._moved()

    def prev(self) -> bool:
        self._at -= 1
        return self._moved()

    def last(self) -> bool:
        self._at = len(self._keys) - 1
        return self._moved()

    def key(self) -> bytes:
        return self._keys[self._at] if self._at < len(self._keys) else b""

    def _moved(self) -> bool:
        self._calls += 1
        assert self._calls < 1_000, "it goes round and round"
        return 0 <= self._at < len(self._keys)


def test_streams_end_where_a_damaged_key_leads_back_to_an_earlier_one() -> None:
    one, other = (
        [name + b"\0" + (1).to_bytes(8) for name in names] for names in ((b"a", b"b"), (b"d", b"e"))
    )
    cursor: Any = DamagedIndex(one, other)
    assert len(tail.streams_from(cursor, tail.UnindexedTail(0), b"", b"", 100)) == 4
    cursor = DamagedIndex(one, one)
    with pytest.raises(DamagedStore, match="invalid key after b'a'"):
        tail.streams_from(cursor, tail.UnindexedTail(0), b"", b"", 100)
