"""What a process manager shows of itself, and the clock of all of them; shared by all threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from actors.kernel.running_calls import CallSlot
from actors.process_managers.records import DeliveryAttempts

__all__ = ["Clock", "StatusBoard", "Failure", "Status"]


class Clock:
    """The wall clock that timers go by; a test may put it forward."""

    def __init__(self) -> None:
        self._ahead_us = 0

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return time.time_ns() // 1000 + self._ahead_us

    def advance(self, by_us: int) -> None:
        """Put it forward."""
        self._ahead_us += by_us


@dataclass(frozen=True, slots=True)
class Failure:
    """The input that a manager is stopped at; `text` has the traceback."""

    id: str
    what: str
    error: str
    text: str
    attempts: int
    skippable: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How a manager is; `quiet_at` is the position up to which nothing is left to do, -1 while there is.

    `next_due` is when the next timer is, in microseconds since 1970 UTC.
    """

    position: int
    instances: int = 0
    timers: int = 0
    waiting: int = 0
    quiet_at: int = -1
    rebuilding: int | None = None
    failure: Failure | None = None
    trouble: str | None = None
    next_due: int | None = None
    quarantined: int = 0
    """Instances that are set aside."""


class StatusBoard:
    """The manager's thread writes `status`; everybody reads it, and may wait for the next one."""

    def __init__(self, moved: threading.Condition, handling: CallSlot) -> None:
        """`moved` is shared by the desks of one system; `handling` shows the handler that runs."""
        self.handling = handling
        self.status = Status(0)
        self.delivering = False
        """Whether the outbox has effects in hand, those among them whose removal is not answered yet; its thread's."""
        self.released = 0
        """How often effects were released by operators, counted under the lock; `looked` is up to which the outbox has looked."""
        self.looked = 0
        self.tried: dict[bytes, DeliveryAttempts] = {}
        """The effects that failed and are tried again, by key; of the outbox's thread, which reads them from the notes first."""
        self._moved = moved

    def show(self, status: Status) -> None:
        """Put up a new status."""
        if status != self.status:
            self.status = status
            self.moved()

    def busy(self) -> None:
        """There is something to do again; told before it begins, so that nobody takes the manager for quiet."""
        if self.status.quiet_at >= 0:
            self.status = replace(self.status, quiet_at=-1)

    def release(self) -> None:
        """Effects are released: the outbox is not at rest before it has looked at them."""
        with self._moved:
            self.released += 1

    def moved(self) -> None:
        """Have those who wait look again."""
        with self._moved:
            self._moved.notify_all()

    def wait_until(self, reached: Callable[[], Any], timeout: float) -> bool:
        """Wait until `reached()`, asked again whenever a desk shows something new."""
        with self._moved:
            return bool(self._moved.wait_for(reached, timeout))
