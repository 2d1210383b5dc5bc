"""A full backup that is made in the place of an increment, while others continue the increment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from storage import DamagedStore
from storage.backup import backup_writer
from storage.backup.backup_set import BackupSet
from storage.backup.full_of_increment import Increment
from storage.backup.take_backup import take_backup
from storage.backup.targets import FolderTarget
from storage.backup.verify_backup import verify_backup
from storage.files.published_file import PARTIAL
from tests.faults import Fault
from tests.storage.backup.histories import History, contents
from tests.storage.backup.test_restore import restored


def sound(path: Path) -> bool:
    return not any(check.findings for check in verify_backup(path))


def names(path: Path) -> list[str]:
    return [name.removesuffix(".backup") for name in sorted(os.listdir(path)) if name != "LOCK"]


@pytest.fixture(autouse=True)
def in_many_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_writer, "SHORT_STRETCH", 10)
    monkeypatch.setattr(backup_writer, "STRETCH", 10)
    monkeypatch.setattr(backup_writer, "LEFT", 5)


def begun(history: History, backups: Path) -> Increment:
    """A full backup and two increments, the last one with all notes."""
    for whole_notes in (False, False, True):
        for _ in range(15):
            history.step()
        take_backup(history.log, backups, whole_notes=whole_notes)
    newest = BackupSet(backups).newest()
    assert newest is not None
    return Increment.read(newest)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_log_was_and_is_continued(seed: int, tmp_path: Path) -> None:
    backups, history = tmp_path / "backups", History(tmp_path / "log", seed)
    with history.log as log:
        increment = begun(history, backups)
        wanted = contents(log)
        for _ in range(3):
            for _ in range(10):
                history.step()
            take_backup(log, backups)
        made = FolderTarget(backups).take_full_of(log, increment, 1.0, None, None)
        assert (made.full, made.position, made.chain) == (True, *wanted["chain"])
        assert names(backups) == [
            "00000001-full",
            "00000002-increment",
            "00000003-full",
            "00000004-increment",
            "00000005-increment",
            "00000006-increment",
        ]
        assert sound(backups)
        assert restored(backups, tmp_path / "all")[0] == contents(log)
        assert restored(Path(made.file), tmp_path / "alone")[0] == wanted
        between = increment.segment.header.base.position + 1
        assert restored(backups, tmp_path / "between", position=between)[1].position <= made.position
        BackupSet(backups).remove_before(1)
        assert names(backups)[0] == "00000003-full"
        assert restored(backups, tmp_path / "later")[0] == contents(log)
        assert not take_backup(log, backups).full


def test_increments_go_on_while_it_is_made(tmp_path: Path) -> None:
    backups, history = tmp_path / "backups", History(tmp_path / "log", 1)
    target = FolderTarget(backups)
    partial = f"00000003-full.backup{PARTIAL}"
    with history.log as log:
        increment = begun(history, backups)

        def another(position: int, last: int) -> None:
            assert last == increment.end.position
            assert partial in os.listdir(backups)
            history.step()
            target.take(log)

        made = target.take_full_of(log, increment, 0.9, 2, another)
        assert made.position == increment.end.position
        assert names(backups)[:4] == [
            "00000001-full",
            "00000002-increment",
            "00000003-full",
            "00000004-increment",
        ]
        assert sound(backups)
        assert restored(backups, tmp_path / "all")[0] == contents(log)


def test_what_a_kill_leaves_of_it_is_passed_over_and_removed(tmp_path: Path) -> None:
    backups, history = tmp_path / "backups", History(tmp_path / "log", 1)
    with history.log as log:
        increment = begun(history, backups)
        shutil.copy(increment.segment.path, tmp_path / "kept")
        FolderTarget(backups).take_full_of(log, increment, 1.0, None, None)
        shutil.copy(tmp_path / "kept", increment.segment.path)
        assert len(names(backups)) == 4
        assert sound(backups)
        assert restored(backups, tmp_path / "all")[0] == contents(log)
        history.step()
        (backups / f"00000003-full.backup{PARTIAL}").write_bytes(b"half")
        assert not take_backup(log, backups).full
        assert names(backups) == [
            "00000001-full",
            "00000002-increment",
            "00000003-full",
            "00000004-increment",
        ]
        assert restored(backups, tmp_path / "again")[0] == contents(log)


def test_one_that_ends_in_the_middle_leaves_the_increment(tmp_path: Path) -> None:
    backups, history = tmp_path / "backups", History(tmp_path / "log", 1)

    def stop(*_: int) -> None:
        raise Fault

    with history.log as log:
        increment = begun(history, backups)
        before = names(backups)
        with pytest.raises(Fault):
            FolderTarget(backups).take_full_of(log, increment, 1.0, None, stop)
        assert names(backups) == before


def test_one_of_a_log_that_is_not_that_of_the_increment_is_not_made(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    history, other = History(tmp_path / "log", 1), History(tmp_path / "other", 2)
    with history.log, other.log:
        increment = begun(history, backups)
        for _ in range(60):
            other.step()
        before = names(backups)
        with pytest.raises(DamagedStore):
            FolderTarget(backups).take_full_of(other.log, increment, 1.0, None, None)
        assert names(backups) == before
