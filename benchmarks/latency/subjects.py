"""What is put under load: how each client does a command or a query, and the items for it, without end.

Made and closed on the main thread; calls are made in the clients' threads.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import Any

from actors import Receipt, System
from benchmarks.domain import ChangePrice, Command, ProductBySku, catalog, products, shop
from benchmarks.latency.load import Call
from benchmarks.peers.onewriter import Workers
from benchmarks.peers.sqlite import Shop
from benchmarks.workload import PRODUCTS, listing, sku

COMMAND_CLIENTS = 32
QUERY_CLIENTS = 8
REPLICAS = 3
TIMEOUT = 120.0
# Shares no factor with the number of products: every one is asked for, no two neighbours in a row.
STRIDE = 617


class Subject(ABC):
    """One system under load, in an empty folder."""

    key: str
    """Its name in figures."""
    label: str
    clients = COMMAND_CLIENTS

    def __init__(self) -> None:
        self._opened = ExitStack()

    @abstractmethod
    def setup(self, folder: Path) -> list[Call]:
        """Open a new store; what each client calls with its items."""

    @abstractmethod
    def items(self, client: int) -> Iterator[Any]:
        """What a client does, without end."""

    def first(self, client: int) -> Sequence[Any]:  # noqa: ARG002
        """What a client does before anything is measured."""
        return ()

    def settle(self) -> None:  # noqa: B027
        """Wait until nothing of what was done is still being worked on."""

    def close(self) -> None:
        """Close the store; also after a `setup` that failed half-way."""
        self._opened.close()


class _Commands(Subject):
    """A client lists products of its own, then reprices them in turn, so that there are no conflicts."""

    def _own(self, client: int) -> range:
        return range(client, PRODUCTS, self.clients)

    def first(self, client: int) -> list[Command]:
        return [listing(number) for number in self._own(client)]

    def items(self, client: int) -> Iterator[Command]:
        own = self._own(client)
        for turn in count():
            yield ChangePrice(sku(own[turn % len(own)]), 5_000 + turn)


class OnewriterExecute(_Commands):
    """`execute` by many callers, with replicas in threads or in processes."""

    def __init__(self, workers: Workers = "thread") -> None:
        super().__init__()
        self.key = f"onewriter-{workers}"
        self.label = f"onewriter, {_where(workers)}: execute"
        self._workers = workers

    def setup(self, folder: Path) -> list[Call]:
        self.system = _open(folder, self._workers, self._opened)
        return [self.system.execute] * self.clients

    def settle(self) -> None:
        self.system.wait_applied(timeout=TIMEOUT)


class OnewriterSubmit(OnewriterExecute):
    """`submit` by one caller, who waits for no reply."""

    clients = 1

    def __init__(self, workers: Workers = "thread") -> None:
        super().__init__(workers)
        self.key = f"onewriter-{workers}-submit"
        self.label = f"onewriter, {_where(workers)}: submit"

    def submit(self, command: Command) -> Future[Receipt]:
        """Hand a command over; the future of its receipt."""
        return self.system.submit(command, timeout=TIMEOUT)


class SqliteCommands(_Commands):
    """One connection, callers take turns."""

    key = "sqlite"
    label = "sqlite3"

    def setup(self, folder: Path) -> list[Call]:
        shop = Shop(folder)
        self._opened.callback(shop.close)
        return [lambda command: shop.carry_out((command,))] * self.clients


class EventsourcingCommands(_Commands):
    """The library's application with cached aggregates."""

    key = "eventsourcing"
    label = "eventsourcing, SQLite, cached"

    def setup(self, folder: Path) -> list[Call]:
        from benchmarks.peers.eventsourcing_sqlite import EventsourcingCommands as Peer

        peer = Peer(cached=True)
        self._opened.callback(peer.close)
        peer.setup(folder)
        assert peer.shop is not None
        return [peer.shop.carry_out] * self.clients


