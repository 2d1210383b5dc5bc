"""`python -m benchmarks.rebuild`: queries before, during and after a rebuild, and whether every answer was right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.peers.onewriter import REPLICAS
from benchmarks.rebuild.section import RATE, section
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.rebuild", __doc__, arguments, _add, rounds=False)

    def make(folder: Path) -> Section:
        return section(
            folder,
            quick=options.quick,
            events=options.events,
            seconds=options.seconds,
            rate=options.rate,
            replicas=options.replicas,
        )

    return run_alone("rebuild", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, metavar="N", help="how many events the model is made of")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long to ask before and after")
    parser.add_argument("--rate", type=float, default=RATE, metavar="R", help="queries a second")
    parser.add_argument("--replicas", type=int, default=REPLICAS, metavar="N")


if __name__ == "__main__":
    sys.exit(main())
