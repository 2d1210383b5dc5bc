"""`python -m benchmarks.lag`: the lag of replicas at parts of the highest command rate, as a table, a plot and JSON."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.lag.measure import Bench, Steady
from benchmarks.lag.plot import plot
from benchmarks.machine import disk, machine, markdown, write_results
from benchmarks.quantiles import Spread

LOADS = (25, 50, 80)
REPLICAS = (1, 3, 8)

Rounds = dict[int, dict[int, list[Steady]]]
"""By replicas and load in percent, one a round."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    seconds = options.seconds or (1.5 if options.quick else 10.0)
    rounds = options.rounds or (1 if options.quick else 3)
    trial = 5_000 if options.quick else 30_000
    found: Rounds = {replicas: {load: [] for load in LOADS} for replicas in options.replicas}
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as name:
        folder = Path(name).resolve()
        print(f"{seconds:g} s at each rate, rounds: {rounds}")
        print(machine())
        print(disk(folder), flush=True)
        for _ in range(rounds):
            for replicas in options.replicas:
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    bench = Bench(Path(own), replicas, options.workers)
                    try:
                        for load in LOADS:
                            # Anew for each, since machines drift.
                            highest = bench.highest_rate(trial)
                            found[replicas][load].append(bench.steady(highest * load / 100, seconds))
                    finally:
                        bench.close()
    table = lag_table(found)
    print("", table, "", sep="\n")
    latest = max(steady.late for by_load in found.values() for runs in by_load.values() for steady in runs)
    print("From the commit of a position until a replica had applied it, over all positions and replicas.")
    print("Median over the rounds; the maximum is over all of them.")
    print(
        f"The highest rate is that of commands until every replica has applied them. Latest command: {latest:.3f} s."
    )
    out = Path(options.out)
    figures = {
        replicas: {load: [asdict(steady) for steady in runs] for load, runs in by_load.items()}
        for replicas, by_load in found.items()
    }
    settings = {"workers": options.workers, "seconds": seconds, "rounds": rounds, "trial": trial}
    print(f"Written to {write_results(out, 'lag', settings, figures, table)}")
    plot(out / "lag.svg", LOADS, summary(found))
    return 0


def summary(found: Mapping[int, Mapping[int, Sequence[Steady]]]) -> dict[int, dict[int, Spread]]:
    """The lags by replicas and load: medians over the rounds, but for the maximum."""
    return {
        replicas: {
            load: Spread(
                statistics.median(steady.lag.p50 for steady in runs),
                statistics.median(steady.lag.p99 for steady in runs),
                max(steady.lag.max for steady in runs),
            )
            for load, runs in by_load.items()
        }
        for replicas, by_load in found.items()
    }


def lag_table(found: Mapping[int, Mapping[int, Sequence[Steady]]]) -> str:
    """Markdown, a line for each number of replicas and each load."""
    rows = []
    for replicas, by_load in summary(found).items():
        for load, lag in by_load.items():
            rate = statistics.median(steady.sent for steady in found[replicas][load])
            milliseconds = [f"{value * 1e3:.2f}" for value in (lag.p50, lag.p99, lag.max)]
            rows.append([f"{replicas}", f"{load} %", f"{rate:,.0f}", *milliseconds])
    return markdown(["replicas", "load", "commands a second", "p50 ms", "p99 ms", "max ms"], rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lag", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: does everything run?")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long at each rate")
    parser.add_argument("--rounds", type=int, metavar="N", help="more on a machine whose speed drifts")
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS, metavar="N")
    parser.add_argument(
        "--workers", choices=("thread", "process"), default="thread", help="where the replicas live"
    )
    parser.add_argument("--dir", default=".", metavar="PATH", help="a folder on the disk to measure")
    parser.add_argument("--out", default="build", metavar="PATH", help="where the figures are written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
