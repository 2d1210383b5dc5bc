"""Kills a process with SIGKILL at random moments while threads execute commands that read and change inline
tables.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (a fifth of it, at least 3), `ONEWRITER_CRASH_SEED` the
seed.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from storage import EventLog
from tests.forked import Forked
from tests.system.club import club
from tests.system.inline_checks import check_refill

pytestmark = pytest.mark.kill

ROUNDS = max(int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "30")) // 5, 3)
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", random.randrange(1 << 32)))


def run_and_kill(store: Path, notes: Path, number: int, seconds: float) -> None:
    with Forked("tests.system.inline_child", str(store), str(notes), str(number)) as process:
        try:
            assert process.stdout.readline() == "open\n"
            process.wait(seconds)
            pytest.fail(f"the child ended by itself: {process.stdout.read()}")
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()


def test_inline_tables_are_what_the_log_gives_after_the_process_was_killed(tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    acknowledged = 0
    for number in range(ROUNDS):
        store, notes = tmp_path / f"club-{number // 3}", tmp_path / f"round-{number}"
        run_and_kill(store, notes, number, dice.uniform(0.0, 0.6))
        with EventLog.open(store, club.compile().codec, siblings=["replicas"]) as log:
            for line in notes.read_text().splitlines() if notes.exists() else ():
                command_id, last = line.split()
                record = log.command(command_id)
                assert record is not None, f"{command_id} was acknowledged and is not there"
                assert int(last) == (record.first + record.count - 1 if record.count else 0)
                acknowledged += 1
        check_refill(store)
    assert acknowledged
