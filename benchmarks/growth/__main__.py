"""`python -m benchmarks.growth`: opening time, memory and files of stores of growing length, as a table, plots and JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.growth.section import section
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.growth", __doc__, arguments, _add)

    def make(folder: Path) -> Section:
        return section(folder, quick=options.quick, largest=options.largest, rounds=options.rounds)

    return run_alone("growth", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--largest", type=int, metavar="N", help="events of the largest store: ten million take 5 GB"
    )


if __name__ == "__main__":
    sys.exit(main())
