"""This process on one processor core, as `taskset` would have it. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress

POSSIBLE = hasattr(os, "sched_setaffinity")
"""Whether this system lets a process choose."""

THREADS = "/proc/self/task"


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process's threads, old and new, on one core inside the block; child processes stay free.

    Threads that take turns with one interpreter have nothing to gain from several cores, and carry what it
    works on from one core's cache to the other's at each turn.
    """
    allowed = os.sched_getaffinity(0)
    _keep_to({max(allowed)})
    try:
        yield
    finally:
        _keep_to(allowed)


def _keep_to(cores: Set[int]) -> None:
    # The calling thread first: those that it starts from now on are as it is.
    os.sched_setaffinity(0, cores)
    for thread in os.listdir(THREADS):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), cores)
