"""The files of a backup: what is found in damaged ones, and what stays after a full disk or a removal."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from storage import DamagedStore, EventLog, InvalidBackup, StorageError, StoreFull, StoreLocked
from storage.backup import backup_writer, segment_source
from storage.backup.backup_set import BackupSet
from storage.backup.pace import Pace
from storage.backup.restore import restore_backup
from storage.backup.segment_writer import SegmentWriter
from storage.backup.take_backup import take_backup
from storage.backup.verify_backup import verify_backup
from storage.files import published_file
from storage.files.published_file import PARTIAL, PublishedFile, is_being_written
from storage.log.records import U64
from tests.faults import Fault, put_fault
from tests.storage.backup.histories import CODEC, History, contents


@pytest.fixture
def history(tmp_path: Path) -> Any:
    history = History(tmp_path / "log", 5)
    for _ in range(30):
        history.step()
    with history.log:
        yield history


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def sound(path: Path) -> bool:
    return not any(check.findings for check in verify_backup(path))


def test_every_changed_byte_is_found(history: History, backups: Path) -> None:
    take_backup(history.log, backups)
    [file] = BackupSet(backups).files()
    assert sound(backups)
    whole = file.read_bytes()
    dice = random.Random(1)
    for at in {*range(60), *range(len(whole) - 40, len(whole)), *dice.sample(range(len(whole)), 100)}:
        changed = bytearray(whole)
        changed[at] ^= 1 << dice.randrange(8)
        file.write_bytes(changed)
        assert not sound(file), at
    for length in dice.sample(range(len(whole)), 20):
        file.write_bytes(whole[:length])
        assert not sound(file), length


def test_a_forged_event_is_found_though_all_checksums_are_right(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forged(self: SegmentWriter, first: int, values: list[bytes]) -> None:
        from storage.log.checksums import opened_event, resealed_event

        record, digest = opened_event(first, values[0])  # type: ignore[misc]
        record = record.replace(b"s-", b"t-", 1)
        write(self, first, [resealed_event(first, record, digest), *values[1:]])

    write = SegmentWriter.events
    monkeypatch.setattr(SegmentWriter, "events", forged)
    take_backup(history.log, backups)
    [check] = verify_backup(backups)
    assert "not what the chain says" in check.findings[0]
    with pytest.raises(DamagedStore, match="not what the chain says"):
        restore_backup(backups, backups.with_name("restored"))
    assert not backups.with_name("restored").exists()


def test_damage_in_the_log_is_found_and_no_backup_is_made_of_it(history: History, backups: Path) -> None:
    take_backup(history.log, backups)
    position = history.log.head // 2
    environment = history.log._live_environment()
    with environment.begin(write=True) as transaction:
        events = history.log._databases["events"]
        stored = transaction.get(U64.pack(position), db=events)
        transaction.put(U64.pack(position), bytes([stored[0] ^ 1]) + stored[1:], db=events)
    with pytest.raises(DamagedStore) as caught:
        take_backup(history.log, backups, full=True)
    assert caught.value.position == position
    assert [file.name for file in BackupSet(backups).files()] == ["00000001-full.backup"]
    assert sorted(os.listdir(backups)) == ["00000001-full.backup", "LOCK"]
    assert sound(backups)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["write", "flush", "fsync", "rename"])
def test_a_disk_that_fills_leaves_the_last_good_backup(
    name: str, history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_backup(history.log, backups)
    before = contents(history.log)
    history.step()
    with monkeypatch.context() as patch:
        if name in ("fsync", "rename"):
            put_fault(patch, os, name, full_disk)
        else:
            patch.setattr(PublishedFile, "write" if name == "write" else "publish", failing(name))
        with pytest.raises(StoreFull, match="is full"):
            take_backup(history.log, backups)
    assert sorted(os.listdir(backups)) == ["00000001-full.backup", "LOCK"]
    restore_backup(backups, backups.with_name("restored"))
    made = take_backup(history.log, backups)
    assert not made.full
    assert sound(backups)
    assert before["records"] == contents(history.log)["records"][: len(before["records"])]


def failing(name: str) -> Callable[..., None]:
    """A method of `PublishedFile` whose file can't be written or flushed."""
    original = getattr(PublishedFile, "write" if name == "write" else "publish")

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, asked: str) -> Any:
            if asked == name:
                raise full_disk()
            return getattr(self._file, asked)

    def method(self: PublishedFile, *arguments: Any) -> None:
        self._file = Full(self._file)  # type: ignore[assignment]
        original(self, *arguments)

    return method


