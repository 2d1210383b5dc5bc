"""`python -m benchmarks.rebuild`: the latency of queries before, during and after a rebuild, and whether all were right."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from actors import System
from benchmarks.domain import catalog, shop
from benchmarks.machine import disk, machine, markdown, write_results
from benchmarks.peers.base import in_batches
from benchmarks.quantiles import Spread, spread_of
from benchmarks.rebuild.answers import Answers
from benchmarks.rebuild.load import CLIENTS, COMMANDS_PER_SECOND, Load
from benchmarks.replay.workload import EACH, history

TIMEOUT = 3_600.0
BEFORE, DURING, AFTER = PHASES = ("before", "during the rebuild", "after")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    events = -(-(options.events or (20_000 if options.quick else 1_000_000)) // EACH) * EACH
    seconds = options.seconds or (1.0 if options.quick else 20.0)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        print(
            f"{events:,} events, {options.replicas} replicas, {options.rate:g} queries a second of {CLIENTS} clients "
            f"and {COMMANDS_PER_SECOND:g} commands a second meanwhile"
        )
        print(machine())
        print(disk(folder), flush=True)
        took, load, left = rebuilt(folder, events, options.replicas, options.rate, seconds)
    spreads = {phase: spread_of((one, 1) for one in load.durations[phase]) for phase in PHASES}
    table = latency_table(spreads, load.durations)
    print("", table, "", sep="\n")
    print(
        f"From the moment at which a query was due. The rebuild took {took:.1f} s on {options.replicas} replicas,"
    )
    print(f"one after another: {events * options.replicas / took:,.0f} events a second while it answered.")
    print(f"Failed: {len(load.failed)}. Wrong, as half a model would be: {len(load.wrong)}.")
    print(*(load.failed + load.wrong)[:10], sep="\n")
    settings = {"events": events, "replicas": options.replicas, "queries_per_second": options.rate}
    figures = {
        "seconds": took,
        "failed": len(load.failed),
        "wrong": len(load.wrong),
        **{phase: {"queries": len(load.durations[phase]), **asdict(spreads[phase])} for phase in PHASES},
    }
    print(f"Written to {write_results(Path(options.out), 'rebuild', settings, figures, table)}")
    return 0 if not (load.failed or load.wrong or left) else 1


def rebuilt(
    folder: Path, events: int, replicas: int, rate: float, seconds: float
) -> tuple[float, Load, Sequence[object]]:
    """What `measure` gives for a new store of so many events, and the rebuilds that are not done, of which there is none."""
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
    gc.collect()
    # The right answers are of this benchmark alone: Python's collector is not to walk them all while it measures.
    gc.freeze()
    with load:
        time.sleep(seconds)
        load.enter(DURING)
        started = time.perf_counter()
        system.rebuild(catalog, wait=True, timeout=TIMEOUT)
        took = time.perf_counter() - started
        load.enter(AFTER)
        time.sleep(seconds)
    gc.unfreeze()
    return took, load


HEADER = ["queries", "number", "p50 ms", "p99 ms", "max ms"]


def latency_rows(spreads: Mapping[str, Spread], durations: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """A line for each phase."""
    return [
        [
            phase,
            f"{len(durations[phase]):,}",
            *(f"{value * 1e3:.2f}" for value in (spread.p50, spread.p99, spread.max)),
        ]
        for phase, spread in spreads.items()
    ]


def latency_table(spreads: Mapping[str, Spread], durations: Mapping[str, Sequence[float]]) -> str:
    """The same as Markdown."""
    return markdown(HEADER, latency_rows(spreads, durations))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rebuild", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small model: does everything run?")
    parser.add_argument("--events", type=int, metavar="N", help="how many events the model is made of")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to ask before and after")
    parser.add_argument("--rate", type=float, default=400.0, metavar="R", help="queries a second")
    parser.add_argument("--replicas", type=int, default=3, metavar="N")
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
