"""Loads: open, where a schedule says when an operation is due, and closed, where one follows another.

In an open load latency counts from the moment at which the operation was due, whatever kept the client from
beginning with it: what Gil Tene calls coordinated omission, a system that slows down its own measurement, has
no place in it. Clients are threads of this process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from benchmarks.callers import run_together
from benchmarks.durations import Durations
from benchmarks.frozen_heap import frozen_heap
from benchmarks.latency.schedule import Schedule

REPLY_TIMEOUT = 120.0

Call = Callable[[Any], object]


@dataclass
class Measured:
    """`latency` counts from when operations were due, `called` from when they started."""

    latency: Durations = field(default_factory=Durations)
    called: Durations = field(default_factory=Durations)
    seconds: float = 0.0
    """From the start until the last reply."""

    def merge(self, other: Measured) -> None:
        """Count what another load has counted, too."""
        self.latency.merge(other.latency)
        self.called.merge(other.called)
        self.seconds += other.seconds

    @property
    def rate(self) -> float:
        """Operations a second."""
        return len(self.called) / self.seconds


def open_load(
    clients: Sequence[Call], work: Sequence[Sequence[Any]], schedules: Sequence[Schedule]
) -> Measured:
    """Each client does its items at the moments of its schedule, or as soon as the one before is done."""

    def client(number: int, started: float, latency: list[float], called: list[float]) -> None:
        clock, sleep, call = time.perf_counter, time.sleep, clients[number]
        for due, item in zip(schedules[number], work[number], strict=True):
            due += started
            early = due - clock()
            if early > 0:
                sleep(early)
            begun = clock()
            call(item)
            ended = clock()
            latency.append(ended - due)
            called.append(ended - begun)

    return _measured(len(clients), client)


def closed_load(clients: Sequence[Call], work: Sequence[Iterable[Any]], seconds: float) -> Measured:
    """Each client does one item after the other until `seconds` have passed; nothing has a latency."""

    def client(number: int, started: float, _: list[float], called: list[float]) -> None:
        clock, call = time.perf_counter, clients[number]
        end = started + seconds
        begun = clock()
        for item in work[number]:
            call(item)
            ended = clock()
            called.append(ended - begun)
            begun = ended
            if ended >= end:
                break

    return _measured(len(clients), client)


def submitted_load(
    submit: Callable[[Any], Future[Any]], items: Sequence[Any], schedule: Schedule
) -> Measured:
    """One client that sends its items at their moments and waits for no reply until all are sent."""
    clock, sleep = time.perf_counter, time.sleep
    ended = [0.0] * len(items)
    replied = count(1)
    all_replied = threading.Event()

    def reply(number: int, _: Future[Any]) -> None:
        ended[number] = clock()
        if next(replied) == len(items):
            all_replied.set()

    begun = []
    futures = []
    with frozen_heap():
        started = clock()
        for number, (due, item) in enumerate(zip(schedule, items, strict=True)):
            early = started + due - clock()
            if early > 0:
                sleep(early)
            begun.append(clock())
            future = submit(item)
            future.add_done_callback(partial(reply, number))
            futures.append(future)
        for future in futures:
            future.result(timeout=REPLY_TIMEOUT)
        seconds = clock() - started
    # A future has its result a moment before its callback is called.
    all_replied.wait(REPLY_TIMEOUT)
    return Measured(
        Durations(end - started - due for end, due in zip(ended, schedule, strict=True)),
        Durations(end - begin for end, begin in zip(ended, begun, strict=True)),
        seconds,
    )


def _measured(clients: int, client: Callable[[int, float, list[float], list[float]], None]) -> Measured:
    shares: list[tuple[list[float], list[float]]] = [([], []) for _ in range(clients)]
    with frozen_heap():
        seconds = run_together(clients, lambda number, start: client(number, start(), *shares[number]))
    measured = Measured(seconds=seconds)
    for latency, called in shares:
        measured.latency.record_all(latency)
        measured.called.record_all(called)
    return measured
