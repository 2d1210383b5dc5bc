"""The loop of subscriptions, consumers and watches: what it gives, when it waits, that it unregisters."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from actors.subscriptions.waiting_iterator import AGAIN, ENDED, WAIT, Outcome, WaitingIterator
from tests.helpers import PATIENCE, Threads, wait_until


class Steps(WaitingIterator[int]):
    """Gives what is in `found`, one by one, and WAIT after that; `late` is what a registration finds."""

    def __init__(self, *found: int | Outcome, timeout: float | None = PATIENCE) -> None:
        super().__init__("steps", cast(Any, object()), timeout)
        self.found = deque(found)
        self.late: int | Outcome = WAIT
        self.unregistered: list[bool] = []

    def close(self) -> None:
        self.stop()

    def _next(self) -> int | Outcome:
        if self._stopped:
            return ENDED
        return self.found.popleft() if self.found else WAIT

    def _register(self, waiter: Callable[[], None]) -> int | Outcome:
        return ENDED if self._deadline.left() == 0 else self.late

    def _unregister(self, waiter: Callable[[], None], called: bool) -> None:
        self.unregistered.append(called)

    def give(self, item: int) -> None:
        """Something came: who waits is woken."""
        waiter = wait_until(lambda: self._waiter)
        self.found.append(item)
        waiter()


async def taken(steps: Steps) -> list[int]:
    return [item async for item in steps]


READS = pytest.mark.parametrize(
    "read", [list, lambda steps: asyncio.run(taken(steps))], ids=["for", "async for"]
)


@READS
def test_what_there_is_is_given_without_registering(read: Callable[[Steps], list[int]]) -> None:
    steps = Steps(1, AGAIN, 2, AGAIN, AGAIN, 0, ENDED)
    assert read(steps) == [1, 2, 0]
    assert steps.unregistered == []


@READS
def test_what_comes_wakes_who_waits(read: Callable[[Steps], list[int]]) -> None:
    steps, got = Steps(1), []
    with Threads() as threads:
        threads.start(lambda: got.extend(read(steps)))
        steps.give(2)
        wait_until(lambda: len(steps.unregistered) == 1)
        wait_until(lambda: steps._waiter)
        steps.close()
    assert got == [1, 2]
    assert steps.unregistered == [True, True]
    assert steps._waiter is None


@READS
def test_what_came_before_the_waiter_was_registered_is_found_by_the_registration(
    read: Callable[[Steps], list[int]],
) -> None:
    steps = Steps(1, WAIT, ENDED)
    steps.late = 5
    assert read(steps) == [1, 5]
    assert steps.unregistered == [False]


@READS
def test_it_ends_when_nothing_came_in_time(read: Callable[[Steps], list[int]]) -> None:
    steps = Steps(1, timeout=0.02)
    assert read(steps) == [1]
    assert steps.unregistered == [False, False], "it waited, and then its time was up"


@READS
def test_an_error_of_a_registration_unregisters(read: Callable[[Steps], list[int]]) -> None:
    class Broken(Steps):
        def _register(self, waiter: Callable[[], None]) -> int | Outcome:
            raise OSError("no")

    steps = Broken()
    with pytest.raises(OSError, match="no"):
        read(steps)
    assert steps.unregistered == [False]
    assert steps._waiter is None
