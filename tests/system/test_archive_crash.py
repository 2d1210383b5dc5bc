"""Kills a process with SIGKILL at random steps of archiving and removing: no event is lost before that.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds, `ONEWRITER_CRASH_SEED` the seed.
"""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors import EventsRemoved, System
from tests.forked import Forked
from tests.helpers import wait_until
from tests.system.warehouse import Take, fill, rows, sales, warehouse

pytestmark = pytest.mark.kill

ROUNDS = max(int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "30")) // 5, 6)
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", random.randrange(1 << 32)))
ORDERS, ITEMS = 20, 4
CLOSED = [f"order-o{number}" for number in range(ORDERS // 2)]
STEPS = 4 + len(CLOSED) * ITEMS // 7


def run_and_kill(store: Path, lines: int, seconds: float) -> list[str]:
    """What the child said, which is killed so long after it has said so many lines."""
    said: list[str] = []
    with Forked("tests.system.archive_child", str(store)) as process:
        for line in process.stdout:
            said.append(line.strip())
            if len(said) == lines:
                threading.Timer(seconds, process.kill).start()
    return said


def orders(system: System) -> Any:
    return [system.stream(name) for name in CLOSED]


def test_no_event_is_lost_by_a_process_that_is_killed(tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    left: Counter[str] = Counter()
    for number in range(ROUNDS):
        store = tmp_path / f"round-{number}"
        with System.open(store, warehouse, replicas=1) as system:
            fill(system, ORDERS, ITEMS)
            system.wait_process_managers()
            system.close_streams(CLOSED, who="ann", why="over")
            before, sold, kept = orders(system), rows(system)[0][0], system.chain_head()
        while True:
            said = run_and_kill(store, dice.randint(1, STEPS), dice.choice([0.0, 0.01, 0.05]) * dice.random())
            with System.open(store, warehouse, replicas=1) as system:
                removed = [one.state for one in system.archives()] == ["removed"]
                left["removed" if removed else " ".join(said[-1:]).partition(" ")[0] or "nothing said"] += 1
                system.wait_applied()
                assert rows(system)[0][0] == sold, (number, said)
                assert system.verify_log(kept).findings == [], (number, said)
                if removed:
                    with pytest.raises(EventsRemoved):
                        system.stream(CLOSED[0])
                    assert not list(Path(store, "archives").glob("*.archive"))
                    break
                assert "removed 1" not in said
                assert orders(system) == before, (number, said)
                wait_until(lambda: "moving" not in [one.state for one in system.archives()])
                assert orders(system) == before, (number, said)
                if dice.random() < 0.3:
                    system.rebuild(sales, wait=True, timeout=60)
                    assert rows(system)[0][0] == sold, (number, said)
                assert system.execute(Take("s0")).version > 9
                if system.archives():
                    assert system.plan_archive().events == 0
                    assert sum(one.events for one in system.archives()) == len(CLOSED) * ITEMS
    print(dict(left))
