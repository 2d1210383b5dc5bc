"""`python -m benchmarks.engines`: applies one history to a model of each engine, then asks each the same questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.alone import options_of, run_alone
from benchmarks.engines.section import section
from benchmarks.section import Section


def main(arguments: Sequence[str] | None = None) -> int:
    options = options_of("benchmarks.engines", __doc__, arguments, _add)

    def make(folder: Path) -> Section:
        return section(folder, quick=options.quick, events=options.events, rounds=options.rounds)

    return run_alone("engines", options, make)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, metavar="N", help="more on a fast machine")


if __name__ == "__main__":
    sys.exit(main())
