"""Kills backups and restores with SIGKILL at random moments: every file that is there is good.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (1), `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from storage import EventLog
from storage.backup.backup_set import BackupSet
from storage.backup.restore import restore_backup
from storage.backup.verify_backup import verify_backup
from tests.forked import Forked
from tests.storage.backup.histories import CODEC, contents

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
KILLS = 3


def run_and_kill(seconds: float, *arguments: object) -> None:
    """Start the child, and kill it so many seconds after it has begun."""
    with Forked("tests.storage.backup.backup_child", *map(str, arguments)) as process:
        try:
            assert process.stdout.readline() == "begins\n"
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_backup_or_a_restore_that_is_killed_leaves_good_files_alone(number: int, tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED + number)
    path, backups, target = tmp_path / "log", tmp_path / "backups", tmp_path / "restored"
    for _ in range(KILLS):
        run_and_kill(dice.uniform(0.0, 0.4), "backup", path, backups, dice.randrange(1 << 30))
        files = BackupSet(backups).files() if backups.exists() else []
        assert [one.findings for one in verify_backup(backups)] == [[]] * len(files) if files else True
    if not files:
        return
    with EventLog.open(path, CODEC) as log:
        wanted = contents(log)
        at = [one.segment.end.point for one in verify_backup(backups) if one.segment is not None]
        for index, point in enumerate(dice.sample(at, min(3, len(at)))):
            again = tmp_path / f"again-{index}"
            restore_backup(backups, again, position=point.position)
            assert log.verify(chain=(point.position, point.digest.hex())).findings == []
            with EventLog.open(again, CODEC) as restored:
                found = contents(restored)["records"]
                changed = {one for all in wanted["corrections"] for one in all.positions}
                for position, record in enumerate(found, 1):
                    assert position in changed or record == wanted["records"][position - 1]
    for _ in range(KILLS):
        run_and_kill(dice.uniform(0.0, 0.05), "restore", target, backups, 0)
        if target.exists():
            break
    if not target.exists():
        restore_backup(backups, target)
    with EventLog.open(target, CODEC) as restored, EventLog.open(path, CODEC) as log:
        position, digest = restored.chain_head()
        assert position == at[-1].position
        assert log.verify(chain=(position, digest)).findings == []
    assert not list(tmp_path.glob("*.restoring"))
    print(f"{len(files)} files, {position} events")
