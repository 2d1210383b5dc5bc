"""An event loop that counts what it is troubled with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["CountingLoop", "counting"]


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often other threads wake it, and keeps its timers and what it complains of."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes = 0
        self.timers: list[asyncio.TimerHandle] = []
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.complaints.append(context))

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
        self.wakes += 1
        return super().call_soon_threadsafe(*args, **options)

    def call_at(self, *args: Any, **options: Any) -> asyncio.TimerHandle:
        timer = super().call_at(*args, **options)
        self.timers.append(timer)
        return timer

    def pending(self) -> list[asyncio.TimerHandle]:
        """Timers that will go off."""
        return [timer for timer in self.timers if not timer.cancelled() and timer.when() > self.time()]


def counting(main: Callable[[CountingLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Run `main(loop)` in a loop that counts."""
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(main(runner.get_loop()))
