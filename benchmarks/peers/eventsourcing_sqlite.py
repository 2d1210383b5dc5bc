"""The `eventsourcing` library with its SQLite module: an aggregate, a repository, `save` a command."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks.domain import Command, ListProduct
from benchmarks.peers.base import CommandPeer, time_callers


class Product(Aggregate):
    """A product with the events of `benchmarks.domain`."""

    @event("Listed")
    def __init__(self, sku: str, name: str, price: int) -> None:
        self.sku = sku
        self.name = name
        self.price = price

    @event("PriceChanged")
    def change_price(self, price: int) -> None:
        self.price = price

    @staticmethod
    def create_id(sku: str) -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"/products/{sku}")


class Shop(Application[uuid.UUID]):
    """Carries out one command as one transaction; a second listing of a sku breaks the unique key."""

    def carry_out(self, command: Command) -> None:
        if isinstance(command, ListProduct):
            self.save(Product(command.sku, command.name, command.price))
            return
        product: Product = self.repository.get(Product.create_id(command.sku))
        if product.price != command.price:
            product.change_price(command.price)
            self.save(product)


class EventsourcingCommands(CommandPeer):
    """Threads share the application; its pool lets one write at a time."""

    shop: Shop | None = None

    def __init__(self, cached: bool = False) -> None:
        self.cached = cached
        aggregates = "cached, not looked up again (one process)" if cached else "read back for each command"
        self.promises = (
            f"WAL, synchronous=FULL (SQLite's default): an fsync a command; aggregates {aggregates}"
        )

    def setup(self, folder: Path) -> None:
        environment = {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "shop.sqlite"),
            "SQLITE_LOCK_TIMEOUT": "60",
        }
        if self.cached:
            environment |= {"AGGREGATE_CACHE_MAXSIZE": "10000", "AGGREGATE_CACHE_FASTFORWARD": "n"}
        self.shop = Shop(env=environment)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        assert self.shop is not None
        return time_callers(shares, [self.shop.carry_out] * len(shares))

    def written(self) -> int:
        assert self.shop is not None
        return self.shop.recorder.max_notification_id() or 0

    def close(self) -> None:
        if self.shop is not None:
            self.shop.close()
