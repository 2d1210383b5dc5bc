"""What a peer has to be: one contract for commands, one for queries.

A peer is made for one measurement on an empty folder and is closed after it, on the harness's thread.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from benchmarks.callers import Start, run_together
from benchmarks.domain import Command
from benchmarks.workload import Lookups

Item = TypeVar("Item")


class CommandPeer(ABC):
    """Carries out the shop's commands; every one is on disk when it is acknowledged."""

    promises: str
    """What is durable when, and how it is set: printed under the table."""

    @abstractmethod
    def setup(self, folder: Path) -> None:
        """Open a new store in `folder`. Not timed."""

    @abstractmethod
    def commands(self, shares: Sequence[Sequence[Command]]) -> float:
        """Carry out each share in its order, one caller a share; seconds until the last acknowledgement."""

    def settle(self) -> float | None:
        """Seconds from the last acknowledgement until every copy shows all commands; None without copies."""
        return None

    @abstractmethod
    def written(self) -> int:
        """Events in the store: as many as there were commands, or the figure is void."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; also after a failure, and after a `setup` that failed half-way."""


class QueryPeer(ABC):
    """Answers look-ups in a store of products that were listed and never repriced."""

    promises: str

    @abstractmethod
    def setup(self, folder: Path) -> None:
        """Open a new store in `folder` and list the products. Not timed."""

    @abstractmethod
    def queries(self, lookups: Lookups) -> float:
        """Answer all look-ups, one caller; seconds."""

    @abstractmethod
    def answer(self, lookups: Lookups) -> list[object]:
        """The answers that `queries` throws away, to be checked. Not timed."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; also after a failure, and after a `setup` that failed half-way."""


def time_callers(
    shares: Sequence[Sequence[Command]], handlers: Sequence[Callable[[Command], object]]
) -> float:
    """Seconds for all callers to put their shares through their own handlers, a thread each if several."""
    if len(shares) == 1:
        handle = handlers[0]
        started = time.perf_counter()
        for command in shares[0]:
            handle(command)
        return time.perf_counter() - started

    def caller(number: int, start: Start) -> None:
        share, handle = shares[number], handlers[number]
        start()
        for command in share:
            handle(command)

    return run_together(len(shares), caller)


def in_batches(items: Iterable[Item], size: int) -> Iterable[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
