"""Callers that wait for a replica that is fresh enough, lowest position first. Its owner calls it under a
lock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence

__all__ = ["FreshnessWaiters"]

Waiter = tuple[int, int, tuple[str, ...], Callable[[], None]]
"""The position that is asked for, a number that orders equal ones, the models, and what to call."""


class FreshnessWaiters(list[Waiter]):
    """A heap of waiters; each is called once, by the owner, after it was taken out here."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def add(self, position: int, models: tuple[str, ...], callback: Callable[[], None]) -> None:
        """A caller waits for a replica on which all of these models have applied `position`."""
        heapq.heappush(self, (position, next(self._numbers), models, callback))

    def take_ready(
        self, position: int, fresh: Callable[[Sequence[str], int], object]
    ) -> list[Callable[[], None]]:
        """Those that ask for `position` at most, and for which `fresh(models, position)` is true."""
        ready: list[Callable[[], None]] = []
        later: list[Waiter] = []
        while self and self[0][0] <= position:
            waiter = heapq.heappop(self)
            if fresh(waiter[2], waiter[0]):
                ready.append(waiter[3])
            else:
                later.append(waiter)
        for waiter in later:
            heapq.heappush(self, waiter)
        return ready

    def take_of(self, model: str) -> list[Callable[[], None]]:
        """Those that wait for this model."""
        found = [waiter[3] for waiter in self if model in waiter[2]]
        self._keep([waiter for waiter in self if model not in waiter[2]])
        return found

    def take_all(self) -> list[Callable[[], None]]:
        """All of them."""
        found = [waiter[3] for waiter in self]
        self.clear()
        return found

    def forget(self, callback: Callable[[], None]) -> None:
        """Drop the one that would be called back so."""
        self._keep([waiter for waiter in self if waiter[3] != callback])

    def _keep(self, waiters: list[Waiter]) -> None:
        self[:] = waiters
        heapq.heapify(self)
