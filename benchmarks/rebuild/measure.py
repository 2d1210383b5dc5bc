"""A store whose model is rebuilt while queries and commands come in.

The main thread; the load has its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from actors import System
from benchmarks.domain import catalog, shop
from benchmarks.frozen_heap import frozen_heap
from benchmarks.peers.base import in_batches
from benchmarks.rebuild.answers import Answers
from benchmarks.rebuild.load import Load
from benchmarks.replay.workload import history

TIMEOUT = 3_600.0
BEFORE, DURING, AFTER = PHASES = ("before", "during the rebuild", "after")


def rebuilt(
    folder: Path, events: int, replicas: int, rate: float, seconds: float
) -> tuple[float, Load, Sequence[object]]:
    """What `measure` gives for a new store of so many events, and the rebuilds that are not done."""
    with System.open(folder / "shop", shop, replicas=replicas) as system:
        for batch in in_batches(history(events), 2_000):
            system.execute_many(batch, timeout=TIMEOUT)
        system.wait_applied(timeout=TIMEOUT)
        took, load = measure(system, Answers(events), rate, seconds)
        # What came meanwhile is in the new build too.
        assert load.last is not None
        system.wait_applied(load.last, timeout=TIMEOUT)
        return took, load, system.rebuilds()


def measure(system: System, answers: Answers, rate: float, seconds: float) -> tuple[float, Load]:
    """Seconds of a rebuild of the catalog on every replica, and the load that it had to bear meanwhile."""
    load = Load(system, answers, rate)
    load.enter(BEFORE)
    with frozen_heap(), load:
        time.sleep(seconds)
        load.enter(DURING)
        started = time.perf_counter()
        system.rebuild(catalog, wait=True, timeout=TIMEOUT)
        took = time.perf_counter() - started
        load.enter(AFTER)
        time.sleep(seconds)
    return took, load
