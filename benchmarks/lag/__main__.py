"""`python -m benchmarks.lag`: the lag of replicas at parts of the highest command rate."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.lag.section import section
from benchmarks.peers.onewriter import REPLICAS


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("lag", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, metavar="S", help="how long at each rate")
    parser.add_argument("--replicas", type=int, metavar="N", default=REPLICAS, help="how many there are")


if __name__ == "__main__":
    sys.exit(main())
