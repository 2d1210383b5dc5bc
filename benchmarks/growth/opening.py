"""`python -m benchmarks.growth.opening STORE`: opens a store, asks it once, and says what it took.

A process of its own for each opening, so that nothing is left from the one before; run by
`benchmarks.growth.measure`.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from actors import System
from benchmarks.anonymous_memory import anonymous_memory
from benchmarks.domain import ChangePrice, ProductBySku, shop
from benchmarks.peers.base import in_batches

TIMEOUT = 600.0
BATCH = 100
# Prime: the products that are changed lie all over the log.
STRIDE = 7_919
PRICE = 1 << 40
"""Above every price of the history, so that each command changes something."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth.opening", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--products", type=int, required=True, help="how many products the store has")
    parser.add_argument(
        "--commands", type=int, default=0, help="how many to change afterwards, each looked up, too"
    )
    parser.add_argument("--kill", action="store_true", help="end immediately after that, as a crash does")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with System.open(options.store, shop, replicas=1) as system:
        opened = time.perf_counter()
        system.query(ProductBySku(_sku(0, options.products)))
        answered = time.perf_counter()
        found = {"opening": opened - started, "answered": answered - started, "opened": _memory()}
        if options.commands:
            _work(system, options.products, options.commands)
            found["worked"] = _memory()
        json.dump(found, sys.stdout)
        if options.kill:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _work(system: System, products: int, commands: int) -> None:
    for batch in in_batches(range(commands), BATCH):
        skus = [_sku(number, products) for number in batch]
        price = PRICE + system.position
        system.execute_many(
            [ChangePrice(sku, price + number) for number, sku in enumerate(skus)], timeout=TIMEOUT
        )
        system.query_many([ProductBySku(sku) for sku in skus], timeout=TIMEOUT)
    system.wait_applied(timeout=TIMEOUT)


def _sku(number: int, products: int) -> str:
    return f"sku-{number * STRIDE % products:07}"


def _memory() -> int | None:
    """Without garbage."""
    gc.collect()
    return anonymous_memory()


if __name__ == "__main__":
    sys.exit(main())
