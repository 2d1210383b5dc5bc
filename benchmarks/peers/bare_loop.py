"""The bare loop: plain Pykka, msgpack and LMDB with group commit, and nothing else.

No domain, states, streams, ids, deadlines or checks: what this shape costs at the least, and what the whole
system is held against. Its replicas are plain actors with an LMDB environment each.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pykka

from benchmarks.domain import Command, ListProduct
from benchmarks.peers.base import CommandPeer, time_callers

MAP_SIZE = 1 << 30
GROUP = 256
REPLY_TIMEOUT = 60.0

Batch = tuple[int, list[bytes]]
"""The last position of a group, and its events."""


class Replica(pykka.ThreadingActor):
    """Applies each batch in a transaction without fsync: the last event of each sku, under the sku."""

    use_daemon_thread = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.environment = lmdb.open(str(folder), map_size=MAP_SIZE, max_dbs=2, sync=False, lib_version=0)
        self.rows = self.environment.open_db(b"rows")
        self.applied = 0

    def on_receive(self, message: Batch) -> None:
        self.applied, events = message
        with self.environment.begin(write=True) as transaction:
            for event in events:
                self.apply(transaction, event)

    def apply(self, transaction: lmdb.Transaction, event: bytes) -> None:
        """Keep the event as the sku's row."""
        transaction.put(msgpack.unpackb(event)[1].encode(), event, db=self.rows)

    def on_stop(self) -> None:
        self.environment.close()


class TableReplica(Replica):
    """Keeps the table that onewriter's replicas keep: whole rows, and an index on the price."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.by_price = self.environment.open_db(b"by_price")

    def apply(self, transaction: lmdb.Transaction, event: bytes) -> None:
        """Put the product's row together, and move its index entry."""
        kind, sku, *rest = msgpack.unpackb(event)
        key = sku.encode()
        if kind == "ProductListed":
            row = {"sku": sku, "name": rest[0], "price": rest[1]}
        else:
            row = msgpack.unpackb(transaction.get(key, db=self.rows))
            transaction.delete(row["price"].to_bytes(8, "big") + key, db=self.by_price)
            row["price"] = rest[0]
        transaction.put(key, msgpack.packb(row), db=self.rows)
        transaction.put(row["price"].to_bytes(8, "big") + key, b"", db=self.by_price)


class Writer(pykka.ThreadingActor):
    """Writes all that waits in its inbox as one transaction, sends it to its replicas, and replies."""

    use_daemon_thread = True

    def __init__(self, folder: Path, replicas: Sequence[pykka.ActorRef[Replica]]) -> None:
        super().__init__()
        self.environment = lmdb.open(str(folder), map_size=MAP_SIZE, lib_version=0)
        self.replicas = replicas
        self.head = 0

    def on_receive(self, message: Command) -> int:
        """The position of the message, which is Pykka's reply; those of its group are replied to here."""
        group, replies = [message], []
        inbox: Any = self.actor_inbox
        other = None
        while len(group) < GROUP:
            try:
                envelope = inbox.get_nowait()
            except queue.Empty:
                break
            if not hasattr(envelope.message, "sku"):
                other = envelope
                break
            group.append(envelope.message)
            replies.append(envelope.reply_to)
        first = self.head + 1
        events = [encoded(command) for command in group]
        with self.environment.begin(write=True) as transaction:
            for position, event in enumerate(events, first):
                transaction.put(position.to_bytes(8, "big"), event, append=True)
        self.head += len(group)
        for replica in self.replicas:
            replica.tell((self.head, events))
        for position, reply in enumerate(replies, first + 1):
            reply.set(position)
        if other is not None:
            inbox.put(other)
        return first

    def on_stop(self) -> None:
        self.environment.close()


def encoded(command: Command) -> bytes:
    """The event of a command."""
    event: tuple[str | int, ...]
    if isinstance(command, ListProduct):
        event = ("ProductListed", command.sku, command.name, command.price)
    else:
        event = ("PriceChanged", command.sku, command.price)
    packed: bytes = msgpack.packb(event)
    return packed


class BareLoop(CommandPeer):
    """Callers that wait for each reply, or one that sends everything before it waits."""

    writer: pykka.ActorRef[Writer] | None = None

    def __init__(self, pipelined: bool = False, replicas: int = 0, tables: bool = False) -> None:
        """`tables` has the replicas keep onewriter's table with its index, not the last event of a sku."""
        self.pipelined = pipelined
        self.kind = TableReplica if tables else Replica
        self.number = replicas
        self.replicas: list[pykka.ActorRef[Any]] = []
        kept = "rows with an index" if tables else "the last event of each sku, no index"
        copies = f"replicas without fsync keep {kept}" if replicas else "no replica"
        self.promises = f"an fsync a group of what waits in the inbox; events only, {copies}"

    def setup(self, folder: Path) -> None:
        self.replicas = [self.kind.start(folder / f"replica-{number}") for number in range(self.number)]
        self.writer = Writer.start(folder / "events", self.replicas)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        assert self.writer is not None
        ask = self.writer.ask
        if not self.pipelined:
            return time_callers(shares, [lambda command: ask(command, timeout=REPLY_TIMEOUT)] * len(shares))
        started = time.perf_counter()
        replies = [ask(command, block=False) for share in shares for command in share]
        for reply in replies:
            reply.get(timeout=REPLY_TIMEOUT)
        return time.perf_counter() - started

    def settle(self) -> float | None:
        if not self.replicas:
            return None
        written = self.written()
        started = time.perf_counter()
        applied = [replica.proxy().applied.get(timeout=REPLY_TIMEOUT) for replica in self.replicas]
        if applied != [written] * len(applied):
            raise RuntimeError(f"{written} events were written, {applied} applied")
        return time.perf_counter() - started

    def written(self) -> int:
        assert self.writer is not None
        head: int = self.writer.proxy().head.get(timeout=REPLY_TIMEOUT)
        return head

    def close(self) -> None:
        for actor in (self.writer, *self.replicas):
            if actor is not None:
                actor.stop()
