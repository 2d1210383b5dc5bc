"""Random workflows under SIGKILL: what the world saw, by key, is in a file that no kill reaches.

`ONEWRITER_CRASH_ROUNDS` sets the number of kills, `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest

from actors.testing import TestSystem
from tests.forked import Forked
from tests.oracle.workflow_child import calls_of, ledger_at
from tests.oracle.workflow_domain import Workflows, check, finish
from tests.oracle.workflow_scripts import KINDS
from tests.system.test_crash import wait_until_killed

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "4"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CHAPTER = 8
"""Rounds on one store."""


def run_and_kill(folder: Path, number: int, version: int, dice: random.Random) -> None:
    """One round: a process works on the store and is killed; sometimes before it is open."""
    arguments = [str(folder / "store"), str(folder / "ledger"), str(number), str(version)]
    with Forked("tests.oracle.workflow_child", *arguments) as process:
        try:
            if dice.random() < 0.8:
                assert process.stdout.readline() == "open\n"
            wait_until_killed(process, dice.uniform(0.0, 0.6))
        finally:
            process.kill()


def test_random_workflows_lose_and_repeat_nothing_when_the_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.process_managers.outbox_actor.RETRY_FIRST", 0.002)
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    found: Counter[str] = Counter()
    version = 1
    for number in range(ROUNDS):
        folder = tmp_path / f"chapter-{number // CHAPTER}"
        folder.mkdir(exist_ok=True)
        version += dice.random() < 0.3
        run_and_kill(folder, number, version, dice)
        if number in (ROUNDS - 1, number // CHAPTER * CHAPTER + CHAPTER - 1):
            outside = ledger_at(str(folder / "ledger"))
            with TestSystem.open(folder / "store", Workflows(outside, version).domain, replicas=1) as system:
                finish(system, outside)
                found += check(system, calls_of(str(folder / "ledger")))
            print(f"round {number}: {dict(found)}")
    assert all(found[kind] for kind in KINDS), found
