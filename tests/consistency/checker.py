"""Which promises a history breaks. Pure: it knows no system, only what its callers saw and what the log says.

Every answer is right at a stretch of positions of the log, its window; each promise says how late that window
has to end. `strong` is judged a second time from the callers' times alone, key by key, as linearizability.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple

from tests.consistency.history import History, Read, Timeline, Window, Write
from tests.consistency.linearizability import Access, refute

__all__ = ["Violation", "check"]


class Violation(NamedTuple):
    """A broken promise: its name, what happened, and the answer that shows it (None for a whole key)."""

    promise: str
    text: str
    read: Read | None = None


Floors = list[tuple[str, int]]


def check(history: History) -> list[Violation]:
    """Every violation found. No violation is no proof: only what the callers happened to meet is judged."""
    found = list(_of_log(history))
    windows: dict[int, Window] = {}
    for read in history.reads:
        found += _sums(history, read)
        window = _window(history.timeline, read)
        if isinstance(window, Violation):
            found.append(window)
        else:
            windows[id(read)] = window
            found += _of_one_answer(history, read, window)
    found += _floors(history, windows)
    found += _registers(history)
    return found


def _of_log(history: History) -> Iterator[Violation]:
    for cell, value in history.timeline.repeated:
        yield Violation("written once", f"{value!r} was written to {cell} more than once")
    for write in history.writes:
        if write.cell is not None and write.position is not None:
            window = history.timeline.window(write.cell, write.value)
            if window is None or window.low != write.position:
                yield Violation(
                    "written once", f"the receipt of {write} is not what the log says, which has {window}"
                )


# -- one answer alone ----------------------------------------------------------------------------------------
def _window(timeline: Timeline, read: Read) -> Window | Violation:
    whole = Window(0, float("inf"))
    for cell, value in read.cells:
        window = timeline.window(cell, value)
        if window is None:
            return Violation("committed only", f"{cell} never held {value!r}, and a query saw it there", read)
        both = whole.both(window)
        if not both:
            return Violation(
                "one snapshot",
                f"{cell} held {value!r} from position {window.low} to {window.high}, "
                "the rest of the answer is of "
                f"{whole.low} to {whole.high}",
                read,
            )
        whole = both
    return whole


def _of_one_answer(history: History, read: Read, window: Window) -> Iterator[Violation]:
    if window.low > history.timeline.commit_possible(read.returned):
        yield Violation(
            "committed only",
            f"position {window.low} was seen before it was on disk",
            read,
        )
    for shown in (window, Window(read.seen, read.seen + 1)):
        if not history.timeline.whole_command(shown):
            yield Violation(
                "whole commands",
                f"the answer is of positions {shown.low} to {shown.high}, where part of a command is there",
                read,
            )
            break
    if not window.low <= read.seen < window.high:
        yield Violation(
            "position told",
            f"the answer is of positions {window.low} to {window.high}, and {read.seen} was told",
            read,
        )


def _sums(history: History, read: Read) -> Iterator[Violation]:
    totals = _totals(read, history.sums)
    if len(set(totals.values())) > 1:
        yield Violation("sums", f"what has to be equal is not: {totals}", read)


def _totals(read: Read, prefixes: frozenset[str]) -> dict[str, int]:
    """The sum of the amounts of each prefix, of those prefixes all of whose cells are in the answer: all or
    none.
    """
    totals: dict[str, int] = defaultdict(int)
    for cell, value in read.cells:
        prefix = cell.partition("/")[0]
        if prefix in prefixes:
            totals[prefix] += 0 if value is None else value[0]
    return totals


# -- how fresh -----------------------------------------------------------------------------------------------
def _floors(history: History, windows: dict[int, Window]) -> Iterator[Violation]:
    acknowledged = _acknowledged(history.writes)
    sessions = _sessions(history, windows)
    for read in history.reads:
        window = windows.get(id(read))
        if window is None:
            continue
        for promise, floor in _demands(history.timeline, read, acknowledged) + sessions.get(id(read), []):
            if window.high <= floor:
                yield Violation(
                    promise,
                    f"position {floor} had to be seen, the answer ends before {window.high}",
                    read,
                )


def _demands(timeline: Timeline, read: Read, acknowledged: Callable[[int], int]) -> Floors:
    """The positions that the level of one query asks for, by the name of the promise."""
    level = read.level
    floors: Floors = []
    if level.strong:
        floors.append(("strong", max(timeline.committed(read.invoked), acknowledged(read.invoked))))
    if level.after is not None:
        floors.append(("after", level.after))
    if level.lag_positions is not None:
        floors.append(("max_lag in positions", timeline.committed(read.invoked) - level.lag_positions))
    if level.lag_seconds is not None:
        at = read.invoked - int(level.lag_seconds * 1e9)
        floors.append(("max_lag in seconds", timeline.committed(at)))
    return floors


def _acknowledged(writes: list[Write]) -> Callable[[int], int]:
    """A function from a time to the highest position that some caller had a receipt of by then."""
    known = sorted(
        (w.returned, w.position) for w in writes if w.returned is not None and w.position is not None
    )
    times = [time for time, _ in known]
    highest = list(accumulate((position for _, position in known), max))
    return lambda time: highest[index - 1] if (index := bisect_left(times, time)) else 0


def _sessions(history: History, windows: dict[int, Window]) -> dict[int, Floors]:
    """What each session had written and seen before each of its answers. A session calls one thing
    at a time.
    """
    calls: dict[int, list[Write | Read]] = defaultdict(list)
    for write in history.writes:
        if write.session is not None:
            calls[write.session].append(write)
    for read in history.reads:
        if read.level.session is not None:
            calls[read.level.session].append(read)
    floors: dict[int, Floors] = {}
    for of_session in calls.values():
        wrote = saw = 0
        for call in sorted(of_session, key=lambda call: call.invoked):
            if isinstance(call, Write):
                wrote = max(wrote, call.position or 0)
                continue
            floors[id(call)] = [("read your writes", wrote), ("monotonic reads", saw)]
            if id(call) in windows:
                saw = max(saw, windows[id(call)].low)
    return floors


# -- from the callers' times alone ---------------------------------------------------------------------------
def _registers(history: History) -> Iterator[Violation]:
    accesses: dict[str, list[Access]] = defaultdict(list)
    for write in history.writes:
        if write.cell is not None:
            accesses[write.cell].append(
                Access(True, write.value, write.invoked, write.returned, write.client)
            )
    for read in history.reads:
        if read.level.strong:
            for cell, value in dict.fromkeys(read.cells):
                if cell in accesses:
                    accesses[cell].append(Access(False, value, read.invoked, read.returned, read.client))
    for cell, of_cell in sorted(accesses.items()):
        refutation = refute(of_cell)
        if refutation is not None:
            yield Violation("linearizable", f"{cell}: {refutation}")
