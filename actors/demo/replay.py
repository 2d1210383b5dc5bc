"""Sends a history of commands through the system, many under way at once, and takes the figures.

The commands are handed over in order by the caller's thread, which never waits for one of them alone: the
writer commits whatever has gathered together. Callbacks collect the replication lag on the replicas' threads.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from actors import Receipt, Rejected, System
from actors.demo.visitors import KnownNames

UNDER_WAY = 400

AHEAD = 2_000
"""Events that the writer may be ahead of the slowest replica: a replay is faster than a shop in use."""


@dataclass
class Replayed:
    """What came of the commands."""

    commands: int = 0
    events: int = 0
    unchanged: int = 0
    seconds: float = 0.0
    by_command: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)


def replay(
    system: System, commands: Iterable[object], known: KnownNames, moved: Callable[[Replayed], None]
) -> Replayed:
    """Execute the commands in order and wait for the last one's receipt, at the pace of the slowest replica.

    `moved` is called from time to time, with the result so far. A rejection is counted. Any other error is
    raised, since a history that is lost in part proves nothing.
    """
    result = Replayed()
    under_way: deque[tuple[object, Future[Receipt]]] = deque()
    began = time.perf_counter()

    def finish(count: int) -> None:
        for _ in range(count):
            command, future = under_way.popleft()
            try:
                receipt = future.result(timeout=60)
            except Rejected as rejection:
                result.rejected[type(command).__name__, rejection.code] += 1
            else:
                result.events += len(receipt.events)
                result.unchanged += not receipt.events
                known.notice(command)
            result.commands += 1
            result.by_command[type(command).__name__] += 1
        if system.position > AHEAD:
            system.wait_applied(system.position - AHEAD, timeout=60)
        result.seconds = time.perf_counter() - began
        moved(result)

    for command in commands:
        under_way.append((command, submit(system, command)))
        if len(under_way) >= UNDER_WAY:
            finish(UNDER_WAY // 4)
    finish(len(under_way))
    return result


def submit(system: System, command: object) -> Future[Receipt]:
    """Submit, giving the future the rejection that a field check on this thread raises."""
    try:
        return system.submit(command)
    except Rejected as rejection:
        future: Future[Receipt] = Future()
        future.set_exception(rejection)
        return future


class LagSamples:
    """Seconds from commit to applied, for each batch of a replica; called on the replicas' threads."""

    def __init__(self, replicas: Iterable[str]) -> None:
        self.of = {name: array("d") for name in replicas}

    def __call__(self, replica: str, _position: int, lag: float) -> None:
        self.of[replica].append(lag)
