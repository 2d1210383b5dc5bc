"""The event log: batches, reads, limits, and its state after each kind of failure."""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.errors import (
    CodecError,
    CommitFailed,
    DamagedStore,
    InvalidKey,
    KeyTooLong,
    MessageTooLarge,
    OutOfOrder,
    StorageError,
    StoreClosed,
    StoreFull,
    UnencodableValue,
    UnknownType,
    UnregisteredType,
)
from storage.log import event_reads, open_log
from storage.log import read_gate as gate
from storage.log.event_log import EventLog
from storage.log.records import CommandRecord, RecordedEvent, Undecodable

NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)


@dataclass(frozen=True, slots=True)
class Counted:
    by: Any


@dataclass(frozen=True, slots=True)
class Total:
    value: Any


def make_codec() -> Codec:
    codec = Codec(max_bytes=1 << 20)
    codec.register(Counted)
    codec.register(Total)
    return codec


def event(
    position: int, stream: str = "a", version: int | None = None, by: Any = 1, tags: tuple[str, ...] = ()
) -> RecordedEvent:
    version = position if version is None else version
    command_id = f"id-{position}"
    return RecordedEvent(
        position, stream, version, Counted(by), "Counted", NOON + position, command_id, "Count", tags=tags
    )


def events(first: int, last: int, **options: Any) -> list[RecordedEvent]:
    return [event(position, **options) for position in range(first, last + 1)]


class FaultyLog(EventLog):
    """A log whose next commit fails: `before` it reaches the disk, or `after`."""

    before: BaseException | None = None
    after: BaseException | None = None

    def _commit(self, transaction: lmdb.Transaction) -> None:
        before, self.before = self.before, None
        after, self.after = self.after, None
        if before:
            raise before
        super()._commit(transaction)
        if after:
            raise after


@pytest.fixture
def log(store_path: Path) -> Iterator[FaultyLog]:
    with FaultyLog.open(store_path, make_codec(), durable=False) as opened:
        yield opened


# -- reading back --------------------------------------------------------------------------------------------
def test_a_new_log_is_empty(log: EventLog) -> None:
    assert log.head == 0
    assert log.read() == []
    assert log.read_stream("a") == []
    assert log.read_tag("t") == []
    assert log.stream_version("a") == 0
    assert log.command("id") is None
    assert log.snapshot("a") is None
    assert log.streams() == []


def test_an_event_comes_back_with_all_that_was_recorded(store_path: Path) -> None:
    recorded = RecordedEvent(
        1, "a", 1, Counted([2]), "Counted", NOON, "id", "Count", "cause", "whole", ("x", "y"), {"user": "ann"}
    )
    with EventLog.open(store_path, make_codec()) as log:
        log.append([recorded])
    with EventLog.open(store_path, make_codec()) as log:
        (found,) = log.read()
    for name in RecordedEvent.__slots__:
        assert getattr(found, name) == getattr(recorded, name), name
    assert found == recorded
    assert found.time == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert repr(found) == "RecordedEvent(1, 'a', 1, Counted(by=[2]))"
    assert hash(found) == hash(recorded)
    assert found != event(2)


def test_events_are_read_in_order_between_two_positions(log: EventLog) -> None:
    log.append(events(1, 3))
    log.append(events(4, 10))
    assert [found.position for found in log.read()] == list(range(1, 11))
    assert [found.position for found in log.read(after=3, limit=4)] == [4, 5, 6, 7]
    assert [found.position for found in log.read(after=3, until=5)] == [4, 5]
    assert [found.position for found in log.read(after=8, until=99)] == [9, 10]
    assert log.read(after=10) == []
    assert log.read(after=4, until=4) == []
    assert log.read(limit=0) == []


def test_one_read_copies_no_more_than_its_share(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_log, "READ_BYTES", 5000)
    log.append(events(1, 10, by="x" * 2000))
    assert [found.position for found in log.read()] == [1, 2, 3]
    monkeypatch.setattr(open_log, "READ_BYTES", 10)
    assert [found.position for found in log.read(after=9)] == [10]


