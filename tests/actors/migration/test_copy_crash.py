"""Kills a copy with SIGKILL at random moments; the next one goes on, and the result is as without a kill.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (3), `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from storage import Codec, EventLog
from tests.actors.migration.copy_child import fill
from tests.forked import Forked

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
COMMANDS = 2_000
MOST_KILLS = 6


def contents(path: Path) -> Any:
    with EventLog.open(path, Codec(), create=False) as log:
        ids = [f"c{number}" for number in range(COMMANDS)]
        notes = [note for note in log.notes(b"") if note[0] != b"copy/about"]
        return log.records(0, 1 << 30), [log.command(id) for id in ids], notes, log.streams()


def start(source: Path, target: Path) -> Forked:
    return Forked("tests.actors.migration.copy_child", str(source), str(target))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_copy_that_is_killed_goes_on(number: int, tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED + number)
    source, expected, target = tmp_path / "source", tmp_path / "expected", tmp_path / "target"
    fill(source, COMMANDS)
    before = contents(source)
    with start(source, expected) as process:
        process.stdout.read()
        assert process.wait(120) == 0
    killed = 0
    for _ in range(MOST_KILLS):
        with start(source, target) as process:
            try:
                assert process.stdout.readline() == "begins\n"
                process.wait(dice.uniform(0.0, 1.0))
            except subprocess.TimeoutExpired:
                killed += 1
            finally:
                process.kill()
        if target.exists():
            break
    if not target.exists():
        with start(source, target) as process:
            output = process.stdout.read()
            assert process.wait(120) == 0
        report = json.loads(output.splitlines()[-1])
        assert report["copied"] == COMMANDS // 4 * 6
    assert contents(target) == contents(expected)
    assert contents(source) == before
    assert sorted(os.listdir(tmp_path)) == ["expected", "source", "target"]
    print(f"{killed} kills")
