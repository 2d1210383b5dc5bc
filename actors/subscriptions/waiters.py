"""Waiting without polling, for threads and for event loops, and the time-outs of what waits.

A wake-up is called by whoever has news, in its thread; it does nothing but set a flag or tell an event loop.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from actors.kernel.lazy_asyncio import asyncio
from actors.timeouts import MOST_SECONDS
from storage.value_text import short_repr

__all__ = ["Deadline", "AsyncWaiter", "ThreadWaiter", "seconds_of"]

ROUND = 0.5
"""Seconds after which at the latest a thread that waits notices Ctrl-C."""


def seconds_of(value: Any, option: str, *, least: float = 0.0) -> float:
    """A number of seconds or a timedelta as seconds. Raises `ValueError` for anything else, naming the
    option.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not least <= seconds <= MOST_SECONDS
    ):
        raise ValueError(
            f"{option}= takes seconds (a number or a timedelta) from {least:g} to {MOST_SECONDS:,.0f}, "
            f"not {short_repr(value)}"
        )
    return float(seconds)


class Deadline:
    """The end of waiting for something new: begins with the wait, and again after each thing that came."""

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def renew(self) -> None:
        """Something came."""
        self._end = None

    def left(self) -> float | None:
        """Seconds left to wait, counted from the first call since the last thing came; None for no end, 0 at
        the end.
        """
        if self._seconds is None:
            return None
        now = time.monotonic()
        if self._end is None:
            self._end = now + self._seconds
        return max(self._end - now, 0.0)


class ThreadWaiter:
    """Wakes the thread that waits; any thread may call it, any number of times."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> None:
        self._event.set()

    def wait(self, seconds: float | None) -> bool:
        """Whether it was called, within so many seconds."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        # In rounds: Ctrl-C in the moment before the thread blocks is noticed only when it wakes.
        while not self._event.wait(max(min(end - time.monotonic(), ROUND), 0.0)):
            if time.monotonic() >= end:
                return False
        return True


class AsyncWaiter:
    """Wakes the task that waits, in its event loop; any thread may call it, any number of times."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def __call__(self) -> None:
        # A loop that was closed meanwhile has nobody left to wake, and the caller is perhaps the writer.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float | None) -> bool:
        """Whether it was called, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
