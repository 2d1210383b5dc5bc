"""`python -m benchmarks.lag`: the lag of replicas at parts of the highest command rate, as a table, a plot and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.lag.section import section
from benchmarks.peers.onewriter import REPLICAS
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.lag", __doc__, arguments, _add)

    def make(folder: Path) -> Section:
        return section(
            folder,
            quick=options.quick,
            seconds=options.seconds,
            rounds=options.rounds,
            replicas=options.replicas,
        )

    return run_alone("lag", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="how long at each rate")
    parser.add_argument("--replicas", type=int, metavar="N", default=REPLICAS, help="how many there are")


if __name__ == "__main__":
    sys.exit(main())
