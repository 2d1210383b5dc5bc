"""Callers and replicas in threads at the same time; on a Python without a GIL they really meet."""

from __future__ import annotations

from pathlib import Path

from actors import System
from benchmarks.domain import ChangePrice, ListProduct, ProductBySku, shop
from tests.helpers import PATIENCE, Threads

CALLERS, ROUNDS = 4, 200


def test_threads_that_run_at_the_same_time_read_their_own_writes(tmp_path: Path) -> None:
    with System.open(tmp_path / "shop", shop, replicas=3) as system, Threads() as threads:

        def work(sku: str) -> None:
            system.execute(ListProduct(sku, "lamp", 1))
            for price in range(2, ROUNDS):
                receipt = system.execute(ChangePrice(sku, price))
                row = system.query(ProductBySku(sku), after=receipt, timeout=PATIENCE)
                assert row["price"] == price

        for number in range(CALLERS):
            threads.start(work, f"sku-{number}")
        threads.join()
        assert system.wait_applied(timeout=PATIENCE) == CALLERS * (ROUNDS - 1)
