"""A bare Pykka ask: an actor that replies with a row that it has, or that it reads from LMDB.

What a question to another thread and its answer cost by themselves.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pykka

from benchmarks.peers.base import QueryPeer
from benchmarks.workload import PRODUCTS, Lookups, row_of, sku

MAP_SIZE = 1 << 30
REPLY_TIMEOUT = 60.0


class Replying(pykka.ThreadingActor):
    """Replies with an object that it has."""

    use_daemon_thread = True

    def __init__(self) -> None:
        super().__init__()
        self.rows = {sku(number): row_of(number) for number in range(PRODUCTS)}

    def on_receive(self, message: str) -> Any:
        return self.rows[message]


class Reading(pykka.ThreadingActor):
    """Replies with what it reads and decodes, in a read transaction for each question."""

    use_daemon_thread = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.environment = lmdb.open(str(folder / "rows"), map_size=MAP_SIZE, lib_version=0)
        with self.environment.begin(write=True) as transaction:
            for number in range(PRODUCTS):
                transaction.put(sku(number).encode(), msgpack.packb(row_of(number)))

    def on_receive(self, message: str) -> Any:
        with self.environment.begin() as transaction:
            return msgpack.unpackb(transaction.get(message.encode()))

    def on_stop(self) -> None:
        self.environment.close()


class PykkaAsk(QueryPeer):
    """One caller that asks and waits."""

    actor: pykka.ActorRef[Any] | None = None

    def __init__(self, reading: bool = False) -> None:
        self.reading = reading
        self.promises = (
            "an actor's thread answers, a read transaction for each"
            if reading
            else "an actor's thread replies"
        )

    def setup(self, folder: Path) -> None:
        self.actor = Reading.start(folder) if self.reading else Replying.start()

    def queries(self, lookups: Lookups) -> float:
        assert self.actor is not None
        ask = self.actor.ask
        started = time.perf_counter()
        for each in lookups.skus:
            ask(each, timeout=REPLY_TIMEOUT)
        return time.perf_counter() - started

    def answer(self, lookups: Lookups) -> list[object]:
        assert self.actor is not None
        return [self.actor.ask(each, timeout=REPLY_TIMEOUT) for each in lookups.skus]

    def close(self) -> None:
        if self.actor is not None:
            self.actor.stop()
