"""`python -m benchmarks.replicas.load STORE`: a bank that takes commands at a fixed rate.

A process of its own, whose memory `benchmarks.replicas.measure` looks at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from benchmarks.lag.measure import send_at
from benchmarks.peers.onewriter import REPLICAS
from benchmarks.replicas.sending import TIMEOUT, OpenBank


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replicas.load", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--replicas", type=int, default=REPLICAS, help="how many there are, in threads")
    parser.add_argument("--rate", type=float, required=True, help="commands a second")
    parser.add_argument("--seconds", type=float, required=True, help="for how long")
    options = parser.parse_args(arguments)
    commands = int(options.rate * options.seconds)
    bank = OpenBank(options.store, options.replicas)
    try:
        _, took = send_at(bank.system, islice(bank.deposits, commands), options.rate)
        bank.system.wait_applied(timeout=TIMEOUT)
    finally:
        bank.close()
    json.dump({"commands_per_second": commands / took}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
