"""`python -m benchmarks.replicas`: what three replicas cost beside one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.replicas.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("replicas", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--commands", type=int, metavar="N", help="sent in each way in each round")
    parser.add_argument("--events", type=int, metavar="N", help="of the log that replicas catch up with")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long memory is looked at")


if __name__ == "__main__":
    sys.exit(main())
