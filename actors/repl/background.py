"""A query that is repeated at every applied position, and shown if its answer changed. Nothing polls.

Replicas notify `AppliedPosition` in their threads. A watch waits for it in the session's thread or, in the
background, in a thread of its own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from actors.subscriptions.result_comparison import trace_of
from actors.system.session import Session

__all__ = ["AppliedPosition", "BackgroundTask", "BackgroundWatch", "changed_answers"]

ROUND = 0.5
"""Seconds after which at the latest a wait notices Ctrl-C."""


class AppliedPosition:
    """The furthest position that any replica has applied; a listener for `System.on_applied`."""

    def __init__(self) -> None:
        self.position = 0
        self._moved = threading.Condition()

    def __call__(self, replica: str, position: int, lag: float) -> None:  # noqa: ARG002
        """A replica's thread: it has applied `position`."""
        with self._moved:
            if position > self.position:
                self.position = position
                self._moved.notify_all()

    def wait(self, beyond: int, stopped: Callable[[], bool], timeout: float | None) -> bool:
        """Wait for a position beyond this one; False when `stopped()`, or after `timeout` seconds."""
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._moved:
            # In rounds: Ctrl-C in the moment before the thread blocks is noticed only when it wakes.
            while not (self.position > beyond or stopped()) and (left := end - time.monotonic()) > 0:
                self._moved.wait(min(left, ROUND))
            return self.position > beyond and not stopped()

    def wake(self) -> None:
        """Have those that wait look whether they are stopped."""
        with self._moved:
            self._moved.notify_all()


def changed_answers(
    session: Session,
    applied: AppliedPosition,
    query: Any,
    *,
    encode: Callable[[Any], bytes],
    count: int | None = None,
    seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    on_answer: Callable[[int], None] = lambda _position: None,
) -> Iterator[tuple[Any, int]]:
    """The query's answers that differ from the one before, each with the position that it shows.

    Ends after `count` of them, after `seconds`, or when `stopped()`. `on_answer(position)` is called
    after each answer, a different one or not. `encode` is the codec's, by which answers are compared.
    Raises what `Session.query` does.
    """
    end = None if seconds is None else time.monotonic() + seconds
    shown = news = 0
    last: Any = None
    while True:
        # At least as far as the news: another replica may not have applied it yet.
        result, seen = session.query_at(query, after=news)
        trace = trace_of(result, encode)
        if not shown or trace != last:
            last, shown = trace, shown + 1
            yield result, seen
        on_answer(seen)
        if shown == count:
            return
        left = None if end is None else end - time.monotonic()
        if (left is not None and left <= 0) or not applied.wait(seen, stopped, left):
            return
        news = applied.position


class BackgroundTask(Protocol):
    """What goes on while other lines are typed, until `:unwatch`."""

    @property
    def text(self) -> str:
        """What is watched."""

    @property
    def ended(self) -> bool:
        """Whether it shows nothing any more."""

    def stop(self, position: int, timeout: float) -> bool:
        """End it once it has shown what there is up to `position`; False when it did not end in time."""


class BackgroundWatch:
    """A watch in a thread of its own, until it has shown enough or is stopped."""

    def __init__(self, text: str, applied: AppliedPosition, run: Callable[[BackgroundWatch], None]) -> None:
        """`run(watch)` shows the answers and looks at `watch.stopped` and calls `watch.answered`."""
        self.text = text
        self.ended = False
        self._applied = applied
        self._run = run
        self._position = -1
        self._stop = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name=f"onewriter-watch {text}", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        try:
            self._run(self)
        finally:
            with self._news:
                self.ended = True
                self._news.notify_all()

    def stopped(self) -> bool:
        """Whether it was asked to end."""
        return self._stop

    def answered(self, position: int) -> None:
        """Its thread: an answer of that position was looked at."""
        with self._news:
            self._position = position
            self._news.notify_all()

    def wait_answered(self, position: int, timeout: float) -> bool:
        """Whether it has looked at `position`, or has ended, within `timeout` seconds."""
        with self._news:
            return self._news.wait_for(lambda: self.ended or self._position >= position, timeout)

    def stop(self, position: int, timeout: float) -> bool:
        """End it once it has looked at `position`; False when it did not end in time."""
        self.wait_answered(position, timeout)
        self._stop = True
        self._applied.wake()
        self._thread.join(timeout)
        return self.ended
