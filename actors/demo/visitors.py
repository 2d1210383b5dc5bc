"""Threads that ask the shop queries while it is being written to, as its visitors would.

Each thread draws its queries from its own random generator and keeps its own figures; they are combined
after the threads have stopped.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from actors import System
from actors.demo.shop import (
    BestSellingCategories,
    Cheapest,
    CustomerOrders,
    ListProduct,
    PlaceOrder,
    ProductDetails,
    ProductsByPrefix,
    ProductsInCategory,
    SalesByCategory,
    SearchProducts,
    StockAlerts,
)
from actors.queries.result_typing import Query

KNOWN = 2_000


@dataclass
class KnownNames:
    """What can be asked about, as far as the replay has come. Written by the replay, read by the visitors."""

    skus: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    customers: list[str] = field(default_factory=list)
    day: date = date(1970, 1, 1)
    enough: threading.Event = field(default_factory=threading.Event)

    def notice(self, command: object) -> None:
        """Remember what a command names, up to a bound."""
        if isinstance(command, ListProduct):
            if len(self.skus) < KNOWN:
                self.skus.append(command.sku)
                self.names.append(command.name)
            if command.category not in self.categories:
                self.categories.append(command.category)
        elif isinstance(command, PlaceOrder):
            self.day = command.placed_at.date()
            if len(self.customers) < KNOWN:
                self.customers.append(command.customer)
            self.enough.set()


def draw_query(random: Random, known: KnownNames) -> Query[Any]:
    """A query of a visitor or, now and then, of the shop's own people."""
    dice = random.random()
    if dice < 0.45:
        return ProductDetails(random.choice(known.skus))
    if dice < 0.60:
        words = random.choice(known.names).split()
        return SearchProducts(" ".join(random.sample(words, min(2, len(words)))), 10)
    if dice < 0.72:
        return ProductsInCategory(random.choice(known.categories), 100, 20_000, 10)
    if dice < 0.82:
        return ProductsByPrefix(random.choice(known.names)[:3], 10)
    if dice < 0.90:
        return CustomerOrders(random.choice(known.customers), 5)
    if dice < 0.94:
        return Cheapest(10)
    if dice < 0.96:
        return StockAlerts(5, 20)
    if dice < 0.98:
        return SalesByCategory(random.choice(known.categories), known.day - timedelta(days=7), known.day)
    return BestSellingCategories(5)


class Visitor(threading.Thread):
    """One visitor, who asks one query after another until it is stopped."""

    def __init__(self, system: System, known: KnownNames, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"visitor-{number}", daemon=True)
        self._system = system
        self._known = known
        self._random = Random(number)
        self._stopping = stop
        self.asked: Counter[str] = Counter()
        self.seconds = array("d")
        self.elapsed = 0.0
        self.error: Exception | None = None

    def run(self) -> None:
        """Ask from the first order on, when there is something to ask about."""
        self._known.enough.wait()
        started = time.perf_counter()
        try:
            while not self._stopping.is_set():
                query = draw_query(self._random, self._known)
                began = time.perf_counter()
                self._system.query(query)
                self.seconds.append(time.perf_counter() - began)
                self.asked[type(query).__name__] += 1
        except Exception as error:
            self.error = error
        self.elapsed = time.perf_counter() - started


@contextmanager
def visitors(system: System, known: KnownNames, threads: int) -> Iterator[list[Visitor]]:
    """Ask from so many threads while the block runs. Raises, at its end, what a visitor met."""
    stop = threading.Event()
    crowd = [Visitor(system, known, number + 1, stop) for number in range(threads)]
    for visitor in crowd:
        visitor.start()
    try:
        yield crowd
    finally:
        stop.set()
        known.enough.set()
        for visitor in crowd:
            visitor.join(30)
    for visitor in crowd:
        if visitor.error is not None:
            raise visitor.error
