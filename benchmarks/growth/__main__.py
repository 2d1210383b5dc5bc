"""`python -m benchmarks.growth`: opening time, memory and files of stores of growing length."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.growth.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("growth", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--largest", type=int, metavar="N", help="events of the largest store: ten million take 5 GB"
    )


if __name__ == "__main__":
    sys.exit(main())
