"""What a run leaves behind to be judged: every call with its times and its outcome, and what the log says of
the order.

Times are `time.monotonic_ns()`, taken by the caller just before a call and just after it. Plain data, no
thread.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple

__all__ = ["Commit", "History", "Level", "Read", "Timeline", "Window", "Write"]

Value = Any


@dataclass(frozen=True, slots=True)
class Level:
    """How fresh an answer was asked to be; `session` numbers the session that asked, if one did."""

    strong: bool = False
    after: int | None = None
    lag_positions: int | None = None
    lag_seconds: float | None = None
    session: int | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A command. `cell` and `value` are what it sets, for one that sets a register; one that sets several is
    several.

    `returned` and `position` are None where the outcome is unknown: it may take effect at any later time, or
    never.
    """

    client: int
    invoked: int
    returned: int | None
    position: int | None
    cell: str | None = None
    value: Value = None
    session: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """An answered query: what each cell held, and the position that the system says it shows."""

    client: int
    invoked: int
    returned: int
    cells: tuple[tuple[str, Value], ...]
    level: Level
    seen: int


class Commit(NamedTuple):
    """Positions through `last` were on disk at `time` at the latest."""

    time: int
    last: int


class Window(NamedTuple):
    """The positions from `low` up to but without `high`."""

    low: int
    high: float

    def __bool__(self) -> bool:
        return self.low < self.high

    def both(self, other: Window) -> Window:
        """The positions in this one and the other."""
        return Window(max(self.low, other.low), min(self.high, other.high))


class Timeline:
    """What every cell held at every position, and when every position was committed. Made once the run is
    over.
    """

    def __init__(
        self,
        changes: Iterable[tuple[int, str, Value]],
        commits: Sequence[Commit],
        ends: Sequence[int] | None = None,
    ) -> None:
        """`changes` are (position, cell, value) in the order of positions; a cell holds None before its
        first.

        `ends` are the positions at which a command's events end, in order; all of them where it is not given.
        """
        self._ends = None if ends is None else [0, *ends]
        self._changes: dict[str, list[tuple[int, Value]]] = defaultdict(lambda: [(0, None)])
        self._where: dict[tuple[str, Value], list[int]] = defaultdict(list)
        for position, cell, value in changes:
            self._where[cell, value].append(len(self._changes[cell]))
            self._changes[cell].append((position, value))
        self.repeated = [one for one, places in self._where.items() if len(places) > 1]
        """(cell, value) that were written more than once, though every value is written by one command."""
        ordered = sorted(commits)
        self._times = [commit.time for commit in ordered]
        self._lasts = list(accumulate((commit.last for commit in ordered), max))

    def window(self, cell: str, value: Value) -> Window | None:
        """The positions at which the cell held the value; None if it never did. No cell takes a
        value twice.
        """
        if value is None:
            place = 0
        elif not (places := self._where.get((cell, value))):
            return None
        else:
            place = places[0]
        changes = self._changes[cell]
        end = changes[place + 1][0] if place + 1 < len(changes) else float("inf")
        return Window(changes[place][0], end)

    def whole_command(self, window: Window) -> bool:
        """Whether a command ends at one of these positions, so that none is there in part."""
        if self._ends is None:
            return True
        index = bisect_left(self._ends, window.low)
        return index < len(self._ends) and self._ends[index] < window.high

    def committed(self, time: int) -> int:
        """What was on disk for certain at that time: no answer needs more."""
        return self._lasts[index - 1] if (index := bisect_right(self._times, time)) else 0

    def commit_possible(self, time: int) -> float:
        """What can have been on disk at that time: a commit is noted a little later, but before the next
        begins.
        """
        index = bisect_left(self._times, time)
        return self._lasts[index] if index < len(self._lasts) else float("inf")


@dataclass(slots=True)
class History:
    """A whole run. Operations of one client are in the order in which it called."""

    timeline: Timeline
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    sums: frozenset[str] = frozenset()
    """Prefixes of cells whose amounts are to be equal in total, such as what was paid and what was received.
    """
