"""One workload on one peer for a while: callers do one operation after the other.

A thread for each caller. Durations count from the call to its return: these are the latencies of callers that
wait for each other, not those under a given load, for which see `benchmarks.latency`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.callers import Start, run_together
from benchmarks.durations import Durations
from benchmarks.frozen_heap import frozen_heap
from benchmarks.mixes.client import Client
from benchmarks.mixes.latest import Latest
from benchmarks.mixes.workloads import Kind, Operation


@dataclass
class Run:
    """Operations of all callers within `seconds`; `missed` reads found no record."""

    seconds: float = 0.0
    reads: Durations = field(default_factory=Durations)
    writes: Durations = field(default_factory=Durations)
    missed: int = 0

    @property
    def rate(self) -> float:
        """Operations a second."""
        return (len(self.reads) + len(self.writes)) / self.seconds


@dataclass
class _Share:
    """What one caller did."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    missed: int = 0
    seconds: float = 0.0


def run(
    client: Callable[[], Client],
    operations: Sequence[Operation],
    first: Sequence[str],
    callers: int,
    seconds: float,
) -> Run:
    """Deal the operations to the callers and stop after `seconds`, or when one has done all of its share.

    `client` is called in each caller's thread; `first` are the keys of the records that were there at the
    beginning.
    """
    latest = Latest(first, [key for kind, key, _ in operations if kind is Kind.INSERT])
    shares = [_Share() for _ in range(callers)]

    def caller(number: int, start: Start) -> None:
        own = client()
        try:
            _carry_out(own, operations[number::callers], latest, start(), seconds, shares[number])
        finally:
            own.close()

    with frozen_heap():
        run_together(callers, caller)
    done = Run(max(share.seconds for share in shares))
    for share in shares:
        done.reads.record_all(share.reads)
        done.writes.record_all(share.writes)
        done.missed += share.missed
    return done


def _carry_out(
    client: Client,
    operations: Sequence[Operation],
    latest: Latest,
    started: float,
    seconds: float,
    share: _Share,
) -> None:
    clock = time.perf_counter
    read, reads, writes = client.read, share.reads, share.writes
    now = clock()
    end = started + seconds
    for kind, key, given in operations:
        if kind is Kind.READ or kind is Kind.READ_LATEST:
            if read(key if kind is Kind.READ else latest.key(key)) is None:
                share.missed += 1
            durations = reads
        else:
            if kind is Kind.UPDATE:
                client.update(key, *given)
            elif kind is Kind.MODIFY:
                client.modify(key, given)
            else:
                number, fields = given
                client.insert(key, fields)
                latest.acknowledged(number)
            durations = writes
        then = clock()
        durations.append(then - now)
        now = then
        if now >= end:
            break
    share.seconds = now - started
