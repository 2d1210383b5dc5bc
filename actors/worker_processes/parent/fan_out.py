"""Whether many queries of one caller are shared out among workers, and how. Pure; callers' threads.

It pays if the queries take much longer than sharing them out costs, and if the workers' snapshots show one
position. While the writer goes on that is a matter of luck, so after a failure it is not tried for a while,
each time for twice as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from actors.worker_processes.wire.query_codec import BoundQuery

__all__ = ["FanOut"]

WORTH_SECONDS = 0.0005
"""Seconds that the part of one worker has to take: several times what asking another worker costs."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

FADING = 0.2
"""How much a measurement counts against all those before it."""


class FanOut:
    """What queries cost, and whether sharing them out succeeded. Threads may lose each other's measurements,
    which does no harm."""

    def __init__(self, max_parts: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`max_parts` is the number of parts that can be worked on at the same time."""
        self._max_parts = max_parts
        self._clock = clock
        self._costs: dict[str, float] = {}
        self._pause = FIRST_PAUSE
        self._until = 0.0

    def note_cost(self, queries: Sequence[BoundQuery], seconds: float) -> None:
        """These queries took a worker this long."""
        each = seconds / len(queries)
        for name in {spec.name for _, spec in queries}:
            before = self._costs.get(name, each)
            self._costs[name] = before + (each - before) * FADING

    def parts(self, queries: Sequence[BoundQuery]) -> int:
        """Among how many workers to share these; 1 for not at all."""
        if self._max_parts < 2 or self._clock() < self._until:
            return 1
        costs = self._costs
        total = 0.0
        for _, spec in queries:
            total += costs.get(spec.name, 0.0)
        return max(min(self._max_parts, len(queries), int(total / WORTH_SECONDS)), 1)

    def split(self, queries: Sequence[BoundQuery], parts: int) -> list[list[BoundQuery]]:
        """The queries in order, in parts that should take about as long as each other; none is empty."""
        costs = [max(self._costs.get(spec.name, 0.0), 1e-7) for _, spec in queries]
        total = sum(costs)
        found: list[list[BoundQuery]] = []
        current: list[BoundQuery] = []
        reached = 0.0
        for index, (query, cost) in enumerate(zip(queries, costs, strict=True)):
            left = len(queries) - index
            missing = parts - len(found) - 1
            if (
                current
                and missing
                and (left <= missing or reached + cost / 2 > total * (len(found) + 1) / parts)
            ):
                found.append(current)
                current = []
            current.append(query)
            reached += cost
        found.append(current)
        return found

    def note_success(self, queries: Sequence[BoundQuery], seconds: float) -> None:
        """They were shared out, and took the workers this long together."""
        self._pause = FIRST_PAUSE
        self.note_cost(queries, seconds)

    def diverged(self) -> None:
        """The workers' snapshots showed different positions: one worker has to be asked for all of them."""
        self._until = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
