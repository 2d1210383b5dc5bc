"""`python -m benchmarks.engines`: one history into a model of each engine, then the same questions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.engines.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("engines", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, metavar="N", help="more on a fast machine")


if __name__ == "__main__":
    sys.exit(main())
