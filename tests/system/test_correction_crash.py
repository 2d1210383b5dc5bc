"""Kills a process with SIGKILL at random moments of a correction: it is made, or all is as before.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (a tenth of it), `ONEWRITER_CRASH_SEED` the seed.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from actors import System
from tests.forked import Forked
from tests.system.currencies import Pay, dollars, shop, sums

pytestmark = pytest.mark.kill

ROUNDS = max(int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "30")) // 10, 3)
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", random.randrange(1 << 32)))
EVENTS = 3_000


def run_and_kill(store: Path, seconds: float) -> list[str]:
    """What the child said before it was killed, so long after it had planned."""
    with Forked("tests.system.correction_child", str(store)) as process:
        try:
            assert process.stdout.readline() == f"planned {EVENTS}\n"
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            return process.stdout.read().splitlines()
        finally:
            process.kill()


def test_a_correction_is_made_or_not_begun_after_the_process_was_killed(tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    left: Counter[str] = Counter()
    for number in range(ROUNDS):
        store = tmp_path / f"round-{number}"
        with System.open(store, shop, replicas=2) as system:
            system.execute_many([Pay(f"a{index % 5}", 1, "EUR") for index in range(EVENTS)])
            system.wait_applied()
            kept = system.chain_head()
        said = run_and_kill(store, dice.choice([0.0, 0.02, 0.1, 0.5]) * dice.random())
        with System.open(store, shop, replicas=2) as system:
            made = system.corrections()
            assert len(made) == 1 if said else len(made) <= 1
            left[said[-1].split()[0] if said else "made, not said" if made else "as it was"] += 1
            system.wait_rebuilt(sums, 60)
            system.wait_applied()
            busy = system.position - EVENTS
            wanted = {"USD": EVENTS + busy} if made else {"EUR": EVENTS, **({"USD": busy} if busy else {})}
            for name in system.replica_names:
                rows = system.dump(name, sums)["by_currency"]
                assert {row["currency"]: row["sum"] for row in rows} == wanted, (number, said)
            assert system.verify_log(kept).findings == []
            if not made:
                assert system.plan_correction(dollars).apply(who="bob", why="again").count == EVENTS
    print(dict(left))
