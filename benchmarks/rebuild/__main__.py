"""`python -m benchmarks.rebuild`: queries before, during and after a rebuild, each answer checked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.peers.onewriter import REPLICAS
from benchmarks.rebuild.section import RATE, section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("rebuild", section, __doc__, arguments, _add, rounds=False)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, metavar="N", help="how many events the model is made of")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to ask before and after")
    parser.add_argument("--rate", type=float, default=RATE, metavar="R", help="queries a second")
    parser.add_argument("--replicas", type=int, default=REPLICAS, metavar="N")


if __name__ == "__main__":
    sys.exit(main())
