"""`eventsourcing`'s ProjectionRunner on its SQLite module: a thread that follows an application.

Its SQLite recorder has no subscriptions, so the library's own subscription, the one of its in-memory
recorder, is laid over it: events are read from SQLite 500 at a time.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.persistence import ListenNotifySubscription, Tracking
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteTrackingRecorder

from benchmarks.domain import ListProduct
from benchmarks.peers.base import in_batches
from benchmarks.peers.eventsourcing_sqlite import Product
from benchmarks.replay.peers import BATCH, TIMEOUT, ReplayPeer
from benchmarks.replay.workload import history


class Subscribed(SQLiteApplicationRecorder):
    """The SQLite recorder with subscriptions.

    Nothing is written while it is measured, so nobody has to be notified.
    """

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Any:
        return ListenNotifySubscription(self, gt, topics)

    def listen(self, event: Event) -> None:
        """Of news, which do not come."""

    def unlisten(self, event: Event) -> None:
        """The end of that."""


class Shop(Application[uuid.UUID]):
    """Where the history is written."""


class Catalog(SQLiteTrackingRecorder):
    """The table, changed in one transaction with the position of the event."""

    def construct_create_table_statements(self) -> list[str]:
        return [
            *super().construct_create_table_statements(),
            "CREATE TABLE IF NOT EXISTS products "
            "(id TEXT PRIMARY KEY, sku TEXT, name TEXT, price INTEGER) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS products_price ON products (price)",
        ]

    def change(self, statement: str, values: tuple[Any, ...], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(statement, values)

    def found(self) -> tuple[int, int]:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*), sum(price) FROM products")
            count, total = cursor.fetchone()
            return count, total


class CatalogProjection(Projection[Catalog]):
    """One transaction for each event, as the library has it."""

    name = "catalog"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        raise TypeError(f"an event that was never written: {domain_event!r} at {tracking}")

    @process_event.register
    def _(self, listed: Product.Listed, tracking: Tracking) -> None:  # type: ignore[name-defined]
        values = (listed.originator_id.hex, listed.sku, listed.name, listed.price)
        self.view.change("INSERT INTO products VALUES (?, ?, ?, ?)", values, tracking)

    @process_event.register
    def _(self, changed: Product.PriceChanged, tracking: Tracking) -> None:  # type: ignore[name-defined]
        values = (changed.price, changed.originator_id.hex)
        self.view.change("UPDATE products SET price = ? WHERE id = ?", values, tracking)


class EventsourcingReplay(ReplayPeer):
    """The runner from its making until the view has the last event."""

    runner: ProjectionRunner[Shop, Catalog] | None = None

    def __init__(self, *, in_memory: bool = False) -> None:
        self.in_memory = in_memory
        self.keeps = (
            "view in SQLite's memory, a transaction an event, nothing durable"
            if in_memory
            else "a transaction an event, WAL, synchronous=FULL (SQLite's default): an fsync an event"
        )

    def fill(self, folder: Path, total: int) -> None:
        self.environment = {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(folder / "shop.sqlite"),
            "CATALOG_SQLITE_DBNAME": ":memory:" if self.in_memory else str(folder / "catalog.sqlite"),
            "APPLICATION_RECORDER_TOPIC": f"{Subscribed.__module__}:{Subscribed.__qualname__}",
        }
        application = Shop(env=self.environment)
        listed: dict[str, Product] = {}
        for batch in in_batches(history(total, self.each), BATCH):
            changed = []
            for command in batch:
                if isinstance(command, ListProduct):
                    listed[command.sku] = Product(command.sku, command.name, command.price)
                else:
                    listed[command.sku].change_price(command.price)
                changed.append(listed[command.sku])
            application.save(*changed)
        self.total = application.recorder.max_notification_id()
        application.close()

    def replay(self) -> float:
        started = time.perf_counter()
        self.runner = ProjectionRunner(
            application_class=Shop,
            projection_class=CatalogProjection,
            view_class=Catalog,
            env=self.environment,
        )
        self.runner.wait(self.total, timeout=TIMEOUT)
        return time.perf_counter() - started

    def found(self) -> tuple[int, int]:
        assert self.runner is not None
        return self.runner.projection.view.found()

    def close(self) -> None:
        if self.runner is not None:
            with self.runner:
                pass
