"""Archives of a log: what reads the events, what is refused, and what a crash in between leaves."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import pytest

from storage import (
    ArchiveRefused,
    ArchiveUnavailable,
    Codec,
    CommandRecord,
    CorrectionRefused,
    EventLog,
    EventsRemoved,
    NewerFormat,
    RecordedEvent,
    StorageError,
)
from storage.archive import archive_writer
from storage.files import header
from storage.files.lmdb_pages import BrokenPage
from storage.files.published_file import PublishedFile
from storage.log import archive_files_log, archiving_log, open_log
from storage.log.archived_event import REMOVED_TYPE
from storage.log.corrections import ChangedEvent
from storage.log.live_compaction import LiveCompaction
from storage.log.log_follower import LogFollower
from storage.log.log_reader import LogReader
from storage.log.records import DROPPED, encode_event, envelope_of
from storage.log.verification import verify_store
from tests.faults import Fault, put_fault
from tests.helpers import PATIENCE

CODEC = Codec()
STREAMS = 7
WHO: dict[str, Any] = {"who": "ann", "why": "old", "time_us": 5_000_000}


@dataclass(frozen=True)
class Noted:
    text: str


CODEC.register(Noted, "Noted")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_writer, "BLOCK_BYTES", 2_000)


def fill(log: EventLog, commands: int, seed: int = 1) -> None:
    """Commands of one to four events, some of them with two streams, in commits of one to three commands."""
    dice = random.Random(seed)
    versions = dict(log.streams())
    left = commands
    while left:
        events: list[RecordedEvent] = []
        records: list[CommandRecord] = []
        for _ in range(min(left, dice.randint(1, 3))):
            left -= 1
            first, id = log.head + len(events) + 1, f"c{seed}-{left}"
            streams = dice.sample(range(STREAMS), 2)
            for _ in range(dice.randint(1, 4)):
                stream = f"s-{dice.choice(streams)}"
                versions[stream] = versions.get(stream, 0) + 1
                position = log.head + len(events) + 1
                events.append(
                    RecordedEvent(
                        position, stream, versions[stream], Noted("x" * dice.randrange(150)), "Noted",
                        1_000_000 + position, id, "Note", tags=("all", stream) if position % 3 else (),
                    )
                )  # fmt: skip
            count = log.head + len(events) + 1 - first
            records.append(CommandRecord(id, first, count, b"d", events[-1].stream, events[-1].version))
        log.append(events, records)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog.open(tmp_path / "log", CODEC, durable=False) as log:
        fill(log, 120)
        yield log


def archive(log: EventLog, positions: list[int], step: int = 50) -> int:
    """Archive the events at these positions; returns the archive's number."""
    record = log.begin_archive(positions, **WHO)
    while log.move_to_archive(record.number, step):
        pass
    return record.number


def of_streams(log: EventLog, *streams: str) -> list[int]:
    return sorted(position for stream in streams for position in log.positions_in_stream(stream))


