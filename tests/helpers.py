"""What several tests use: waiting for a condition, never for a time; and a folder in memory."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing takes that long unless it hangs."""


def case_id(value: object) -> str:
    """The name of a parameter's value: the same in every run, without the places of objects in memory."""
    if isinstance(value, frozenset):
        return f"frozenset of {', '.join(sorted(map(repr, value)))}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE) -> Any:
    """The first true value of `condition()`, asked every few milliseconds."""
    end = time.monotonic() + timeout
    never = threading.Event()
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not reached within {timeout:g} s: {condition}")
        never.wait(0.005)
    return found


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: thousands of stores are opened and closed, and none
    has to last.
    """
    memory = "/dev/shm"
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def stop_process(pid: int) -> None:
    """Stop a process by SIGSTOP; returns once all of its threads have stopped, where that can be seen.

    The signal only asks: on a busy machine a thread goes on for a while.
    """
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    if tasks.exists():
        wait_until(lambda: all(_state(one) == "T" for one in tasks.iterdir()))


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "T"  # it has ended meanwhile


def in_a_thread(work: Callable[[], Any]) -> Any:
    """What `work()` returns in a thread of its own, which has asked nothing before."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(PATIENCE)


class Threads:
    """Threads of a test, joined at the end of the block; the first error of theirs is raised there."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, target: Callable[..., Any], *args: Any) -> threading.Thread:
        """Run `target(*args)` in a thread of its own."""

        def run() -> None:
            try:
                target(*args)
            except BaseException as error:
                self._errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def failed(self) -> bool:
        """Whether one of them has ended with an error."""
        return bool(self._errors)

    def join(self) -> None:
        """Wait for all of them; raise the first error."""
        for thread in self._threads:
            thread.join(PATIENCE)
        if self._errors:
            raise self._errors[0]
        assert not any(thread.is_alive() for thread in self._threads), "a thread did not end"

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self.join()
