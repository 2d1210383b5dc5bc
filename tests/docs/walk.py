"""Follows a command, its event and a query through a running system, and prints the files that each thread
enters.

`python -m tests.docs.walk`: one line of JSON, from walk to thread to files. Threads are named as in
docs/architecture.md. A process of its own, since it has a profile function in every thread.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from actors import Do, Domain, System

ROOT = f"{Path(__file__).parents[2]}{os.sep}"
shop = Domain("shop")
THREADS = {
    "MainThread": "the caller",
    "onewriter-command-handler": "command handler",
    "onewriter-sync": "sync",
    "onewriter-replica-1": "replica",
    "onewriter-replica-1.query-1": "query actor",
    "onewriter-manager-clerk": "manager",
}


@shop.state(stream="item-{sku}")
class Item:
    sku: str
    sold: int


@shop.event(Item)
class ItemSold:
    sku: str


@shop.event(Item)
class SaleNoted:
    sku: str


@shop.command(Item)
class SellItem:
    sku: str


@shop.command(Item)
class NoteSale:
    sku: str


@shop.decide
def sell(item: Item | None, command: SellItem) -> Iterator[ItemSold]:
    yield ItemSold(command.sku)


@shop.decide
def note(item: Item, command: NoteSale) -> Iterator[SaleNoted]:
    yield SaleNoted(command.sku)


@shop.evolve
def sold(item: Item | None, event: ItemSold) -> Item:
    return Item(event.sku, (item.sold if item else 0) + 1)


@shop.evolve
def noted(item: Item, event: SaleNoted) -> Item:
    return item


sales = shop.read_model("sales")
items = sales.table("items", key="sku")


@sales.on
def on_sold(event: ItemSold, tables: Any) -> None:
    tables[items].put({"sku": event.sku})


@shop.query(reads=[sales])
class Sold:
    def run(self, view: Any) -> list[str]:
        return [row["sku"] for row in view[items].all()]


clerk = shop.process_manager("clerk", key="sku", start="beginning")


@clerk.state
class Clerk:
    sku: str


@clerk.on
def on_sale(state: Clerk | None, event: ItemSold, do: Do) -> Clerk:
    do.execute(NoteSale(event.sku))
    return Clerk(event.sku)


class Walk:
    """The files that each thread has entered since the last `begin`."""

    def __init__(self) -> None:
        self._entered: dict[str, dict[str, None]] = {}

    def begin(self) -> None:
        """Forget what was entered."""
        self._entered = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """A profile function, called by every thread at every call."""
        file = frame.f_code.co_filename
        if event == "call" and file.startswith((f"{ROOT}actors", f"{ROOT}storage")):
            thread = THREADS.get(threading.current_thread().name, "another")
            self._entered.setdefault(thread, {})[file.removeprefix(ROOT)] = None

    def entered(self) -> dict[str, list[str]]:
        """The files by thread, in the order in which they were entered."""
        return {thread: list(files) for thread, files in dict(self._entered).items()}


def _settle(system: System) -> None:
    """Wait until the manager has reacted, and the replica has applied that, too."""
    system.wait_process_managers()
    system.wait_applied()


def main() -> None:
    """Warm a system up, then follow one command with all that comes of it, and one query."""
    walk = Walk()
    threading.setprofile(walk)
    with tempfile.TemporaryDirectory() as folder, System.open(f"{folder}/shop", shop, replicas=1) as system:
        for _ in range(3):
            system.execute(SellItem("lamp"))
        _settle(system)
        system.query(Sold(), consistency="strong")
        sys.setprofile(walk)
        walk.begin()
        system.execute(SellItem("vase"))
        sys.setprofile(None)
        _settle(system)
        command = walk.entered()
        sys.setprofile(walk)
        walk.begin()
        system.query(Sold())
        sys.setprofile(None)
        print(json.dumps({"command": command, "query": walk.entered()}))


if __name__ == "__main__":
    main()
