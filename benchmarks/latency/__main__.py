"""`python -m benchmarks.latency`: latencies at parts of the highest rate, as a table, plots and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.latency.schedule import ARRIVALS
from benchmarks.latency.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("latency", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="how long at each load in each round")
    parser.add_argument("--arrivals", choices=sorted(ARRIVALS), default="poisson", help="how operations come")


if __name__ == "__main__":
    sys.exit(main())
