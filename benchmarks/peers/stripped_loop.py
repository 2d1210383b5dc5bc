"""The bare loop without Pykka's inbox and futures: a SimpleQueue, and futures made by the caller.

What is left is a hand-over between two threads, msgpack, LMDB and a future for each command.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import pykka

from benchmarks.domain import Command
from benchmarks.peers.bare_loop import GROUP, MAP_SIZE, REPLY_TIMEOUT, encoded
from benchmarks.peers.base import CommandPeer


class Writer(pykka.ThreadingActor):
    """Writes what waits in its inbox as one transaction, then replies to all of it."""

    use_daemon_thread = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.environment = lmdb.open(str(folder / "events"), map_size=MAP_SIZE, lib_version=0)
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
                transaction.put(position.to_bytes(8, "big"), encoded(command), append=True)
        for position, (future, _) in enumerate(group, self.head + 1):
            future.set(position)
        self.head += len(group)
        if stopping is not None:
            inbox.put(stopping)

    def on_stop(self) -> None:
        self.environment.close()


class StrippedLoop(CommandPeer):
    """One caller that sends everything before it waits."""

    promises = "an fsync a group of what waits in the inbox; events only, no replica; no inbox of Pykka's"
    writer: pykka.ActorRef[Writer] | None = None

    def setup(self, folder: Path) -> None:
        self.writer = Writer.start(folder)

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
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
