"""onewriter's commands, as a program gives them: `System` with three replicas, in threads or in processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from actors import System
from benchmarks.domain import Command, shop
from benchmarks.peers.base import CommandPeer, in_batches, time_callers
from benchmarks.workload import BATCH

Workers = Literal["thread", "process"]

REPLICAS = 3
SETTLE_TIMEOUT = 120.0


class _Commands(CommandPeer):
    promises = (
        "an fsync a group of commands, before any reply; command ids, streams, metadata; "
        "the replicas apply meanwhile"
    )
    system: System | None = None

    def __init__(self, replicas: int = REPLICAS, workers: Workers = "thread") -> None:
        self.replicas = replicas
        self.workers: Workers = workers

    def setup(self, folder: Path) -> None:
        self.system = opened(folder / "shop", self.replicas, self.workers)

    def opened(self) -> System:
        assert self.system is not None
        return self.system

    def settle(self) -> float:
        return wait_applied(self.opened())

    def written(self) -> int:
        return self.opened().health().position

    def close(self) -> None:
        if self.system is not None:
            self.system.close()


class OneWriterCallers(_Commands):
    """Each caller waits for its receipt before it sends the next command."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        return time_callers(shares, [self.opened().execute] * len(shares))


class OneWriterSubmit(_Commands):
    """One caller that sends everything, then waits for all receipts."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        submit = self.opened().submit
        started = time.perf_counter()
        futures = [submit(command) for share in shares for command in share]
        for future in futures:
            future.result(timeout=SETTLE_TIMEOUT)
        return time.perf_counter() - started


class OneWriterMany(_Commands):
    """One caller that sends a batch and waits for its receipts."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        execute_many = self.opened().execute_many
        started = time.perf_counter()
        for share in shares:
            for batch in in_batches(share, BATCH):
                execute_many(batch)
        return time.perf_counter() - started


class OneWriterTasks(_Commands):
    """Tasks of one event loop, each of which waits for its receipt before it sends the next command."""

    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        aexecute = self.opened().aexecute

        async def caller(share: Sequence[Command]) -> None:
            for command in share:
                await aexecute(command)

        async def all_of_them() -> float:
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for share in shares:
                    group.create_task(caller(share))
            return time.perf_counter() - started

        return asyncio.run(all_of_them())


def opened(path: Path, replicas: int, workers: Workers) -> System:
    """The shop's system."""
    return System.open(path, shop, replicas=replicas, workers=workers)


def wait_applied(system: System) -> float:
    """Seconds until every replica has applied what is committed now."""
    started = time.perf_counter()
    system.wait_applied(timeout=SETTLE_TIMEOUT)
    return time.perf_counter() - started