def of_commands(sizes: Sequence[int]) -> list[RecordedEvent]:
    """Events of several commands; `sizes` are their numbers of events."""
    found = []
    for number, size in enumerate(sizes):
        for _ in range(size):
            one = event(len(found) + 1)
            one.command_id = f"command-{number}"
            found.append(one)
    return found


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 15), st.data())
def test_commands_are_read_whole_however_large_they_are(
    sizes: list[int], limit: int, data: st.DataObject
) -> None:
    ends = [0, *accumulate(sizes)]
    with TemporaryDirectory() as path, EventLog.open(path, make_codec(), durable=False) as log:
        all_events = of_commands(sizes)
        log.append(all_events)
        until = data.draw(st.sampled_from(ends), "until")
        after = data.draw(st.sampled_from(ends), "after")
        while after < until:
            found = log.read_commands(after, limit, until)
            last = found[-1].position
            assert list(found) == all_events[after:last]
            assert last == min(end for end in ends if end >= min(after + limit, until))
            after = last


def test_a_command_is_read_whole_beyond_the_share_of_one_read(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(of_commands([1, 50, 1]))
    monkeypatch.setattr(open_log, "READ_BYTES", 200)
    assert [len(log.read_commands(after, 100, 52)) for after in (0, 1, 51)] == [51, 50, 1]


def test_a_command_is_read_whole_with_what_can_not_be_decoded_in_it(log: EventLog) -> None:
    log.append(of_commands([2, 3, 2]))
    poor = Codec()
    poor.register(Total)
    log._codec = poor
    found = log.read_commands(0, 3, 7)
    assert [(one.position, one.type, one.stream, one.command_id) for one in found] == [
        (position, "Counted", "a", f"command-{int(position > 2)}") for position in range(1, 6)
    ]
    for one in found:
        assert isinstance(one.event, Undecodable)
        assert isinstance(one.event.error, UnknownType)
        assert one.event.error.__notes__ == [f"in the event at position {one.position}"]


def test_a_stream_is_read_by_version(log: EventLog) -> None:
    log.append([event(1, "a", 1), event(2, "b", 1), event(3, "a", 2), event(4, "ab", 1), event(5, "a", 3)])
    assert [(found.position, found.version) for found in log.read_stream("a")] == [(1, 1), (3, 2), (5, 3)]
    assert [found.version for found in log.read_stream("a", after_version=1)] == [2, 3]
    assert [found.version for found in log.read_stream("a", after_version=1, limit=1)] == [2]
    assert log.read_stream("a", after_version=3) == []
    assert [log.stream_version(name) for name in ("a", "ab", "b", "aa", "c")] == [3, 1, 1, 0, 0]


def test_streams_are_listed_by_prefix_and_page(log: EventLog) -> None:
    names = ["cart-1", "cart-2", "order-1", "order-1\x01", "order-10", "zoë"]
    position = 0
    for version in (1, 2):
        for name in names:
            position += 1
            log.append([event(position, name, version)])
    assert log.streams() == [(name, 2) for name in names]
    assert log.streams("order-1") == [("order-1", 2), ("order-1\x01", 2), ("order-10", 2)]
    assert log.streams(limit=2) == [("cart-1", 2), ("cart-2", 2)]
    assert log.streams(after="cart-2", limit=2) == [("order-1", 2), ("order-1\x01", 2)]
    assert log.streams("order", after="order-1\x01") == [("order-10", 2)]
    assert log.streams("order", after="a", limit=1) == [("order-1", 2)]
    assert log.streams("nothing") == []


def test_tagged_events_are_read_across_streams(log: EventLog) -> None:
    log.append([event(1, "a", 1, tags=("x", "xy")), event(2, "b", 1), event(3, "b", 2, tags=("x", "x"))])
    log.append([event(4, "a", 2, tags=("x",))])
    assert [found.position for found in log.read_tag("x")] == [1, 3, 4]
    assert [found.position for found in log.read_tag("x", after=1, limit=1)] == [3]
    assert [found.position for found in log.read_tag("xy")] == [1]


def test_a_command_is_found_by_its_id(log: EventLog) -> None:
    done = CommandRecord("id-1", 1, 2, b"digest", "a", 2)
    nothing = CommandRecord("id-2", 0, 0, b"other", "b", 7)
    log.append(events(1, 2), [nothing, done])
    assert log.command("id-1") == done
    assert log.command("id-2") == nothing
    assert log.command("id-3") is None
    assert repr(done) == "CommandRecord('id-1', 1, 2, 646967657374, 'a', 2)"
    assert len({done, nothing, log.command("id-1")}) == 2


def test_commands_without_events_are_kept(log: EventLog) -> None:
    log.append([], [CommandRecord("id", 0, 0, b"", "a", 0)])
    assert log.head == 0
    assert log.command("id") is not None


def test_the_last_snapshot_of_a_stream_is_kept(log: EventLog) -> None:
    log.append(events(1, 1), snapshots=[("a", 1, "v1", Total(1)), ("b", 4, "v1", None)])
    log.append(events(2, 2), snapshots=[("a", 2, "v1", Total(3))])
    assert log.snapshot("a") == (2, "v1", Total(3))
    assert log.snapshot("b") == (4, "v1", None)


def test_a_snapshot_may_be_larger_than_a_message(log: EventLog) -> None:
    log.append([], snapshots=[("a", 1, "v1", Total(b"x" * (2 << 20)))])
    assert log.snapshot("a") == (1, "v1", Total(b"x" * (2 << 20)))


def test_a_snapshot_of_a_class_that_has_changed_counts_as_none(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec()) as log:
        log.append([], snapshots=[("a", 1, "v1", Total(1))])
    with EventLog.open(store_path, Codec()) as log:
        assert log.snapshot("a") is None


def test_an_event_that_cannot_be_decoded_is_named_by_its_position(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec()) as log:
        log.append(events(1, 2))
    with EventLog.open(store_path, Codec()) as log:
        with pytest.raises(UnknownType, match="'Counted'") as caught:
            log.read(after=1)
        assert caught.value.__notes__ == ["in the event at position 2"]
        assert log.head == 2


def test_a_log_with_a_hole_is_reported_as_damaged(log: EventLog) -> None:
    log.append(events(1, 3))
    environment = log._live_environment()
    with environment.begin(write=True) as transaction:
        transaction.delete((2).to_bytes(8, "big"), db=log._databases["events"])
        transaction.put((3).to_bytes(8, "big"), b"\x01", db=log._databases["events"])
    with pytest.raises(DamagedStore, match="position 2 is missing"):
        log.read(after=1)
    with pytest.raises(DamagedStore, match="streams of 'a' name positions that the log lacks"):
        log.read_stream("a")
    with pytest.raises(DamagedStore, match=r"event at position 3 .* checksum is wrong"):
        log.read(after=2)


def test_events_encoded_early_are_stored_as_they_are(log: EventLog) -> None:
    batch = events(1, 3)
    log.append(batch, encoded=[log.encode_event(recorded) for recorded in batch])
    assert log.read() == batch
    with pytest.raises(OutOfOrder, match="1 events came with 2 encodings"):
        log.append(events(4, 4), encoded=[b"", b""])


def test_written_is_called_once_between_the_last_write_and_the_commit(store_path: Path) -> None:
    steps: list[str] = []

    class Tracing(EventLog):
        def _write(self, *arguments: Any) -> None:
            super()._write(*arguments)
            steps.append("write")

        def _commit(self, transaction: lmdb.Transaction) -> None:
            steps.append("commit")
            super()._commit(transaction)

    with Tracing.open(store_path, make_codec(), durable=False) as log:

        def written() -> None:
            steps.append(f"told at {log.head}")
            assert log.read() == []
            assert log.command("id") is None

        log.append(events(1, 2), [CommandRecord("id", 1, 2, b"", "a", 2)], before_fsync=written)
        assert steps == ["write", "told at 0", "commit"]
        assert log.read() == events(1, 2)
        with pytest.raises(OutOfOrder):
            log.append(events(3, 3), [CommandRecord("id", 3, 1, b"", "a", 3)], before_fsync=written)
        assert steps == ["write", "told at 0", "commit"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_written_aborts_the_batch(
    log: EventLog, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(events(1, 2))
    before = log.stats()
    begin, begun = log._begin, []

    def kept() -> lmdb.Transaction:
        begun.append(begin())
        return begun[-1]

    def written() -> None:
        raise error("not now")

    # It keeps a reference, so that the transaction is not ended by being collected.
    monkeypatch.setattr(log, "_begin", kept)

    with pytest.raises(error, match="not now"):
        log.append(events(3, 3), [CommandRecord("id", 3, 1, b"", "a", 3)], before_fsync=written)
    with pytest.raises(lmdb.Error):
        begun[0].id()
    assert log.stats() == before
    assert log.head == 2
    log.append(events(3, 3), [CommandRecord("id", 3, 1, b"", "a", 3)])
    assert log.read() == events(1, 3)


def test_stats_count_entries_and_bytes(log: EventLog) -> None:
    log.append(events(1, 5, tags=("t",)), [CommandRecord("id", 1, 5, b"", "a", 5)])
    stats = log.stats()
    assert {name: stats[name] for name in open_log.DATABASES} == {
        "events": 5,
        "streams": 5,
        "tags": 5,
        "commands": 1,
        "snapshots": 0,
        "notes": 0,
    }
    assert 0 < stats["bytes"] < stats["map_bytes"]
    assert log.reader_check() == 0


# -- notes ---------------------------------------------------------------------------------------------------
def test_notes_are_put_replaced_and_deleted_with_a_batch(log: EventLog) -> None:
    log.append(events(1, 1), notes=[(b"sub/a", b"1"), (b"sub/b", b""), (b"sub/a", b"2")])
    assert (log.note(b"sub/a"), log.note(b"sub/b"), log.note(b"sub/c")) == (b"2", b"", None)
    log.append([], notes=[(b"sub/a", None), (b"sub/never", None), (b"sub/b", b"3")])
    assert log.notes(b"") == [(b"sub/b", b"3")]
    assert log.head == 1


def test_notes_are_listed_by_prefix_a_page_at_a_time(log: EventLog) -> None:
    keys = [b"pm/1", b"sub/1", b"sub/2", b"sub/3", b"sub0"]
    log.append([], notes=[(key, key.upper()) for key in reversed(keys)])
    assert [key for key, _ in log.notes(b"")] == keys
    assert log.notes(b"sub/") == [(key, key.upper()) for key in keys[1:4]]
    assert [key for key, _ in log.notes(b"sub/", limit=2)] == keys[1:3]
    assert [key for key, _ in log.notes(b"sub/", after=b"sub/2")] == keys[3:4]
    assert [key for key, _ in log.notes(b"sub/", after=b"sub/1x", limit=1)] == keys[2:3]
    assert [key for key, _ in log.notes(b"", after=keys[0])] == keys[1:]
    assert log.notes(b"sub/", after=b"sub/3") == log.notes(b"sub/", after=b"zz") == log.notes(b"zz") == []
    assert log.notes(b"sub/", after=b"a") == log.notes(b"sub/")


def test_notes_are_there_when_the_log_is_opened_again(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec()) as log:
        log.append([], notes=[(b"skip/m", b"4")])
        log.reopen()
        assert log.note(b"skip/m") == b"4"
    with EventLog.open(store_path, make_codec()) as log:
        assert log.notes(b"") == [(b"skip/m", b"4")]


def test_a_store_without_notes_gets_them_when_it_is_opened(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec()) as log:
        log.append(events(1, 1))
        with log._live_environment().begin(write=True) as transaction:
            transaction.drop(log._databases["notes"])
    with EventLog.open(store_path, make_codec()) as log:
        assert log.notes(b"") == []
        log.append(events(2, 2), notes=[(b"k", b"v")])
        assert log.note(b"k") == b"v"


@pytest.mark.parametrize(
    ("note", "error", "message"),
    [
        ((b"", b"v"), InvalidKey, "the key of a note is bytes, at least one, not b''"),
        (("text", b"v"), InvalidKey, "not 'text'"),
        ((b"k" * 512, b"v"), KeyTooLong, "takes 512 bytes, and at most 511 fit"),
        ((b"k", "text"), UnencodableValue, "the value of note b'k' is bytes, or None to delete it, not str"),
    ],
)
def test_a_note_that_can_not_be_fails_its_batch(
    log: EventLog, note: Any, error: type[StorageError], message: str
) -> None:
    with pytest.raises(error, match=message):
        log.append(events(1, 1), notes=[(b"good", b"1"), note])
    assert (log.head, log.notes(b"")) == (0, [])


def test_a_key_of_a_note_may_be_as_long_as_promised(log: EventLog) -> None:
    log.append([], notes=[(b"k" * 511, b"v")])
    assert log.note(b"k" * 511) == b"v"
    with pytest.raises(KeyTooLong):
        log.note(b"k" * 512)


def test_notes_of_a_batch_that_is_refused_are_not_written(log: EventLog) -> None:
    log.append(events(1, 1), notes=[(b"k", b"1")])
    with pytest.raises(OutOfOrder):
        log.append(events(3, 3), notes=[(b"k", b"2")])
    with pytest.raises(OutOfOrder, match="does not follow its last version"):
        log.append([event(2, version=1)], notes=[(b"k", b"3")])
    assert log.note(b"k") == b"1"


# -- batches that are refused --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([event(4)], OutOfOrder, "position 4, where the log continues with 3"),
        ([event(2)], OutOfOrder, "position 2, where the log continues with 3"),
        ([event(3), event(5, version=4)], OutOfOrder, "position 5, where the log continues with 4"),
        ([event(3), event(4, version=5)], OutOfOrder, "version 5 of stream 'a', which continues with 4"),
        ([event(3, version=4)], OutOfOrder, "version 4 of stream 'a' does not follow"),
        ([event(3, version=2)], OutOfOrder, "version 2 of stream 'a' does not follow its last version"),
        ([event(3, "new", 2)], OutOfOrder, "version 2 of stream 'new' does not follow"),
        ([event(3, "new", 0)], OutOfOrder, "version 0 of stream 'new'; versions begin with 1"),
        ([event(3), event(4, "", 1)], InvalidKey, "stream '' is empty"),
        ([event(3), event(4, "x\0y", 1)], InvalidKey, r"stream 'x\\x00y' holds a NUL"),
        ([event(3), event(4, "\ud800", 1)], InvalidKey, "is not valid text"),
        ([event(3, 7, 1)], InvalidKey, "stream 7 is not valid text"),  # type: ignore[arg-type]
        ([event(3), event(4, "ü" * 201, 1)], KeyTooLong, "takes 402 bytes in UTF-8, the limit is 400"),
        ([event(3, tags=("ok", ""))], InvalidKey, "tag '' is empty"),
        ([event(3), event(4, by={1, 2})], UnencodableValue, r"Counted\.by \(builtins\.set\)"),
        ([event(3, by="x" * (1 << 20))], MessageTooLarge, "event Counted of stream 'a' takes 1,048,"),
    ],
)
def test_a_batch_that_is_wrong_leaves_nothing(
    log: EventLog, batch: list[RecordedEvent], error: type[StorageError], message: str
) -> None:
    log.append(events(1, 2))
    before = log.stats()
    with pytest.raises(error, match=message):
        log.append(batch, [CommandRecord("new", 3, 1, b"", "a", 3)])
    assert log.stats() == before
    assert log.command("new") is None
    log.append(events(3, 4))
    assert log.head == 4


def test_an_event_that_is_no_message_is_refused(log: EventLog) -> None:
    with pytest.raises(UnregisteredType, match=r"builtins\.str is not registered"):
        log.append([RecordedEvent(1, "a", 1, "fact", "str", NOON, "id")])
    with pytest.raises(UnencodableValue) as caught:
        log.append([RecordedEvent(1, "a", 1, Counted(1), "Counted", NOON, "id", metadata={"who": object()})])
    assert caught.value.__notes__ == ["in event Counted of stream 'a'"]
    assert "cannot encode metadata['who'] (builtins.object)" in str(caught.value)


def test_an_id_that_can_not_be_stored_is_refused_by_its_name(log: EventLog) -> None:
    bad: Any = object()
    with pytest.raises(UnencodableValue, match=r"cannot encode causation_id \(builtins\.object\)"):
        log.append([RecordedEvent(1, "a", 1, Counted(1), "Counted", NOON, "id", causation_id=bad)])


@pytest.mark.parametrize("ids", [["old"], ["new", "new"]])
def test_a_command_id_is_stored_once(log: EventLog, ids: list[str]) -> None:
    log.append(events(1, 1), [CommandRecord("old", 1, 1, b"first", "a", 1)])
    with pytest.raises(OutOfOrder, match="a command id of the batch is already in the log"):
        log.append(events(2, 2), [CommandRecord(name, 2, 1, b"second", "a", 2) for name in ids])
    assert log.head == 1
    assert log.read(after=1) == []
    assert log.command("old") == CommandRecord("old", 1, 1, b"first", "a", 1)


def test_names_may_be_as_long_as_promised(log: EventLog) -> None:
    name, command_id = "s" * 400, "c" * 200
    log.append([event(1, name, 1, tags=("t" * 400,))], [CommandRecord(command_id, 1, 1, b"", name, 1)])
    assert log.stream_version(name) == 1
    assert len(log.read_tag("t" * 400)) == 1
    assert log.command(command_id) is not None
    with pytest.raises(KeyTooLong, match="limit is 400"):
        log.command("c" * 401)
    for read in (log.stream_version, log.read_stream, log.read_tag, log.snapshot, log.command):
        with pytest.raises(InvalidKey):
            read("")


# -- commits that fail ---------------------------------------------------------------------------------------
def os_error(number: int) -> lmdb.Error:
    error = lmdb.Error(f"mdb_txn_commit: {os.strerror(number)}")
    error.code = number
    return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_after_a_commit_that_failed_nothing_is_written_until_reopened(log: FaultyLog, number: int) -> None:
    log.append(events(1, 2))
    log.before = os_error(number)
    with pytest.raises(
        CommitFailed, match=rf"{os.strerror(number)}, errno {number}.*call reopen\(\)"
    ) as caught:
        log.append(events(3, 3))
    assert caught.value.errno == number
    with pytest.raises(CommitFailed, match=r"call reopen\(\) first"):
        log.append(events(3, 3))
    assert [found.position for found in log.read()] == [1, 2]
    log.reopen()
    assert log.head == 2
    log.append(events(3, 3))
    assert log.read() == events(1, 3)


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_commit_that_failed_the_notes_tell_what_is_on_disk(log: FaultyLog, when: str) -> None:
    setattr(log, when, os_error(errno.EIO))
    with pytest.raises(CommitFailed):
        log.append([], notes=[(b"k", b"v")])
    log.reopen()
    assert log.note(b"k") == (None if when == "before" else b"v")


def test_a_commit_that_failed_after_it_was_done_shows_when_reopened(log: FaultyLog) -> None:
    log.append(events(1, 2))
    log.after = os_error(errno.EIO)
    with pytest.raises(CommitFailed):
        log.append([event(3, tags=("t",))], [CommandRecord("id", 3, 1, b"", "a", 3)])
    assert log.head == 2
    assert len(log.read()) == len(log.read_stream("a")) == 2
    assert log.read_tag("t") == []
    log.reopen()
    assert log.head == 3
    assert len(log.read()) == len(log.read_stream("a")) == 3
    assert log.command("id") is not None
    log.append(events(4, 4))


def test_an_error_that_is_not_of_lmdb_counts_as_unknown_too(log: FaultyLog) -> None:
    log.after = RuntimeError("broken")
    with pytest.raises(CommitFailed, match="no errno: broken"):
        log.append(events(1, 1))
    log.reopen()
    assert log.head == 1


def test_an_interrupted_commit_is_passed_on_and_counts_as_unknown(log: FaultyLog) -> None:
    log.after = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        log.append(events(1, 1))
    with pytest.raises(CommitFailed, match=r"reopen\(\) first"):
        log.append(events(1, 1))
    log.reopen()
    assert log.head == 1


def test_a_map_that_fills_up_in_the_commit_wrote_nothing_for_certain(log: FaultyLog) -> None:
    log.before = lmdb.MapFullError("mdb_txn_commit: MDB_MAP_FULL")
    with pytest.raises(StoreFull, match="larger map_size"):
        log.append(events(1, 1))
    log.append(events(1, 1))
    assert log.read() == events(1, 1)


def test_a_disk_that_does_not_take_any_more_is_a_clear_error_and_ends(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec()) as log:
        log.append(events(1, 2))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (store_path / "data.mdb").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(CommitFailed) as caught:
                log.append(events(3, 9, by="x" * 100_000))
            assert caught.value.errno in (errno.EFBIG, errno.EIO)
            assert log.read() == events(1, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.reopen()
        assert log.head == 2
        log.append(events(3, 9, by="x" * 100_000))
    with EventLog.open(store_path, make_codec()) as log:
        assert log.read() == [*events(1, 2), *events(3, 9, by="x" * 100_000)]


def fill(log: EventLog) -> int:
    while True:
        batch = events(log.head + 1, log.head + 20, by="x" * 1000)
        try:
            log.append(batch)
        except StoreFull:
            break
    with pytest.raises(StoreFull, match="larger map_size"):
        log.append(batch)
    return log.head


def test_a_full_map_is_still_read_and_takes_more_when_enlarged(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec(), map_size=1 << 20) as log:
        head = fill(log)
        assert head > 100
        assert len(log.read()) == log.stream_version("a") == head
        assert fill(log) == head
        log.reopen(map_size=1 << 21)
        assert log.head == head
        more = fill(log)
        assert more > head
    with EventLog.open(store_path, make_codec(), map_size=1 << 24) as log:
        log.append(events(more + 1, more + 500, by="x" * 1000))
        assert log.read(limit=10_000) == events(1, more + 500, by="x" * 1000)


# -- closing and reopening -----------------------------------------------------------------------------------
def test_a_closed_log_says_so(log: EventLog) -> None:
    log.append(events(1, 1))
    log.close()
    log.close()
    calls: Sequence[Any] = (log.read, log.stats, log.streams, log.reopen, log.reader_check)
    for call in calls:
        with pytest.raises(StoreClosed, match="is closed"):
            call()
    with pytest.raises(StoreClosed):
        log.append(events(2, 2))
    assert log.head == 1


def test_a_log_whose_reopening_failed_is_unusable_until_it_succeeds(store_path: Path, log: EventLog) -> None:
    log.append(events(1, 1))
    (store_path / "data.mdb").rename(store_path / "elsewhere")
    with pytest.raises(StorageError):
        log.reopen()
    with pytest.raises(StoreClosed, match=r"call reopen\(\) again"):
        log.read()
    with pytest.raises(CommitFailed, match=r"call reopen\(\) first"):
        log.append(events(2, 2))
    (store_path / "elsewhere").rename(store_path / "data.mdb")
    log.reopen()
    assert log.read() == events(1, 1)
    log.append(events(2, 2))


def test_reopening_waits_for_readers_and_readers_wait_for_it(log: EventLog) -> None:
    log.append(events(1, 1))
    reopened = threading.Thread(target=log.reopen)
    found: list[int] = []
    late = threading.Thread(target=lambda: found.append(len(log.read())))
    with log._reading():
        reopened.start()
        wait_for(lambda: log._gate._exclusive)
        late.start()
        assert reopened.is_alive()
        assert found == []
    reopened.join(10)
    late.join(10)
    assert found == [1]


def test_a_reader_that_never_ends_does_not_hold_reopening_up_for_ever(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.01)
    failures: list[StorageError] = []

    def reopen() -> None:
        try:
            log.reopen()
        except StorageError as error:
            failures.append(error)

    with log._reading():
        thread = threading.Thread(target=reopen)
        thread.start()
        thread.join(10)
    assert "has not finished" in str(failures[0])
    log.append(events(1, 1))


def test_a_reader_does_not_wait_for_ever_before_a_shut_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "PATIENCE", 0.01)
    closed = gate.ReadGate("the log")
    failures: list[StorageError] = []

    def enter() -> None:
        try:
            closed.__enter__()
        except StorageError as error:
            failures.append(error)

    with closed.exclusive():
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(10)
    assert "try again" in str(failures[0])


def test_threads_read_whole_batches_while_one_writes_and_reopens(log: EventLog) -> None:
    done = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not done.is_set():
            try:
                head = log.head
                found = log.read(limit=10_000)
                if len(found) < head or len(found) % 5 or found != events(1, len(found)):
                    wrong.append((head, len(found)))
                if log.stream_version("a") < head:
                    wrong.append("version")
            except Exception as error:
                wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for batch in range(60):
        log.append(events(batch * 5 + 1, batch * 5 + 5))
        if batch % 10 == 0:
            log.reopen()
    done.set()
    for reader in readers:
        reader.join(30)
    assert wrong == []


def test_closing_waits_for_readers_and_refuses_late_ones(log: EventLog) -> None:
    log.append(events(1, 1))
    closing = threading.Thread(target=log.close)
    refused: list[StoreClosed] = []

    def read() -> None:
        try:
            log.read()
        except StoreClosed as error:
            refused.append(error)

    late = threading.Thread(target=read)
    with log._reading():
        closing.start()
        wait_for(lambda: log._gate._exclusive)
        late.start()
    closing.join(10)
    late.join(10)
    assert len(refused) == 1


def test_a_long_log_opens_as_fast_as_a_short_one(store_path: Path) -> None:
    with EventLog.open(store_path, make_codec(), durable=False) as log:
        for first in range(1, 50_001, 5000):
            log.append(events(first, first + 4999))
    started = time.perf_counter()
    with EventLog.open(store_path, make_codec()) as log:
        assert log.head == 50_000
        assert time.perf_counter() - started < 0.2


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_errors_of_the_codec_are_errors_of_the_storage() -> None:
    assert issubclass(CodecError, StorageError)


def test_a_scan_gives_the_next_wanted_events_and_how_far_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog.open(tmp_path / "log", make_codec()) as log:
        versions = dict.fromkeys(("a-1", "b-1"), 0)
        written = []
        for position in range(1, 701):
            stream = "b-1" if position % 100 == 50 else "a-1"
            versions[stream] += 1
            written.append(event(position, stream, versions[stream]))
        log.append(written[:300])
        for one in written[300:]:
            log.append([one])
        rare = log.record_filter(["Counted"], category="b")
        stored = dict(enumerate(log.records(0, 1_000), 1))
        wanted = [(position, stored[position]) for position in range(50, 701, 100)]
        assert log.scan(rare, 0, 100, 700) == (wanted, 700)
        assert log.scan(rare, 0, 3, 700) == (wanted[:3], 250)
        assert log.scan(rare, 250, 100, 649) == (wanted[3:6], 649)
        assert log.scan(rare, 650, 100, 10_000) == ([], 700)
        assert log.scan(rare, 700, 100, 700) == log.scan(rare, 700, 100, 10_000) == ([], 700)
        everything = log.record_filter(category="a")
        assert log.scan(everything, 0, 20, 700) == ([(at, stored[at]) for at in range(1, 21)], 20)
        monkeypatch.setattr(event_reads, "SCANNED_EVENTS", 149)
        assert log.scan(rare, 50, 100, 700) == (wanted[1:2], 199)
        monkeypatch.setattr(event_reads, "READ_BYTES", sum(len(stored[at]) for at in range(51, 149)))
        found, through = log.scan(rare, 50, 100, 700)
        assert (found, 50 < through < 150) == ([], True)
