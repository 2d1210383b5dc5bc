"""Raises an error at a chosen line, wherever that is: in the library, in Pykka, in Python's own modules.

A place is a line, or the call of a function, and how often it had come by before: Python looks for a signal
when a function begins, and memory may be wanting anywhere.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pykka
import pytest

from storage import OnewriterError
from tests.helpers import wait_until

PLACES = int(os.environ.get("ONEWRITER_INTERRUPTS", "8"))
"""How many places each test tries; 0 tries every line, the first time and the last time that it comes by."""

SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

# What is dropped half made is closed by the collector; what strikes while a generator is closed goes no
# further.
IGNORED_WARNINGS = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <generator:pytest.PytestUnraisableExceptionWarning"
    ),
]


class Place(NamedTuple):
    """`event` is "call" or "line"; `time` counts from 1."""

    event: str
    code: CodeType
    line: int
    time: int

    def __str__(self) -> str:
        where = f"{Path(self.code.co_filename).name}:{self.line} in {self.code.co_qualname}"
        return f"{where}, {self.event} {self.time}"


def _is_one(event: str, frame: FrameType) -> bool:
    if frame.f_code.co_name == "gc_callback":
        return False  # Hypothesis's, at a collection: what it raises goes nowhere.
    # What a callback of the garbage collector raises is shown, and goes no further.
    above = frame.f_back
    return (
        event in ("call", "line")
        and frame.f_code.co_name not in ("__del__", "_remove")
        and (above is None or above.f_code.co_name != "__del__")
    )


def places(work: Callable[[], object], most: int = PLACES) -> list[Place]:
    """Some of the places that `work` comes by in this thread, all of them for `most` 0."""
    counts: Counter[tuple[str, CodeType, int]] = Counter()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if _is_one(event, frame):
            counts[event, frame.f_code, frame.f_lineno] += 1
        return trace

    traced(trace, work)
    found = [Place(*key, time) for key, count in counts.items() for time in sorted({1, count})]
    print(f"ONEWRITER_CRASH_SEED={SEED} {len(found)} places")
    if not most or len(found) <= most:
        return found
    return random.Random(SEED).sample(found, most)


class Interrupt:
    """Raises `error` at a place, once."""

    def __init__(self, place: Place, error: type[BaseException]) -> None:
        self._place = place
        self._error = error
        self._left = place.time
        self.struck = False

    def run(self, work: Callable[[], object]) -> BaseException | None:
        """Do `work` in this thread; returns what was raised of the error's kind. Any other error comes out.

        A want of memory may be told as an error of ours, of what it prevented; one that strikes where SQLite
        asks, before the first line of what it asks, as Ctrl-C.
        """
        wants = (MemoryError, OnewriterError, KeyboardInterrupt)
        kinds = wants if self._error is MemoryError else self._error
        try:
            traced(self._trace, work)
        except kinds as error:
            return error
        return None

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        place = self._place
        if self.struck or not _is_one(event, frame):
            return self._trace
        if (event, frame.f_code, frame.f_lineno) == place[:3]:
            self._left -= 1
            if not self._left:
                self.struck = True
                raise self._error(f"struck at {place}")
        return self._trace


def traced(trace: Callable[..., Any], work: Callable[[], object]) -> None:
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)


# -- what stays behind ---------------------------------------------------------------------------------------
def left_behind(folder: Path) -> list[str]:
    """Threads, actors and child processes of ours, open files below `folder`, and sockets."""
    threads = [
        one.name for one in threading.enumerate() if one.is_alive() and one.name.startswith("onewriter")
    ]
    actors = [str(one) for one in pykka.ActorRegistry.get_all()]
    children = []
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found = Path(f"/proc/self/task/{task}/children").read_text()
            children += [f"child {pid}" for pid in found.split()]
    return threads + actors + children + _open_files(folder)


def _open_files(folder: Path) -> list[str]:
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith((str(folder), "socket:")):
            found.append(target)
    return sorted(found)


def check_nothing_is_left(folder: Path, before: list[str]) -> None:
    """Nothing is there that was not before, once what was cut off has been collected.

    What an earlier test left, such as the thread of a query that hangs, may end meanwhile.
    """
    gc.collect()
    wait_until(lambda: not Counter(left_behind(folder)) - Counter(before))
