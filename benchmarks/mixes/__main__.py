"""`python -m benchmarks.mixes`: the core workloads of YCSB, beside sqlite3 and raw LMDB, as a table, a plot and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.mixes.section import section
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.mixes", __doc__, arguments, _add)

    def make(folder: Path) -> Section:
        return section(
            folder,
            quick=options.quick,
            records=options.records,
            seconds=options.seconds,
            rounds=options.rounds,
        )

    return run_alone("mixes", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=int, metavar="N", help="how many records there are")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long on each line in each round")


if __name__ == "__main__":
    sys.exit(main())
