"""Threads that begin together, and how long they take."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Start = Callable[[], float]
"""Waits until all callers are ready; the moment at which all of them go on, by `time.perf_counter`."""


def run_together(callers: int, work: Callable[[int, Start], object]) -> float:
    """Do `work(number, start)` in a thread for each number; seconds from their start until the last is done.

    Each calls `start` once, when it is ready. Raises the first error of any of them, once all have ended.
    """
    moments: list[float] = []
    failures: list[BaseException] = []
    ready = threading.Barrier(callers, lambda: moments.append(time.perf_counter()))

    def start() -> float:
        ready.wait()
        return moments[0]

    def run(number: int) -> None:
        try:
            work(number, start)
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = time.perf_counter()
    if failures:
        raise failures[0]
    return ended - moments[0]
