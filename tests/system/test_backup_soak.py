"""Backups under load, each restored and compared; see `backup_soak`, which `make soak-backup` runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.system import backup_soak
from tests.system.backup_soak import Plan, Soak

start = partial(Forked, "tests.system.backup_soak", "restore", stdin=True)
PLAN = Plan(backups=4, interval=0.0, full_every=2, callers=1, bulk_callers=1)


@pytest.mark.parametrize(("events", "stores", "full"), [(1 << 30, 1, 2), (0, 4, 4)])
def test_each_backup_under_load_is_the_fold_of_the_log_and_is_removed_once_it_was_compared(
    events: int, stores: int, full: int, tmp_path: Path
) -> None:
    report = Soak(tmp_path, replace(PLAN, events=events), start).run()
    assert report.wrong == []
    assert (report.backups, report.restored) == (4, 4)
    assert (report.stores, report.full) == (stores, full)
    assert report.commands > 0
    # Of the last store there are the last full backup, and what continues it.
    assert sum(len(list(one.glob("*.backup"))) for one in tmp_path.glob("backups-*")) <= 2


@pytest.mark.parametrize("harm", ["other", "gone"])
def test_a_backup_of_something_else_and_one_that_is_gone_are_reported(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def harmed(self: Soak, child: object, job: backup_soak.Job) -> None:
        if harm == "other":
            job.fold["nobody"] = 1
        else:
            for file in job.backups.glob("*.backup"):
                file.unlink()
        check(self, child, job)

    check = Soak._check
    monkeypatch.setattr(Soak, "_check", harmed)
    report = Soak(tmp_path, replace(PLAN, backups=1), start).run()
    assert report.restored == (harm == "other")
    assert len(report.wrong) == 1
    assert ("InvalidBackup" in report.wrong[0]) == (harm == "gone")
