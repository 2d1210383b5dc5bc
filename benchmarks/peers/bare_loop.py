"""The least that a durable actor can be: a Pykka actor, a SimpleQueue, msgpack, LMDB and futures.

No domain, states, streams, ids, replicas or errors: the ceiling that the whole system is held against.
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


class Writer(pykka.ThreadingActor):
    """Writes what waits in its inbox as one transaction, then replies to all of it."""

    use_daemon_thread = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.environment = lmdb.open(str(folder / "events"), map_size=MAP_SIZE)
        self.head = 0

    @staticmethod
    def _create_actor_inbox() -> Any:
        return queue.SimpleQueue()

    def on_receive(self, message: tuple[pykka.Future[int], Command]) -> None:
        group = [message]
        inbox: Any = self.actor_inbox
        stopping = None
        while len(group) < GROUP:
            try:
                envelope = inbox.get_nowait()
            except queue.Empty:
                break
            if not isinstance(envelope.message, tuple):
                stopping = envelope
                break
            group.append(envelope.message)
        with self.environment.begin(write=True) as transaction:
            for position, (_, command) in enumerate(group, self.head + 1):
                transaction.put(position.to_bytes(8, "big"), _encode(command), append=True)
        for position, (future, _) in enumerate(group, self.head + 1):
            future.set(position)
        self.head += len(group)
        if stopping is not None:
            inbox.put(stopping)

    def on_stop(self) -> None:
        self.environment.close()


def _encode(command: Command) -> bytes:
    event: tuple[str | int, ...]
    if isinstance(command, ListProduct):
        event = ("ProductListed", command.sku, command.name, command.price)
    else:
        event = ("PriceChanged", command.sku, command.price)
    encoded: bytes = msgpack.packb(event)
    return encoded


class BareLoop(CommandPeer):
    """Callers that wait for each reply, or one that sends everything before it waits."""

    promises = "an fsync a group of what waits in the inbox; events only, no replica"
    writer: pykka.ActorRef[Writer] | None = None

    def __init__(self, pipelined: bool = False) -> None:
        self.pipelined = pipelined

    def setup(self, folder: Path) -> None:
        self.writer = Writer.start(folder)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        if not self.pipelined:
            return time_callers(
                shares, [lambda command: self._send(command).get(timeout=REPLY_TIMEOUT)] * len(shares)
            )
        started = time.perf_counter()
        replies = [self._send(command) for share in shares for command in share]
        for reply in replies:
            reply.get(timeout=REPLY_TIMEOUT)
        return time.perf_counter() - started

    def _send(self, command: Command) -> pykka.Future[int]:
        assert self.writer is not None
        reply: pykka.Future[int] = pykka.ThreadingFuture()
        self.writer.tell((reply, command))
        return reply

    def written(self) -> int:
        assert self.writer is not None
        head: int = self.writer.proxy().head.get(timeout=REPLY_TIMEOUT)
        return head

    def close(self) -> None:
        if self.writer is not None:
            self.writer.stop()
