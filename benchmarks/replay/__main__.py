"""`python -m benchmarks.replay`: replays histories by several ways and prints the rates and ratios."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.replay.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("replay", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, metavar="N", help="more on a fast machine")


if __name__ == "__main__":
    sys.exit(main())
