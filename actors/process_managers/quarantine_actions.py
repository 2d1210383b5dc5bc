"""What a manager does about the instances that are set aside: tries them again, shows and skips. The manager's thread."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from actors.domain.instance_keys import shown_key
from actors.errors import ConsistencyTimeout, NotStopped
from actors.process_managers.messages import PendingSkips, RetryInstance, SkipInstance
from actors.process_managers.retry_schedule import RetrySchedule

if TYPE_CHECKING:
    from actors.process_managers.planner import Book
    from actors.process_managers.records import NoteReader, RecordKeys
    from actors.process_managers.step_plan import CommandsFailed, EventSource, MakeSubmission, StepPlan

__all__ = ["QuarantineActions"]

logger = logging.getLogger("onewriter.process")

MAX_TRACEBACKS = 20
"""Instances whose tracebacks are logged; of those that follow in this run there is a line each."""


class QuarantineActions:
    """Of one incarnation of a manager. `failing` are the inputs whose commands failed, to set their instances aside."""

    def __init__(self, name: str, keys: RecordKeys, notes: NoteReader, skips: PendingSkips) -> None:
        self._name = name
        self._retries = RetrySchedule(keys, notes)
        self._skips = skips
        self._asked: list[RetryInstance | SkipInstance] = []
        self._waiting: dict[str, list[RetryInstance]] = {}
        self._logged = 0
        self.failing: dict[str, CommandsFailed] = {}

    def ask(self, request: RetryInstance | SkipInstance) -> None:
        """Take a request; it is looked at once no step is in flight."""
        self._asked.append(request)

    def wants(self, total: int) -> bool:
        """Whether there is something to do as soon as no step is in flight; `total` instances are set aside."""
        due = self._retries.next_due(total) if total else None
        return bool(self._asked) or (due is not None and due <= time.monotonic())

    def next_due(self, total: int) -> float | None:
        """When to try again, a monotonic time, None for never."""
        return self._retries.next_due(total) if total else None

    def plan(
        self, book: Book, feed: EventSource, make: MakeSubmission, now_us: int, limit: int
    ) -> tuple[StepPlan | None, list[str]]:
        """A step in which instances go on that were set aside, None where there is none; and the inputs that failed again.

        No step is in flight.
        """
        self._look_at_requests(book)
        total = book.place.quarantined
        keys = self._retries.take(time.monotonic(), limit, total) if total else []
        if not keys:
            return None, []
        plan, tried = book.retry(feed, make, now_us, keys, limit)
        failed: list[str] = []
        now = time.monotonic()
        for key, error in tried.items():
            aside = book.quarantine.aside(key)
            if error is not None:
                self._retries.failed(key, now, total)
                self._answer(key, False)
                failed += [aside.id] if aside is not None else []
            elif plan is None:
                self._retries.gone(key)
            else:
                self._retries.went_on(key, now)
        return plan, failed

    def _look_at_requests(self, book: Book) -> None:
        asked, self._asked = self._asked, []
        for request in asked:
            key = shown_key(request.key)
            aside = book.quarantine.aside(key)
            id = None if aside is None else book.quarantine.first(key)
            if aside is None or id is None:
                request.fail(
                    NotStopped(
                        f"instance {request.key!r:.100} of process manager {self._name!r} is not set aside: there is "
                        f"nothing to do; quarantined({self._name!r}) lists those that are"
                    )
                )
                continue
            self._retries.at_once(key, time.monotonic())
            if isinstance(request, SkipInstance):
                self._skips.add(id, request)
                book.skip(id, request.reason, aside.error)
            else:
                self._waiting.setdefault(key, []).append(request)

    def done(self, plan: StepPlan) -> None:
        """A step is on disk."""
        now = time.monotonic()
        for key, what, error in plan.set_aside:
            self._retries.begun(key, now)
            self._logged += 1
            logger.error(
                "process manager %r: instance %r is set aside at %s: %s: %s",
                self._name,
                key,
                what,
                type(error).__name__,
                error,
                exc_info=error if self._logged <= MAX_TRACEBACKS else None,
            )
        for key in plan.retried:
            self._answer(key, True)

    def _answer(self, key: str, went_on: bool) -> None:
        for request in self._waiting.pop(key, ()):
            request.done(went_on)

    def end(self) -> None:
        """The actor ends: nobody will answer what waits."""
        error = ConsistencyTimeout(
            f"process manager {self._name!r} ended before it came to what was asked; look at "
            f"quarantined({self._name!r}) and ask again"
        )
        for asked in [*self._asked, *(one for requests in self._waiting.values() for one in requests)]:
            asked.fail(error)
        self._asked.clear()
        self._waiting.clear()