def test_a_disk_that_fills_during_a_restore_leaves_nothing(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_backup(history.log, backups)
    target = backups.with_name("restored")
    for owner, name in ((os, "fsync"), (os, "rename")):
        with monkeypatch.context() as patch:
            put_fault(patch, owner, name, full_disk)
            with pytest.raises(StoreFull):
                restore_backup(backups, target)
        assert not target.exists()
    restore_backup(backups, target)


def test_a_folder_that_is_removed_in_the_middle_is_an_error_and_the_next_backup_makes_it(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(*_: object) -> None:
        for name in os.listdir(backups):
            (backups / name).unlink()
        backups.rmdir()

    with monkeypatch.context() as patch:
        patch.setattr(backup_writer, "notes_digest", lambda log: (remove(), original(log))[1])
        with pytest.raises(StorageError, match="cannot be written: No such file"):
            take_backup(history.log, backups)
    assert take_backup(history.log, backups).full
    assert sound(backups)


original = backup_writer.notes_digest


def test_what_a_killed_backup_left_is_removed_and_two_at_once_are_refused(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_backup(history.log, backups)
    (backups / f"00000002-increment.backup{PARTIAL}").write_bytes(b"half")
    refused: list[StoreLocked] = []

    def second(*_: object) -> None:
        with pytest.raises(StoreLocked) as caught:
            take_backup(history.log, backups)
        refused.append(caught.value)

    monkeypatch.setattr(backup_writer, "notes_digest", lambda log: (second(), original(log))[1])
    assert not take_backup(history.log, backups).full
    assert "process" in refused[0].holder
    assert sorted(os.listdir(backups)) == ["00000001-full.backup", "00000002-increment.backup", "LOCK"]


def test_folders_of_something_else_are_refused_and_left_as_they_are(history: History, tmp_path: Path) -> None:
    for name in ("notes.txt", "data.mdb", "00000001-full.backup.old"):
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(InvalidBackup, match="holds"):
            take_backup(history.log, folder)
        assert os.listdir(folder) == [name]
    with pytest.raises(StorageError, match="in the store"):
        take_backup(history.log, tmp_path / "log" / "backups")
    with pytest.raises(InvalidBackup, match="no backup at"):
        restore_backup(tmp_path / "none", tmp_path / "restored")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidBackup, match="holds no backup"):
        restore_backup(tmp_path / "empty", tmp_path / "restored")


def test_a_newest_file_that_can_not_be_read_is_followed_by_a_full_one(
    history: History, backups: Path
) -> None:
    take_backup(history.log, backups)
    take_backup(history.log, backups)
    newest = BackupSet(backups).files()[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(InvalidBackup, match="cut short"):
        restore_backup(backups, backups.with_name("restored"))
    made = take_backup(history.log, backups)
    assert made.full
    newest.unlink()
    restore_backup(backups, backups.with_name("restored"))


def test_old_backups_are_removed_before_the_last_full_ones(history: History, backups: Path) -> None:
    for full in (True, False, True, False, False, True, False):
        history.step()
        take_backup(history.log, backups, full=full)
    names = [file.name[:12] for file in BackupSet(backups).files()]
    take_backup(history.log, backups, keep=4)
    assert [file.name[:12] for file in BackupSet(backups).files()[:-1]] == names
    take_backup(history.log, backups, keep=2)
    assert [file.name[:12] for file in BackupSet(backups).files()[:5]] == names[2:]
    # A full one that can't be read does not count.
    full = BackupSet(backups).files()[3]
    assert "full" in full.name
    full.write_bytes(full.read_bytes()[:-1])
    take_backup(history.log, backups, full=True, keep=2)
    assert len(BackupSet(backups).files()) == 8
    take_backup(history.log, backups, keep=1)
    left = BackupSet(backups).files()
    assert ["full" in file.name for file in left] == [True, False]
    assert sound(backups)
    restore_backup(backups, backups.with_name("restored"))
    restore_backup(left[0], backups.with_name("restored-of-a-file"))
    with pytest.raises(InvalidBackup, match="is an increment"):
        restore_backup(left[1], backups.with_name("never"))
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="keep="):
            take_backup(history.log, backups, keep=wrong)


def test_a_log_that_went_on_from_an_earlier_copy_is_backed_up_from_the_start(tmp_path: Path) -> None:
    backups, history = tmp_path / "backups", History(tmp_path / "log", 5)
    for _ in range(20):
        history.step()
    history.log.close()
    shutil.copytree(tmp_path / "log", tmp_path / "copy")
    history.log = EventLog.open(tmp_path / "log", CODEC)
    with history.log:
        for _ in range(10):
            history.step()
        take_backup(history.log, backups)
    with EventLog.open(tmp_path / "copy", CODEC) as log:
        assert log.history_id == history.log.history_id
        assert take_backup(log, backups).full
        log.append([], notes=[(b"one", b"more")])
        assert not take_backup(log, backups).full


def test_a_backup_takes_as_long_as_its_rate_demands() -> None:
    now = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(1000.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(10):
        now[0] += 0.01
        pace.after(100)
    assert 0.98 <= now[0] <= 1.0
    assert len(slept) == 10
    unbounded = Pace(clock=lambda: now[0], sleep=sleep)
    unbounded.after(1 << 40)
    assert len(slept) == 10
    assert not unbounded.gentle


def test_a_backup_takes_its_share_of_the_time_and_more_if_it_does_not_catch_up() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(share=0.1, clock=lambda: now[0], sleep=sleep)
    assert pace.gentle
    for _ in range(10):
        now[0] += 0.01
        pace.after(1)
    assert now[0] == pytest.approx(1.0)
    for share in (0.2, 0.4, 0.8, 1.0, 1.0):
        pace.hurry()
        before = now[0]
        now[0] += 0.01
        pace.after(1)
        assert now[0] - before == pytest.approx(0.01 / share)


def test_a_log_that_grows_faster_than_its_backup_is_backed_up(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_writer, "SHORT_STRETCH", 10)
    monkeypatch.setattr(backup_writer, "LEFT", 5)
    monkeypatch.setattr(backup_writer, "ROUNDS", 3)

    def grow(*_: int) -> None:
        for _ in range(4):
            history.step()

    made = take_backup(history.log, backups, share=0.9, progress=grow)
    assert made.position > 100
    assert sound(backups)
    for wrong in (0, 1.5, -1):
        with pytest.raises(ValueError, match="share="):
            take_backup(history.log, backups, share=wrong)
    with pytest.raises(ValueError, match="max_bytes_per_second="):
        take_backup(history.log, backups, max_bytes_per_second=0)


def test_an_interrupted_backup_leaves_nothing(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_fault(monkeypatch, SegmentWriter, "end", Fault)
    with pytest.raises(Fault):
        take_backup(history.log, backups)
    assert os.listdir(backups) == ["LOCK"]


def test_an_operation_that_changes_no_event_is_not_missed(tmp_path: Path) -> None:
    with History(tmp_path / "log", 5).log as log:
        log.record_notes([(b"closed/s-1", b"")], who="ann", why="done", time_us=1)
        take_backup(log, tmp_path / "backups")
    assert [one.findings for one in verify_backup(tmp_path / "backups")] == [[]]


@pytest.mark.parametrize(("share", "synced"), [(1.0, "posix_fadvise"), (0.9, "fdatasync")])
def test_a_backup_that_may_take_all_of_its_time_waits_for_the_disk_once(
    share: float, synced: str, history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"posix_fadvise": 0, "fdatasync": 0}

    def counted(name: str) -> Callable[..., None]:
        original = getattr(os, name)

        def call(*arguments: Any) -> None:
            calls[name] += 1
            original(*arguments)

        return call

    monkeypatch.setattr(published_file, "SYNC_BYTES", 1_000)
    for name in calls:
        monkeypatch.setattr(os, name, counted(name))
    take_backup(history.log, backups, share=share)
    assert [name for name, count in calls.items() if count] == [synced]
    assert sound(backups)


def test_of_large_events_few_are_in_memory_at_a_time(
    history: History, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_source, "STRETCH_BYTES", 1)
    monkeypatch.setattr(segment_source, "READ_TOGETHER", 20)
    monkeypatch.setattr(backup_writer, "LEFT", 0)
    positions = [0]
    take_backup(history.log, backups, progress=lambda position, _: positions.append(position))
    assert len(positions) > 5
    assert max(later - earlier for earlier, later in pairwise(positions)) <= 20
    assert positions[-1] == history.log.head
    assert sound(backups)


def test_blocks_are_written_where_they_were_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_file, "MOST_BLOCKS", 2)
    pwritev = os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda file, data, at: pwritev(file, [data[0][:3]], at))
    file = PublishedFile(tmp_path / "file")
    file.write(b"before ")
    blocks = [b"one ", b"", b"two", b" three ", b"four "]
    begin = file.leave(sum(map(len, blocks)))
    file.write(b"after")
    file.write_at(begin, blocks)
    assert is_being_written(file.partial)
    file.publish()
    assert (tmp_path / "file").read_bytes() == b"before one two three four after"
    assert not is_being_written(tmp_path / "file")
    assert not is_being_written(tmp_path / "missing")