class UmaDbCommands(_Commands):
    """Its server on this machine, a connection for each client."""

    key = "umadb"
    label = "UmaDB"

    def setup(self, folder: Path) -> list[Call]:
        import umadb

        from benchmarks.peers.umadb_server import UmaDbCommands as Peer
        from benchmarks.peers.umadb_server import handler

        peer = Peer()
        self._opened.callback(peer.close)
        peer.setup(folder)
        found: list[Call] = []
        for _ in range(self.clients):
            client = umadb.Client(f"http://{peer.url}")
            self._opened.callback(client.close)
            found.append(handler(client))
        return found


class _Queries(Subject):
    """Look-ups of single products, over all of them."""

    clients = QUERY_CLIENTS

    def items(self, client: int) -> Iterator[str]:
        for turn in count(client * PRODUCTS // self.clients):
            yield sku(turn * STRIDE % PRODUCTS)


class OnewriterQuery(_Queries):
    """`query`, answered by a query actor."""

    def __init__(self, workers: Workers = "thread") -> None:
        super().__init__()
        self.key = f"onewriter-{workers}"
        self.label = f"onewriter, {_where(workers)}: query"
        self._workers = workers

    def setup(self, folder: Path) -> list[Call]:
        query = _filled(folder, self._workers, self._opened).query
        return [lambda sku: query(ProductBySku(sku))] * self.clients


class OnewriterView(_Queries):
    """A view in the caller's thread for each look-up."""

    key = "onewriter-view"
    label = "onewriter, threads: view"

    def setup(self, folder: Path) -> list[Call]:
        system = _filled(folder, "thread", self._opened)

        def look(sku: str) -> object:
            with system.view(catalog) as view:
                return view[products].get(sku)

        return [look] * self.clients


class SqliteQueries(_Queries):
    """A connection for each client."""

    key = "sqlite"
    label = "sqlite3"

    def setup(self, folder: Path) -> list[Call]:
        shop = Shop(folder)
        self._opened.callback(shop.close)
        shop.carry_out([listing(number) for number in range(PRODUCTS)])
        found: list[Call] = []
        for _ in range(self.clients):
            reader = sqlite3.connect(
                (folder / "shop.sqlite").as_uri() + "?mode=ro", uri=True, check_same_thread=False
            )
            self._opened.callback(reader.close)
            found.append(_look_up(reader))
        return found


class Generator(_Queries):
    """Calls that do nothing: what the measurement itself adds."""

    key = "nothing"
    label = "nothing (the measurement itself)"
    clients = COMMAND_CLIENTS

    def setup(self, folder: Path) -> list[Call]:  # noqa: ARG002
        return [lambda _: None] * self.clients


def subjects() -> tuple[list[Subject], list[Subject]]:
    """Those for commands and those for queries."""
    commands: list[Subject] = [
        OnewriterExecute(),
        OnewriterSubmit(),
        OnewriterExecute("process"),
        SqliteCommands(),
        UmaDbCommands(),
        EventsourcingCommands(),
    ]
    queries: list[Subject] = [OnewriterQuery(), OnewriterQuery("process"), OnewriterView(), SqliteQueries()]
    return commands, queries


def taken(items: Iterator[Any], number: int) -> list[Any]:
    """The next so many items."""
    return list(islice(items, number))


def _where(workers: Workers) -> str:
    return "processes" if workers == "process" else "threads"


def _open(folder: Path, workers: Workers, opened: ExitStack) -> System:
    return opened.enter_context(System.open(folder / "shop", shop, replicas=REPLICAS, workers=workers))


def _filled(folder: Path, workers: Workers, opened: ExitStack) -> System:
    system = _open(folder, workers, opened)
    system.execute_many([listing(number) for number in range(PRODUCTS)])
    system.wait_applied(timeout=TIMEOUT)
    return system


def _look_up(reader: sqlite3.Connection) -> Callable[[str], object]:
    def look(sku: str) -> object:
        row = reader.execute("SELECT sku, name, price FROM products WHERE sku = ?", (sku,)).fetchone()
        return {"sku": row[0], "name": row[1], "price": row[2]}

    return look
