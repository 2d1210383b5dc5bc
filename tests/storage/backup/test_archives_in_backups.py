"""Backups of logs with archives: each archive is copied once, and a restored log is what the log was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import EventLog, InvalidBackup
from storage.backup import backup_writer
from storage.backup.backup_set import BackupSet
from storage.backup.restore import restore_backup
from storage.backup.take_backup import take_backup
from storage.backup.verify_backup import verify_backup
from storage.log.records import EPOCH
from storage.log.verification import verify_store
from tests.storage.backup.histories import CODEC, ArchivingHistory, contents

WHO: dict[str, Any] = {"who": "ann", "why": "old", "time_us": 5_000_000}


@pytest.fixture
def history(tmp_path: Path) -> ArchivingHistory:
    history = ArchivingHistory(tmp_path / "log", 7)
    for _ in range(30):
        history.step()
    return history


def restored(source: Path, target: Path, **options: Any) -> dict[str, Any]:
    report = restore_backup(source, target, **options)
    check = verify_store(target)
    assert check.findings == []
    with EventLog.open(target, CODEC) as log:
        assert (log.history_id, log.head) == (report.history_id, report.position)
        assert {one.state for one in log.archives()} <= {"archived", "removed"}
        assert log.unavailable_archives() == []
        return contents(log)


@pytest.mark.parametrize("seed", range(2))
def test_a_log_with_archives_comes_back_at_every_point(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_writer, "STRETCH", 20)
    history = ArchivingHistory(tmp_path / "log", seed)
    dice, log, backups = history.dice, history.log, tmp_path / "backups"
    wanted: dict[int, dict[str, Any]] = {}
    moments: list[tuple[int, dict[str, Any]]] = []
    with log:
        wanted[0] = contents(log)
        for number in range(70):
            history.step()
            if log.head and dice.random() < 0.2:
                history.archive()
            wanted[log.head] = contents(log)
            if log.head:
                moments.append((history.time_us, wanted[log.head]))
            if dice.random() < 0.3 or number == 69:
                made = take_backup(log, backups, full=dice.random() < 0.1)
                assert (made.position, made.chain) == (log.head, log.chain_head()[1])
        assert len(log.archives()) > 3
        assert log.verify().findings == []
        assert restored(backups, tmp_path / "all") == contents(log)
        assert [one.findings for one in verify_backup(backups)] == [[]] * len(BackupSet(backups).files())
    for position in dice.sample(range(1, log.head + 1), 12):
        found = restored(backups, tmp_path / f"at-{position}", position=position)
        expected = wanted[max(one for one in wanted if one <= position)]
        assert {**found, "notes": expected["notes"]} == expected
    for time_us, _ in dice.sample(moments, 6):
        found = restored(backups, tmp_path / f"time-{time_us}", at=EPOCH + timedelta(microseconds=time_us))
        expected = [one for when, one in moments if when <= time_us][-1]
        for name in ("records", "corrections", "streams", "tags"):
            assert found[name] == expected[name]


def test_each_archive_is_copied_once_and_the_next_backup_is_full(
    history: ArchivingHistory, tmp_path: Path
) -> None:
    backups = tmp_path / "backups"
    with history.log as log:
        assert take_backup(log, backups).full
        history.archive()
        assert take_backup(log, backups).full
        [copy] = BackupSet(backups).copies()
        was = (backups / copy).stat()
        history.step()
        assert not take_backup(log, backups).full
        history.archive()
        assert take_backup(log, backups).full
        assert len(BackupSet(backups).copies()) == 2
        now = (backups / copy).stat()
        assert (now.st_ino, now.st_mtime_ns) == (was.st_ino, was.st_mtime_ns)


def test_what_no_backup_needs_any_more_is_removed(history: ArchivingHistory, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with history.log as log:
        number = history.archive(whole=True)
        history.archive(whole=True)
        take_backup(log, backups)
        log.remove_archive(number, **WHO)
        take_backup(log, backups, keep=2)
        assert len(BackupSet(backups).copies()) == 2
        history.step()
        take_backup(log, backups, full=True, keep=2)
        assert len(BackupSet(backups).copies()) == 1
        assert restored(backups, tmp_path / "again") == contents(log)


def test_an_archive_that_is_made_while_a_backup_runs_is_in_it(
    history: ArchivingHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_writer, "STRETCH", 5)
    monkeypatch.setattr(backup_writer, "LEFT", 0)
    with history.log as log:
        take_backup(log, tmp_path / "backups")
        history.step()
        made: list[int] = []

        def meanwhile(_position: int, _last: int) -> None:
            if not made:
                made.append(history.archive(whole=True))
                history.step()

        assert take_backup(log, tmp_path / "backups", progress=meanwhile).full
        assert made
        assert restored(tmp_path / "backups", tmp_path / "again") == contents(log)


def test_removed_events_are_in_backups_from_before_alone(history: ArchivingHistory, tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    with history.log as log:
        number = history.archive(whole=True)
        take_backup(log, before)
        kept, position = contents(log), log.head
        history.step()
        while log.head == position:
            history.step()
        log.remove_archive(number, **WHO)
        for folder in (before, after):
            take_backup(log, folder)
        assert len(BackupSet(after).copies()) == 0
        for number, folder in enumerate((before, after)):
            assert restored(folder, tmp_path / f"all-{number}") == contents(log)
            assert [one.findings for one in verify_backup(folder) if one.findings] == []
        assert contents(log) != kept
    assert restored(before, tmp_path / "at", position=position) == kept
    with pytest.raises(InvalidBackup, match="has no events of archive 1: it was removed after the point"):
        restore_backup(after, tmp_path / "never", position=position)
    assert not list(tmp_path.glob("never*"))


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "is damaged"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:300] + b"?" + file.read_bytes()[301:]),
            "is damaged",
        ),
    ],
)
def test_a_copy_that_is_missing_or_damaged_is_found(
    history: ArchivingHistory, tmp_path: Path, damage: Callable[[Path], Any], finding: str
) -> None:
    backups = tmp_path / "backups"
    with history.log as log:
        history.archive(whole=True)
        take_backup(log, backups)
    [copy] = BackupSet(backups).copies()
    damage(backups / copy)
    [found] = verify_backup(backups)
    assert all(finding in one for one in found.findings)
    assert found.findings
    with pytest.raises(Exception, match=finding):
        restore_backup(backups, tmp_path / "again")
    assert not list(tmp_path.glob("again*"))


def test_a_damaged_archive_is_not_copied(history: ArchivingHistory, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    with history.log as log:
        history.archive(whole=True)
        file = Path(log.archives()[0].file)
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        with pytest.raises(Exception, match="is damaged"):
            take_backup(log, backups)
    assert BackupSet(backups).files() == []
    assert BackupSet(backups).copies() == []
