"""A restored log is what the log was: at the end of every backup, at every position and at every moment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage import CommandRecord, EventLog, RecordedEvent
from storage.backup import backup_writer, restored_log
from storage.backup.restore import Restored, restore_backup
from storage.backup.take_backup import take_backup
from storage.log.records import EPOCH
from storage.log.verification import verify_store
from tests.storage.backup.histories import CODEC, Counted, History, contents


def restored(source: Path, target: Path, **options: Any) -> tuple[dict[str, Any], Restored]:
    report = restore_backup(source, target, **options)
    with EventLog.open(target, CODEC) as log:
        found = contents(log)
        assert (log.history_id, log.head) == (report.history_id, report.position)
    assert verify_store(target).findings == []
    return found, report


@pytest.mark.parametrize("seed", range(3))
def test_a_log_comes_back_from_full_backups_and_increments_at_every_point(seed: int, tmp_path: Path) -> None:
    history = History(tmp_path / "log", seed)
    dice, log = history.dice, history.log
    backups = tmp_path / "backups"
    wanted: dict[int, dict[str, Any]] = {}
    moments: list[tuple[int, dict[str, Any]]] = []
    notes: dict[int, list[tuple[bytes, bytes]]] = {}
    with log:
        wanted[0] = contents(log)
        for number in range(60):
            history.step()
            wanted[log.head] = contents(log)
            if log.head:
                moments.append((history.time_us, wanted[log.head]))
            if dice.random() < 0.3 or number == 59:
                made = take_backup(log, backups, full=dice.random() < 0.2)
                assert (made.position, made.chain) == (log.head, log.chain_head()[1])
                notes[log.head] = log.notes(b"")
        found, report = restored(backups, tmp_path / "all")
        assert found == contents(log)
        assert report.notes_position == log.head
        assert report.former_history_id == log.history_id != report.history_id
    for position in dice.sample(range(log.head + 1), 12):
        found, report = restored(backups, tmp_path / f"at-{position}", position=position)
        end = max(one for one in wanted if one <= position)
        expected = wanted[end]
        assert {**found, "notes": expected["notes"]} == expected
        with_notes = max((one for one in notes if one <= end), default=None)
        assert found["notes"] == notes.get(with_notes, [])  # type: ignore[arg-type]
        assert (report.position, report.notes_position) == (end, with_notes)
    for time_us, _ in dice.sample(moments, 6):
        at = EPOCH + timedelta(microseconds=time_us)
        found, _ = restored(backups, tmp_path / f"time-{time_us}", at=at)
        expected = [one for when, one in moments if when <= time_us][-1]
        for name in ("records", "corrections", "streams", "tags"):
            assert found[name] == expected[name]


def test_an_id_that_was_forgotten_and_is_that_of_a_later_command_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restored_log, "TOGETHER", 1)
    monkeypatch.setattr(backup_writer, "STRETCH", 1)

    def event(position: int, id: str) -> RecordedEvent:
        return RecordedEvent(position, "s-0", position, Counted(position), "Counted", position, id)

    def commit(log: EventLog, position: int, id: str) -> None:
        log.append(
            [event(position, id)], [CommandRecord(id, position, 1, b"d%d" % position, "s-0", position)]
        )

    backups = tmp_path / "backups"
    with EventLog.open(tmp_path / "log", CODEC) as log:
        commit(log, 1, "twice")
        commit(log, 2, "once")
        take_backup(log, backups)
    for first in (3, 6):
        with EventLog.open(tmp_path / "log", CODEC) as log:
            log.forget_ids(first, lambda id: id == "kept", 100)
            commit(log, first, "twice")
            commit(log, first + 1, "kept" if first == 3 else "new")
            commit(log, first + 2, f"more-{first}")
            assert log.verify().findings == []
    with EventLog.open(tmp_path / "log", CODEC) as log:
        take_backup(log, backups)
    for position in (1, 2, 3, 5, 6, 8):
        restored(backups, tmp_path / f"at-{position}", position=position)
        with EventLog.open(tmp_path / f"at-{position}", CODEC) as log:
            record = log.command("twice")
            assert record is not None
            assert record.first == max(one for one in (1, 3, 6) if one <= position)
            assert (log.command("once") is not None) == (position > 1)
