"""How far the writer and every model on every replica are; shared by all threads.

The writer and the replicas publish here after each commit, which releases callers that wait
for a position. Nothing polls: a waiter is called by the thread that made it true.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence

__all__ = ["ModelProgress", "Progress"]

REMEMBERED_COMMITS = 20_000


class ModelProgress:
    """One model on one replica. `stopped` tells why its projection stopped, or is None.

    With `readable` what it has applied may be read meanwhile.
    """

    __slots__ = ("applied", "readable", "stopped")

    def __init__(self, applied: int) -> None:
        self.applied = applied
        self.stopped: str | None = None
        self.readable = True


class Progress:
    """A monitor of positions; every method may be called from any thread and holds its lock briefly."""

    def __init__(self, head: int, models: Sequence[str], replicas: Sequence[str]) -> None:
        """`head` is the log's last position at opening; models count as at 0 until their replica speaks."""
        self.head = head
        self.closed = False
        self.forked = False
        self.replicas = {name: {model: ModelProgress(0) for model in models} for name in replicas}
        self.occupied: frozenset[str] = frozenset()
        self._commits: deque[tuple[float, int]] = deque([(-math.inf, head)], REMEMBERED_COMMITS)
        self._opened = time.monotonic()
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._waiters: list[tuple[int, int, tuple[str, ...], Callable[[], None]]] = []
        self._number = itertools.count()

    # -- publishing --------------------------------------------------------------------------
    def committed(self, last: int) -> None:
        """The writer: everything up to `last` is on disk."""
        with self._moved:
            self.head = last
            self._commits.append((time.monotonic(), last))
            self._moved.notify_all()

    def applied(self, replica: str, checkpoints: Iterable[tuple[str, int]]) -> None:
        """A replica: these models run, and have applied everything up to their positions."""
        with self._lock:
            on_replica = self.replicas[replica]
            highest = 0
            for model, position in checkpoints:
                on_replica[model].applied = position
                on_replica[model].stopped = None
                on_replica[model].readable = True
                highest = max(highest, position)
            self._moved.notify_all()
            ready = self._ready(highest) if self._waiters else ()
        for callback in ready:
            callback()

    def stopped(self, replica: str, model: str, position: int, why: str, *, readable: bool = False) -> None:
        """A replica: this model stopped before the event after `position`; `readable` where it only wants room."""
        with self._lock:
            entry = self.replicas[replica][model]
            entry.applied = position
            entry.stopped = why
            entry.readable = readable
            self._moved.notify_all()
            waiting = [waiter[3] for waiter in self._waiters if model in waiter[2]]
            self._waiters = [waiter for waiter in self._waiters if model not in waiter[2]]
            heapq.heapify(self._waiters)
        # They look again, and find the model stopped or another replica to ask.
        for callback in waiting:
            callback()

    def set_occupied(self, replicas: Iterable[str]) -> None:
        """These replicas' query actors don't get on: ask others, as long as there are others."""
        occupied = frozenset(replicas)
        if len(occupied) == len(self.replicas):
            occupied = frozenset()
        if occupied == self.occupied:
            return
        with self._lock:
            self.occupied = occupied
            ready = self._ready(self.head)
        for callback in ready:
            callback()

    def _ready(self, position: int) -> list[Callable[[], None]]:
        ready, later = [], []
        while self._waiters and self._waiters[0][0] <= position:
            waiter = heapq.heappop(self._waiters)
            if self._fresh(waiter[2], waiter[0]):
                ready.append(waiter[3])
            else:
                later.append(waiter)
        for waiter in later:
            heapq.heappush(self._waiters, waiter)
        return ready

    # -- asking ------------------------------------------------------------------------------
    def _fresh(self, models: Sequence[str], position: int) -> list[str]:
        found: list[str] = []
        behind: list[str] = []
        for name, on_replica in self.replicas.items():
            if name in self.occupied:
                continue
            stopped = False
            for model in models:
                entry = on_replica[model]
                if entry.applied < position or not entry.readable:
                    break
                stopped = stopped or entry.stopped is not None
            else:
                (behind if stopped else found).append(name)
        return found or behind

    def fresh(self, models: Sequence[str], position: int) -> list[str]:
        """The replicas to ask on which each of these models runs and has applied `position`.

        Without any, those on which one stopped for want of room after it had applied that.
        """
        return self._fresh(models, position)

    def everywhere(self, position: int) -> bool:
        """Whether every model on every replica runs and has applied `position`."""
        return all(
            entry.applied >= position and entry.stopped is None
            for on_replica in self.replicas.values()
            for entry in on_replica.values()
        )

    def fresh_or_call(
        self, models: tuple[str, ...], position: int, callback: Callable[[], None]
    ) -> list[str]:
        """As `fresh`; when there is none, `callback` is called once, as soon as there may be one or it is in vain."""
        with self._lock:
            found = self._fresh(models, position)
            in_vain = not found and (self.closed or self.stopped_model(models) is not None)
            if not found and not in_vain:
                heapq.heappush(self._waiters, (position, next(self._number), models, callback))
        if in_vain:
            callback()
        return found

    def forget(self, callback: Callable[[], None]) -> None:
        """Drop a waiter that gave up."""
        with self._lock:
            self._waiters = [waiter for waiter in self._waiters if waiter[3] != callback]
            heapq.heapify(self._waiters)

    def most_advanced(self, models: Sequence[str]) -> list[str]:
        """The replicas that run these models and have applied the most; none when a model is stopped everywhere."""
        best, found = -1, []
        for name, on_replica in self.replicas.items():
            entries = [on_replica[model] for model in models]
            if name in self.occupied or any(entry.stopped is not None for entry in entries):
                continue
            applied = min((entry.applied for entry in entries), default=0)
            if applied > best:
                best, found = applied, [name]
            elif applied == best:
                found.append(name)
        return found

    def stopped_model(self, models: Sequence[str]) -> tuple[str, str] | None:
        """A (model, reason) among these that is stopped on every replica, or None."""
        for model in models:
            reasons = [on_replica[model].stopped for on_replica in self.replicas.values()]
            if reasons and all(reason is not None for reason in reasons):
                return model, str(reasons[0])
        return None

    def position_before(self, seconds: float) -> int:
        """The last position that was committed at least `seconds` ago.

        Commits of before this process opened the store count as old.
        """
        limit = time.monotonic() - seconds
        with self._lock:
            index = bisect_left(self._commits, (limit, 1 << 64))
            # Before the oldest one remembered: its position asks for more than was promised, never for less.
            return self._commits[max(index - 1, 0)][1]

    def lag_seconds(self, position: int) -> float:
        """Seconds since the commit of the oldest event after `position`; 0.0 when there is none."""
        with self._lock:
            if position >= self.head:
                return 0.0
            commits = self._commits
            low, high = 0, len(commits)
            while low < high:
                middle = (low + high) // 2
                if commits[middle][1] <= position:
                    low = middle + 1
                else:
                    high = middle
            committed = commits[min(low, len(commits) - 1)][0]
            # What was committed before this process began counts from the opening.
            return time.monotonic() - max(committed, self._opened)

    def wait_committed(self, position: int, timeout: float | None) -> bool:
        """Wait until `position` is on disk or the system closes; False when neither came in `timeout` seconds."""
        with self._moved:
            return self._moved.wait_for(lambda: self.head >= position or self.closed, timeout)

    def any_stopped(self) -> tuple[str, str, str] | None:
        """A (replica, model, reason) that is stopped, or None."""
        for name, on_replica in self.replicas.items():
            for model, entry in on_replica.items():
                if entry.stopped is not None:
                    return name, model, entry.stopped
        return None

    def wait_until(self, reached: Callable[[], bool], timeout: float) -> bool:
        """Wait until `reached()`, asked again whenever something was published; False after `timeout` seconds."""
        with self._moved:
            return self._moved.wait_for(reached, timeout)

    def close(self) -> None:
        """Release everyone who waits; they find the system closed."""
        with self._moved:
            self.closed = True
            self._moved.notify_all()
            waiting = [waiter[3] for waiter in self._waiters]
            self._waiters = []
        for callback in waiting:
            callback()
