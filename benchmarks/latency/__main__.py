"""`python -m benchmarks.latency`: latencies at parts of the highest rate, as a table, plots and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.latency.schedule import ARRIVALS
from benchmarks.latency.section import section
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.latency", __doc__, arguments, _add)

    def make(folder: Path) -> Section:
        return section(
            folder,
            quick=options.quick,
            seconds=options.seconds,
            rounds=options.rounds,
            arrivals=options.arrivals,
        )

    return run_alone("latency", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="how long at each load in each round")
    parser.add_argument("--arrivals", choices=sorted(ARRIVALS), default="poisson", help="how operations come")


if __name__ == "__main__":
    sys.exit(main())