def contents(log: LogReader) -> dict[str, Any]:
    """All that readers see of the events."""
    head = log.head
    wanted = log.record_filter(["Noted"], category="s")
    scanned: list[Any] = []
    through = 0
    while through < head:
        found, through = log.scan(wanted, through, 1_000, head)
        scanned += found
    read: list[RecordedEvent] = []
    while found_events := log.read(len(read), 70):
        read += found_events
    streams = [name for name, _ in log.streams()]
    ids = {event.command_id for event in read}
    return {
        "read": read,
        "records": log.records(0, head),
        "scanned": scanned,
        "streams": {name: log.read_stream(name) for name in streams},
        "versions": {name: log.stream_version(name) for name in streams},
        "positions": {name: log.positions_in_stream(name, 2, 3) for name in streams},
        "stored": {name: log.stream_records(name, 1) for name in streams},
        "tags": {tag: log.read_tag(tag, after=head // 3) for tag in ("all", "s-1", "none")},
        "commands": [log.command(id) for id in sorted(ids)],
        "beside": log.commands_beside_events()[0],
        "whole": list(log.read_commands(3, 40, head)),
        "digests": [log.digest(position) for position in range(head + 1)],
        "stats": log.stats()["events"],
    }


def sound(log: EventLog) -> None:
    """The log verifies without findings, also when nobody has it open and its memory is empty."""
    assert log.verify().findings == []


def test_every_reader_sees_the_same_with_archives_as_without(log: EventLog, tmp_path: Path) -> None:
    before = contents(log)
    numbers = [
        archive(log, of_streams(log, "s-1", "s-4")),
        archive(log, [position for position in of_streams(log, "s-2") if position < log.head // 2], 1),
        archive(log, [log.head]),
    ]
    assert numbers == [1, 2, 3]
    assert contents(log) == before
    sound(log)
    with EventLog.open(tmp_path / "other", CODEC, durable=False) as other:
        fill(other, 120)
        assert log.chain_head()[0] == other.head
    log.close()
    with EventLog.open(log.path, CODEC, durable=False) as again:
        assert contents(again) == before
        check = again.verify()
        assert (check.findings, check.archived, check.removed, check.unchecked) == (
            [], sum(one.events for one in again.archives()), 0, 0,
        )  # fmt: skip
        fill(again, 20, seed=2)
        sound(again)


def test_a_log_in_the_middle_of_moving_reads_the_same(log: EventLog) -> None:
    before = contents(log)
    record = log.begin_archive(of_streams(log, "s-1"), **WHO)
    assert record.state == "begun"
    assert log.archives() == []
    assert contents(log) == before
    left = log.move_to_archive(record.number, 0)
    assert left == record.events
    while left:
        left = log.move_to_archive(record.number, 7)
        assert contents(log) == before
        sound(log)
        assert [one.state for one in log.archives()] == ["moving" if left else "archived"]
    assert log.move_to_archive(record.number, 7) == 0


def test_the_record_says_what_was_archived_by_whom_and_why(log: EventLog) -> None:
    positions = of_streams(log, "s-3")
    number = archive(log, positions)
    [record] = log.archives()
    assert (record.number, record.who, record.why, record.time.timestamp()) == (number, "ann", "old", 5.0)
    assert (record.events, record.first, record.last) == (len(positions), positions[0], positions[-1])
    assert record.bytes == Path(record.file).stat().st_size
    records = log.archived_records(number)
    assert [position for position, _ in records] == positions
    assert record.event_bytes == sum(len(data) for _, data in records)
    assert log.archived_records(number, positions[3], 2) == records[4:6]
    assert log.in_log([*positions, *of_streams(log, "s-5")]) == [
        (position, len(data)) for position, data in log.stream_records("s-5", 0)
    ]
    assert [one.count for one in log.corrections()] == [0]


def test_threads_read_while_events_are_moved(log: EventLog) -> None:
    before = contents(log)
    made = log.begin_archive(list(range(1, log.head)), **WHO)
    done, read = threading.Event(), [0, 0]
    failed: list[BaseException] = []

    def reader(number: int) -> None:
        try:
            while not done.is_set() or not read[number]:
                assert contents(log) == before
                read[number] += 1
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=reader, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    while log.move_to_archive(made.number, 9):
        pass
    done.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failed, failed[0]
    assert min(read) > 0


def test_a_follower_reads_archived_events_too(log: EventLog) -> None:
    before = contents(log)
    record = log.begin_archive(of_streams(log, "s-1"), **WHO)
    log.close()

    with LogFollower.open(log.path, CODEC, verify_bytes=0) as follower:
        follower.advance_to_end()
        assert contents(follower) == before
    with EventLog.open(log.path, CODEC) as again:
        again.move_to_archive(record.number, 1_000)
    with LogFollower.open(log.path, CODEC, verify_bytes=0) as follower:
        follower.advance_to_end()
        assert contents(follower) == before
        assert [one.state for one in follower.archives()] == ["archived"]


def test_a_read_goes_on_in_the_file_in_which_it_began(log: EventLog) -> None:
    """Another process may compact the log before a reader asks which archives there are."""
    event = log.records(2, 1)[0]
    number = archive(log, [3, 4])
    log.close()
    with LogFollower.open(log.path, CODEC, verify_bytes=0) as follower:
        follower.advance_to_end()
        with follower.transaction():
            shutil.copy(log.path / "data.mdb", log.path / "other")
            (log.path / "other").replace(log.path / "data.mdb")
            assert follower._archives.event(number, 3) == event
        assert follower.records(2, 1) == [event]


def test_archives_may_lie_in_another_folder(log: EventLog, tmp_path: Path) -> None:
    before = contents(log)
    archive(log, of_streams(log, "s-1"))
    log.close()
    (log.path / "archives").rename(tmp_path / "disk")
    with EventLog.open(log.path, CODEC, archives_path=tmp_path / "disk") as again:
        assert contents(again) == before
        assert again.unavailable_archives() == []
        assert archive(again, of_streams(again, "s-2")) == 2
        assert (tmp_path / "disk" / "00000002.archive").exists()
    with LogFollower.open(log.path, CODEC, archives_path=tmp_path / "disk", verify_bytes=0) as follower:
        follower.advance_to_end()
        assert contents(follower) == before
    assert verify_store(log.path, archives_path=tmp_path / "disk").findings == []


def test_a_missing_file_is_an_error_only_for_what_needs_its_events(log: EventLog) -> None:
    positions = of_streams(log, "s-1")
    number = archive(log, positions)
    kept = contents(log)
    log.close()
    file = log.path / "archives" / "00000001.archive"
    file.rename(file.with_name("away"))
    with EventLog.open(log.path, CODEC) as again:
        for name, version in kept["versions"].items():
            assert again.stream_version(name) == version
            assert again.positions_in_stream(name, 2, 3) == kept["positions"][name]
            if name != "s-1":
                assert again.read_stream(name) == kept["streams"][name]
        assert again.commands_beside_events()[0] == kept["beside"]
        assert [again.digest(position) for position in range(again.head + 1)] == kept["digests"]
        fill(again, 5, seed=3)
        with pytest.raises(
            ArchiveUnavailable, match=f"position {positions[0]} is in archive 1: .* missing"
        ) as found:
            again.read_stream("s-1")
        assert (found.value.archive, found.value.position) == (number, positions[0])
        with pytest.raises(ArchiveUnavailable):
            again.read(positions[0] - 1)
        assert len(again.read(0)) == positions[0] - 1
        assert [str(file) in one for one in again.unavailable_archives()] == [True]
        [finding] = again.verify().findings
        assert "archive 1: " in finding
        assert "is missing" in finding
        file.with_name("away").rename(file)
        assert again.read_stream("s-1", limit=len(kept["streams"]["s-1"])) == kept["streams"]["s-1"]
        assert again.unavailable_archives() == []
        sound(again)


def test_a_log_opens_though_the_folder_of_its_archives_cannot_be_read(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    archive(log, [3, 4])
    log.close()
    folder = log.archives_path
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("a file")
    with EventLog.open(log.path, CODEC) as again:
        assert f"{folder} can't be read" in caplog.text
        assert again.read(0, 2)
        with pytest.raises(ArchiveUnavailable, match="can't be read"):
            again.read(2, 1)
        with pytest.raises(StorageError):
            again.begin_archive([7], **WHO)


def test_reads_return_no_more_than_their_bound_of_archived_events(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(log, list(range(1, log.head + 1)))
    monkeypatch.setattr(open_log, "READ_BYTES", 1_000)
    records = log.records(0, 1_000)
    assert 1_000 < sum(map(len, records)) < 1_600


# -- removing ------------------------------------------------------------------------------------------------
def test_events_of_a_removed_archive_are_dropped_ones(log: EventLog) -> None:
    gone = of_streams(log, "s-1", "s-4")
    before = contents(log)
    number = archive(log, gone)
    file = Path(log.archives()[0].file)
    record = log.remove_archive(number, who="bob", why="law", time_us=6_000_000)
    assert (record.state, record.removed_who, record.removed_why) == ("removed", "bob", "law")
    assert not file.exists()
    for reader in ("open", "again", "follower"):
        if reader == "again":
            log.close()
        opened: Any = log
        if reader == "again":
            opened = EventLog.open(log.path, CODEC)
        elif reader == "follower":
            opened = LogFollower.open(log.path, CODEC, verify_bytes=0)
            opened.advance_to_end()
        check_removed(opened, before, gone)
        if reader != "open":
            opened.close()
    check = verify_store(log.path)
    assert (check.findings, check.archived, check.removed) == ([], 0, len(gone))
    assert check.unchecked > 0


def test_the_file_of_a_removed_archive_is_erased_later_if_it_is_asked_for_so(log: EventLog) -> None:
    numbers = [archive(log, of_streams(log, stream)) for stream in ("s-1", "s-2", "s-3")]
    files = [Path(one.file) for one in log.archives()]
    for number in numbers[:2]:
        log.remove_archive(number, **WHO, erase=False)
    assert [one.exists() for one in files] == [True, True, True]
    with pytest.raises(EventsRemoved):
        log.read_stream("s-1")
    log.erase_removed_archives()
    log.erase_removed_archives()
    assert [one.exists() for one in files] == [False, False, True]
    log.remove_archive(numbers[2], **WHO, erase=False)
    log.close()
    EventLog.open(log.path, CODEC).close()
    assert not files[2].exists()


def check_removed(log: LogReader, before: dict[str, Any], gone: list[int]) -> None:
    for was, now in zip(before["read"], log.read(0, log.head), strict=True):
        assert (now.position, now.stream, now.version, now.time_us, now.command_id, now.tags) == (
            was.position, was.stream, was.version, was.time_us, was.command_id, was.tags
        )  # fmt: skip
        if was.position in gone:
            assert now.event is DROPPED
            assert now.type == REMOVED_TYPE
        else:
            assert now == was
    assert [one.event is DROPPED for one in log.read_tag("all")] == [
        one.position in gone for one in log.read_tag("all")
    ]
    wanted = log.record_filter(["Noted"])
    assert {position for position, _ in log.scan(wanted, 0, 1_000, log.head)[0]}.isdisjoint(gone)
    for name, version in before["versions"].items():
        assert log.stream_version(name) == version
        if name in ("s-1", "s-4"):
            with pytest.raises(
                EventsRemoved, match=f"version 1 of stream {name!r} .* was removed with archive 1"
            ):
                log.read_stream(name)
            with pytest.raises(EventsRemoved) as found:
                log.stream_records(name, 2)
            assert (found.value.stream, found.value.archive) == (name, 1)
        else:
            assert log.read_stream(name) == before["streams"][name]
    assert log.commands_beside_events()[0] == before["beside"]
    assert [log.command(id) for id in sorted({one.command_id for one in before["read"]})] == before[
        "commands"
    ]
    assert [log.digest(position) for position in range(log.head + 1)] == before["digests"]


def test_a_stream_is_read_from_behind_what_was_removed(log: EventLog) -> None:
    events = log.read_stream("s-1")
    half = len(events) // 2
    number = archive(log, [one.position for one in events[:half]])
    log.remove_archive(number, **WHO)
    assert log.read_stream("s-1", after_version=half) == events[half:]
    with pytest.raises(EventsRemoved):
        log.read_stream("s-1", after_version=half - 1)
    with pytest.raises(CorrectionRefused, match="can only be had from its snapshot"):
        correct(log, events[-1].position)


def test_a_stream_that_lacks_events_in_its_middle_is_not_corrected(log: EventLog) -> None:
    """Its first events are there, and it needs its snapshot all the same."""
    events = log.read_stream("s-1")
    archive(log, [one.position for one in events[:2]])
    number = archive(log, [one.position for one in events[2:4]])
    correct(log, events[-1].position)
    log.remove_archive(number, **WHO)
    with pytest.raises(CorrectionRefused, match=f"'s-1' .* were removed with archive {number}"):
        correct(log, events[-1].position)
    correct(log, log.read_stream("s-2")[-1].position)


def test_what_is_open_elsewhere_notices_a_removal(log: EventLog) -> None:
    """A reader that has blocks of the archive in memory may still have its events; others it drops."""
    gone = of_streams(log, "s-1")
    number = archive(log, gone)
    folder, known = log._archives.folder, log._known_archive
    from storage.archive.archives import Archives

    other = Archives(folder, known)
    assert other.event(number, gone[0]) is not None
    log.remove_archive(number, **WHO)
    assert other.event(number, gone[-1]) is None


def test_ids_of_archived_and_removed_commands_are_forgotten_by_time(log: EventLog) -> None:
    half = log.head // 2
    ids = [(one.command_id, one.time_us) for one in log.read(0, log.head)]
    old = {id for id, time_us in ids if time_us < 1_000_000 + half}
    log.remove_archive(archive(log, list(range(1, half // 2))), **WHO)
    archive(log, list(range(half // 2, half + 5)))
    log.close()  # so that the indexes have all
    with EventLog.open(log.path, CODEC) as again:
        done = again.forget_ids(1_000_000 + half, lambda _: False, 10_000)
        assert done.removed == len(old)
        assert all(again.command(id) is None for id in old)
        sound(again)


# -- refusals ------------------------------------------------------------------------------------------------
def correct(log: EventLog, position: int, text: str = "corrected") -> None:
    [before] = log.records(position - 1, 1)
    [recorded] = log.read(position - 1, 1)
    recorded.event = Noted(text)
    after = encode_event(CODEC, recorded, *envelope_of(before)[11:])
    log.correct([ChangedEvent(position, before, after)], **WHO)


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([], "no events to archive"),
        ([3, 2], "position 2 comes after position 3"),
        ([2, 2], "position 2 comes after position 2"),
        ([0], "position 0 comes after position 0"),
        ([10_000], "which ends at"),
        ([1, 5], "position 5 of .* is in archive 1 already"),
    ],
)
def test_what_cannot_be_archived(log: EventLog, positions: list[int], message: str) -> None:
    archive(log, [5])
    with pytest.raises(ArchiveRefused, match=message):
        log.begin_archive(positions, **WHO)
    assert [path.name for path in (log.path / "archives").iterdir()] == ["00000001.archive"]


def test_an_event_that_was_corrected_meanwhile_refuses(log: EventLog) -> None:
    record = log.begin_archive([3, 4, 5], **WHO)
    correct(log, 9)
    correct(log, 4)
    with pytest.raises(ArchiveRefused, match="position 4 was corrected after"):
        log.move_to_archive(record.number, 10)
    assert log.archives() == []
    log.begin_archive([3, 4, 5], **WHO)
    assert log.move_to_archive(1, 10) == 0
    sound(log)


def test_an_archived_event_is_not_corrected(log: EventLog) -> None:
    record = log.begin_archive([3, 4, 5], **WHO)
    log.move_to_archive(record.number, 1)
    for position in (3, 4):
        with pytest.raises(CorrectionRefused, match="is in archive 1, which is never changed"):
            correct(log, position)
    log.move_to_archive(record.number, 10)
    sound(log)


def test_moving_and_removing_in_another_order_is_refused(log: EventLog) -> None:
    for call in (log.move_to_archive, lambda number, _: log.remove_archive(number, **WHO)):
        with pytest.raises(ArchiveRefused, match=r"was not begun|does not exist"):
            call(1, 10)
    record = log.begin_archive([3, 4, 5], **WHO)
    with pytest.raises(ArchiveRefused, match="does not exist"):
        log.remove_archive(record.number, **WHO)
    log.move_to_archive(record.number, 1)
    with pytest.raises(ArchiveRefused, match="not moved yet"):
        log.remove_archive(record.number, **WHO)
    with pytest.raises(ArchiveRefused, match="is in use"):
        log.cancel_archive(record.number)
    log.move_to_archive(record.number, 10)
    log.remove_archive(record.number, **WHO)
    with pytest.raises(ArchiveRefused, match="was removed already"):
        log.remove_archive(record.number, **WHO)
    with pytest.raises(ArchiveRefused, match="was removed"):
        log.move_to_archive(record.number, 10)


def test_a_begun_archive_is_replaced_or_taken_back(log: EventLog) -> None:
    log.begin_archive([3, 4, 5], **WHO)
    record = log.begin_archive([7], **WHO)
    assert log.archived_records(1) == [(7, log.records(6, 1)[0])]
    log.cancel_archive(record.number)
    assert list((log.path / "archives").iterdir()) == []


def test_a_file_of_another_log_is_left_alone(log: EventLog, tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "other", CODEC, durable=False) as other:
        fill(other, 10)
        record = other.begin_archive([1, 2], **WHO)
        (log.path / "archives").mkdir()
        foreign = log.path / "archives" / "00000001.archive"
        foreign.write_bytes(Path(record.file).read_bytes())
    for call in (
        lambda: log.begin_archive([1], **WHO),
        lambda: log.move_to_archive(1, 5),
        lambda: log.cancel_archive(1),
    ):
        with pytest.raises(ArchiveRefused, match="is an archive of another log; move it away"):
            call()
    assert foreign.exists()


def test_a_log_with_archives_is_of_a_newer_format(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert log.format == 3
    log.begin_archive([1], **WHO)
    assert log.format == 3
    log.move_to_archive(1, 5)
    assert log.format == 4
    log.close()
    with EventLog.open(log.path, CODEC) as again:
        assert again.format == 4
    monkeypatch.setattr(header, "ARCHIVES_FORMAT", 3)  # what earlier versions read up to
    with pytest.raises(NewerFormat, match="has format 4"):
        EventLog.open(log.path, CODEC)


# -- damage --------------------------------------------------------------------------------------------------
def put(log: EventLog, change: Callable[[Any, Any], None]) -> None:
    """Change the file of a closed log behind its back: `change` is given a transaction and the events."""
    with closing(lmdb.open(str(log.path), max_dbs=16, map_size=1 << 30)) as environment:
        events = environment.open_db(b"events")
        with environment.begin(write=True) as transaction:
            change(transaction, events)


def key(position: int) -> bytes:
    return position.to_bytes(8)


def test_a_stub_of_another_event_is_found(log: EventLog) -> None:
    from storage.log.archived_event import Stub
    from storage.log.checksums import opened_stub, sealed_stub

    archive(log, [3, 4, 5, 6])
    stubs: dict[int, bytes] = {}
    log.close()

    def swap(transaction: Any, events: Any) -> None:
        for position in (4, 5):
            stored = transaction.get(key(position), db=events)
            own, digest = opened_stub(position, stored)  # type: ignore[misc]
            stubs[position] = own
            changed = Stub.of(own)._replace(check=1).pack()
            transaction.put(key(position), sealed_stub(position, changed, digest), db=events)

    put(log, swap)
    with EventLog.open(log.path, CODEC) as again:
        with pytest.raises(ArchiveUnavailable, match=r"position 4 .* is another one in archive 1"):
            again.read(3, 1)
        findings = again.verify().findings
    assert [
        f"position {position} is not as archive 1 has it" in "".join(findings) for position in (4, 5)
    ] == [True, True]


def test_verify_finds_a_changed_byte_anywhere_in_an_archive(log: EventLog) -> None:
    archive(log, of_streams(log, "s-1"))
    log.close()
    file = log.path / "archives" / "00000001.archive"
    whole, dice = file.read_bytes(), random.Random(4)
    for at in [0, 20, len(whole) - 1, *dice.sample(range(len(whole)), 20)]:
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << dice.randrange(8)]) + whole[at + 1 :])
        found = verify_store(log.path).findings
        assert found, at
        assert all("archive 1: " in one and "00000001.archive" in one for one in found)
    file.write_bytes(whole)
    assert verify_store(log.path).findings == []


def test_an_event_that_came_back_into_the_log_is_found(log: EventLog) -> None:
    """Somebody restored a page, say, and the log has an event again that is in an archive."""
    was = {}

    def keep(transaction: Any, events: Any) -> None:
        was[4] = bytes(transaction.get(key(4), db=events))

    def bring_back(transaction: Any, events: Any) -> None:
        transaction.put(key(4), was[4], db=events)

    log.close()
    put(log, keep)
    with EventLog.open(log.path, CODEC) as again:
        archive(again, [3, 4, 5, 6])
    put(log, bring_back)
    [finding] = verify_store(log.path).findings
    assert "archive 1 has 4 events that were moved, and the log says of 3 that they are there" in finding


# -- what ends in between ------------------------------------------------------------------------------------
def test_a_failed_begin_leaves_nothing(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name in ((archive_writer.ArchiveWriter, "end"), (archive_files_log.PublishedFile, "publish")):
        with monkeypatch.context() as patch:
            put_fault(patch, owner, name)
            with pytest.raises(Fault):
                log.begin_archive([1, 2], **WHO)
        assert list((log.path / "archives").iterdir()) == []
    assert archive(log, [1, 2]) == 1


def test_an_opening_finishes_a_removal_that_was_interrupted(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = archive(log, [3, 4])
    [record] = log.archives()
    with monkeypatch.context() as patch:
        put_fault(patch, archive_files_log, "erase_file")
        with pytest.raises(Fault):
            log.remove_archive(number, **WHO)
    assert Path(record.file).exists()
    assert log.read(2, 1)[0].event is DROPPED
    log.close()
    (log.path / "archives" / "00000009.archive.partial").write_bytes(b"half")
    with EventLog.open(log.path, CODEC) as again:
        assert list((log.path / "archives").iterdir()) == []
        assert again.read(2, 1)[0].event is DROPPED
        sound(again)


def test_files_of_another_log_in_the_same_folder_are_not_erased(
    log: EventLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.remove_archive(archive(log, [3, 4]), **WHO)
    log.close()
    with EventLog.open(tmp_path / "other", CODEC, durable=False) as other:
        fill(other, 10)
        archive(other, [1, 2])
        folder = other.archives_path
        being_written = PublishedFile(folder / "00000002.archive")
        unfinished = folder / "00000003.archive.partial"
        unfinished.write_bytes((folder / "00000001.archive").read_bytes()[:500])
        with EventLog.open(log.path, CODEC, archives_path=folder) as again:
            assert sorted(folder.iterdir())[1:] == [being_written.partial, unfinished]
            with pytest.raises(ArchiveRefused, match="is being written by another store"):
                again.begin_archive([5], **WHO)
        assert caplog.text.count("is an archive of another log") == 2
        assert other.read(0, 1)[0].event is not DROPPED
        being_written.discard()


# -- any order -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_archiving_correcting_and_removing(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    log = EventLog.open(tmp_path / "log", CODEC, durable=False)
    wanted: list[RecordedEvent] = []
    gone: set[int] = set()
    digests: dict[int, bytes] = {}
    for number in range(60):
        kind = dice.random()
        there = [position for position, _ in log.in_log(range(1, log.head + 1))]
        archives = log.archives()
        moving = [one.number for one in archives if one.state == "moving"]
        if kind < 0.35 or not there:
            fill(log, dice.randint(1, 8), seed=1_000 + number)
            wanted += log.read(len(wanted))
        elif kind < 0.6 and not moving:
            made = log.begin_archive(sorted(dice.sample(there, min(20, len(there)))), **WHO)
            log.move_to_archive(made.number, dice.randrange(25))
        elif kind < 0.7 and moving:
            log.move_to_archive(moving[0], dice.randrange(25))
        elif kind < 0.8:
            position = dice.choice(there)
            try:
                correct(log, position, f"corrected {number}")
                wanted[position - 1] = log.read(position - 1, 1)[0]
            except CorrectionRefused:
                assert moving or gone
        elif kind < 0.85:
            log.close()
            log = EventLog.open(tmp_path / "log", CODEC, durable=False)
        else:
            ready = [one for one in archives if one.state == "archived"]
            if ready:
                chosen = dice.choice(ready)
                gone |= {position for position, _ in log.archived_records(chosen.number)}
                log.remove_archive(chosen.number, **WHO)
        for position in range(1, log.head + 1):
            assert digests.setdefault(position, log.digest(position)) == log.digest(position)
        now = log.read(0, log.head)
        assert [one.event is DROPPED for one in now] == [one.position in gone for one in wanted]
        assert [one for one in now if one.event is not DROPPED] == [
            one for one in wanted if one.position not in gone
        ]
        for stream, version in log.streams():
            whole = [one for one in wanted if one.stream == stream]
            after = max((one.version for one in whole if one.position in gone), default=0)
            assert version == len(whole)
            assert log.read_stream(stream, after) == whole[after:]
        check = log.verify()
        assert (check.findings, check.removed) == ([], len(gone))
    assert len(log.archives()) > 2
    assert gone
    log.close()
    assert verify_store(log.path).findings == []


# -- room ----------------------------------------------------------------------------------------------------
def leaf_pages(log: EventLog) -> int:
    with log.transaction() as reading:
        pages: int = reading.transaction.stat(reading.databases["events"])["leaf_pages"]
        return pages


def test_what_is_left_of_archived_events_takes_fewer_pages(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "log", CODEC, durable=False) as log:
        fill(log, 1_500)
        before, pages = contents(log), leaf_pages(log)
        archive(log, list(range(1, log.head - 50)), 2_000)
        assert leaf_pages(log) < 0.75 * pages
        assert contents(log) == before
        sound(log)


def compact(log: EventLog) -> int:
    """Compact an open log; the bytes of its file."""
    compaction = LiveCompaction(log, b"none", lambda value, _: value)
    return compaction.run(lambda end: end(), 30.0, lambda *_: None).after


def test_a_log_is_compacted_while_events_are_moved(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "log", CODEC, durable=False) as log:
        fill(log, 1_500)
        before, whole = contents(log), compact(log)
        made = log.begin_archive(list(range(1, log.head - 50)), **WHO)
        log.move_to_archive(made.number, made.events // 2)
        compact(log)
        assert contents(log) == before
        while log.move_to_archive(made.number, 2_000):
            pass
        # The indexes have all entries as before.
        assert compact(log) < 0.85 * whole
        assert contents(log) == before
        sound(log)
        log.remove_archive(made.number, **WHO)
        compact(log)
        assert log.read(0, 1)[0].event is DROPPED
        sound(log)


def test_a_log_whose_pages_cannot_be_looked_at_is_archived_all_the_same(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(log)
    put_fault(monkeypatch, archiving_log, "leaves_at", lambda: BrokenPage("page 7 is gone"))
    archive(log, list(range(1, log.head)))
    assert "were not packed: page 7 is gone" in caplog.text
    assert contents(log) == before
