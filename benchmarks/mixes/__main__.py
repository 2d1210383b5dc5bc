"""`python -m benchmarks.mixes`: the core workloads of YCSB, beside sqlite3 and raw LMDB."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.alone import run_alone
from benchmarks.mixes.section import section


def main(arguments: Sequence[str] | None = None) -> int:
    return run_alone("mixes", section, __doc__, arguments, _add)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=int, metavar="N", help="how many records there are")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long on each line in each round")


if __name__ == "__main__":
    sys.exit(main())
