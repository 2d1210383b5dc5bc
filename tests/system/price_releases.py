"""Releases of a shop whose read model has the same version and other code; two of them for worker processes.

In the folder that `HOLD` names in the environment, the first process that projects leaves its id, and every
other one says that it waits, and does so until there is a file `go`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actors import Domain, ReadModel, System

HOLD = "ONEWRITER_TEST_HOLD"


class Program:
    """A shop with one read model, whose rows have the price times `factor`."""

    def __init__(self, factor: int, version: int = 1, pause: Callable[[], None] = lambda: None) -> None:
        self.domain = shop = Domain("shop")

        @shop.state(stream="product-{sku}")
        class Product:
            sku: str

        @shop.event(Product, state=None)
        class PriceSet:
            sku: str
            price: int

        self.PriceSet = PriceSet
        self.model: ReadModel = shop.read_model("prices", version)
        self.table = table = self.model.table("prices", key="sku")

        @self.model.on
        def priced(event: PriceSet, tables: Any) -> None:
            waits.pause()
            tables[table].put({"sku": event.sku, "price": event.price * factor})

        @shop.query(reads=self.model)
        class Prices:
            def run(self, view: Any) -> dict[str, int]:
                return {row["sku"]: row["price"] for row in view[table].all()}

        self.Prices = Prices
        waits.pause = pause

    def rows(self, system: System, replica: str) -> dict[str, int]:
        return {row["sku"]: row["price"] for row in system.dump(replica, self.model)["prices"]}


class Waits:
    """What projections call first. Their fingerprint does not cover it, as they find it by a global name."""

    pause: Callable[[], None]


waits = Waits()
waits.pause = lambda: None


def pause() -> None:
    if HOLD not in os.environ:
        return
    folder, mine = Path(os.environ[HOLD]), str(os.getpid())
    try:
        os.symlink(mine, folder / "first")
    except FileExistsError:
        if os.readlink(folder / "first") == mine:
            return
        (folder / "waiting").touch()
        end = time.monotonic() + 20.0
        while not (folder / "go").exists() and time.monotonic() < end:
            threading.Event().wait(0.005)


first = Program(1, pause=pause)
second = Program(10, pause=pause)
shop, next_shop = first.domain, second.domain
