"""Retries the instances that are set aside, and skips their inputs, for one manager. The manager's thread."""

from __future__ import annotations

import logging
import time

from actors.domain.instance_keys import shown_key
from actors.errors import ConsistencyTimeout, NotStopped
from actors.process_managers.messages import RetryInstance, SkipInstance
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.pending_skips import PendingSkips
from actors.process_managers.planner import Planner
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.retry_schedule import RetrySchedule
from actors.process_managers.step_errors import CommandsFailed
from actors.process_managers.step_plan import StepPlan

__all__ = ["QuarantineActions"]

logger = logging.getLogger("onewriter.process")

MAX_TRACEBACKS = 20
"""Instances whose tracebacks are logged; of those that follow in this run there is a line each."""


class QuarantineActions:
    """Of one incarnation of a manager.

    `failed_commands` are the inputs, by id, whose commands failed: their instances are to be set aside.
    """

    def __init__(self, name: str, keys: RecordKeys, notes: NoteReader, skips: PendingSkips) -> None:
        self._name = name
        self._schedule = RetrySchedule(keys, notes)
        self._skips = skips
        self._requests: list[RetryInstance | SkipInstance] = []
        self._retries: dict[str, list[RetryInstance]] = {}
        self._logged = 0
        self.failed_commands: dict[str, CommandsFailed] = {}

    def request(self, request: RetryInstance | SkipInstance) -> None:
        """Take a request; it is looked at once no step is in flight."""
        self._requests.append(request)

    def is_due(self, total: int) -> bool:
        """Whether there is something to do once no step is in flight; `total` instances are set aside."""
        due = self._schedule.next_due(total) if total else None
        return bool(self._requests) or (due is not None and due <= time.monotonic())

    def next_due(self, total: int) -> float | None:
        """When to try again, a monotonic time, None for never."""
        return self._schedule.next_due(total) if total else None

    def plan(self, planner: Planner, now_us: int, limit: int) -> tuple[StepPlan | None, list[str]]:
        """A step in which set-aside instances go on, None for none, and the ids of the inputs that failed
        again.

        No step is in flight.
        """
        self._take_requests(planner)
        total = planner.state.checkpoint.quarantined
        keys = self._schedule.take(time.monotonic(), limit, total) if total else []
        if not keys:
            return None, []
        plan, tried = planner.retry(now_us, keys, limit)
        failed: list[str] = []
        now = time.monotonic()
        for key, error in tried.items():
            record = planner.quarantine.record(key)
            if error is not None:
                self._schedule.failed(key, now, total)
                self._answer(key, False)
                failed += [record.id] if record is not None else []
            elif plan is None:
                self._schedule.remove(key)
            else:
                self._schedule.succeeded(key, now)
        return plan, failed

    def _take_requests(self, planner: Planner) -> None:
        requests, self._requests = self._requests, []
        for request in requests:
            key = shown_key(request.key)
            record = planner.quarantine.record(key)
            id = None if record is None else planner.quarantine.first_held(key)
            if record is None or id is None:
                request.fail(
                    NotStopped(
                        f"instance {request.key!r:.100} of process manager {self._name!r} is not set aside: "
                        "there is "
                        f"nothing to do; quarantined({self._name!r}) lists those that are"
                    )
                )
                continue
            self._schedule.at_once(key, time.monotonic())
            if isinstance(request, SkipInstance):
                self._skips.add(id, request)
                planner.state.request_skip(id, request.reason, record.error)
            else:
                self._retries.setdefault(key, []).append(request)

    def step_written(self, plan: StepPlan) -> None:
        """A step is on disk."""
        now = time.monotonic()
        for key, what, error in plan.quarantined:
            self._schedule.add(key, now)
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
        for key in plan.released:
            self._answer(key, True)

    def _answer(self, key: str, went_on: bool) -> None:
        for request in self._retries.pop(key, ()):
            request.done(went_on)

    def end(self) -> None:
        """The actor ends: fail the requests that wait."""
        error = ConsistencyTimeout(
            f"process manager {self._name!r} ended before it came to what was asked; look at "
            f"quarantined({self._name!r}) and ask again"
        )
        for request in [*self._requests, *(one for requests in self._retries.values() for one in requests)]:
            request.fail(error)
        self._requests.clear()
        self._retries.clear()
