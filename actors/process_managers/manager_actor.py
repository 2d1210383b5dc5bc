"""The actor of one process manager: reads events after its checkpoint, plans steps, hands them to the writer.

It runs in its own thread and never waits for the writer: the outcome of a step comes back as a message.
Several steps may be in flight. When one fails, those behind it are void, since each is guarded by the
checkpoint that the one before leaves; once all are answered, the state is read again from its records.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.specs import CompiledDomain
from actors.errors import NotStopped, SystemClosed
from actors.kernel.actor import SupervisedActor
from actors.kernel.mailbox import IdleTimeout, Mailbox
from actors.process_managers.clock import Clock
from actors.process_managers.event_reader import EventReader
from actors.process_managers.failure_state import FailureState
from actors.process_managers.fault_attribution import is_instance_fault
from actors.process_managers.inputs import Input, Issued, describe
from actors.process_managers.loop_limiter import LoopLimiter
from actors.process_managers.messages import (
    RejectionLeft,
    RetryInstance,
    SkipInput,
    SkipInstance,
    StepDone,
    Wake,
)
from actors.process_managers.pending_skips import PendingSkips
from actors.process_managers.planner import Planner
from actors.process_managers.quarantine_actions import QuarantineActions
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.status import status_of
from actors.process_managers.status_board import StatusBoard
from actors.process_managers.step_errors import CommandsFailed, InputFailed
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.unhandled_rejections import log_unhandled
from actors.writer.atomic_step import StepSuperseded
from actors.writer.step_client import StepClient
from actors.writer.submission import Submission
from storage import EventLog, OnewriterError

__all__ = ["ManagerActor"]

logger = logging.getLogger("onewriter.process")

MAX_IN_FLIGHT = 2
"""Steps in flight at once: one is decided while the disk has the other. More bring nothing."""
STEP_INPUTS = 200
"""Inputs in one step, about; its commands are decided and committed together."""
STORED = "what it has stored"
CLOCK_CHECK_SECONDS = 30.0
"""Seconds after which a timer's time is compared with the wall clock again, which may have been set."""


class ManagerActor(SupervisedActor):
    """Messages: `Wake`, `StepDone`, `RejectionLeft`, `SkipInput`, `SkipInstance`, `RetryInstance`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        spec: ProcessManagerSpec,
        domain: CompiledDomain,
        log: EventLog,
        steps: StepClient,
        board: StatusBoard,
        clock: Clock,
        deliver: Callable[[], None],
    ) -> None:
        """`deliver()` is called when there are new effects in the outbox, and when they may be delivered
        again.
        """
        super().__init__(name, mailbox, exited)
        self._spec = spec
        self._domain = domain
        self._log = log
        self._steps = steps
        self._board = board
        self._clock = clock
        self._deliver = deliver
        types = [domain.codec.name_of(event) for event in spec.events]
        self._events = EventReader(spec.ids, log, types)
        self._planner: Planner | None = None
        self._in_flight: deque[StepPlan] = deque()
        self._void = False
        self._rejections_stale = False
        self._failures = FailureState(spec.name)
        self._skips = PendingSkips()
        self._quarantine = QuarantineActions(spec.name, RecordKeys(spec.name), log, self._skips)
        self._rebuilding = False
        self._loop_limiter = LoopLimiter(spec.name)

    def on_start(self) -> None:
        """Begin where the records say. If a step of an earlier incarnation still comes first, this one's is
        void.
        """
        self._advance()

    def on_stop(self) -> None:
        """Write the checkpoint, so that events without an effect are not looked at again."""
        planner = self._planner
        if planner is not None and not self._in_flight and not self._void:
            plan = planner.state.checkpoint_plan()
            if plan is not None:
                self._hand_over(planner, plan)
        self._skips.end(self._spec.name)
        self._quarantine.end()

    def _handle_failure(self, *error: Any) -> None:
        super()._handle_failure(*error)
        self._skips.end(self._spec.name)
        self._quarantine.end()

    def on_receive(self, message: Any) -> None:
        """Take the message into account, then do whatever can be done."""
        kind = message.__class__
        if kind is StepDone:
            self._step_done(message)
        elif kind is SkipInput:
            self._skip(message)
        elif kind is SkipInstance or kind is RetryInstance:
            self._quarantine.request(message)
            self._failures.retry_at = None
        elif kind is RejectionLeft:
            self._rejections_stale = True
        elif kind is not Wake and kind is not IdleTimeout:
            super().on_receive(message)
            return
        if self.mailbox.empty() or not self._in_flight:
            self._advance()

    # -- steps --------------------------------------------------------------------------------
    def _advance(self) -> None:
        """Plan and hand over steps until there is nothing to do, or too much in flight."""
        failures = self._failures
        quiet = False
        while (
            not failures.must_wait(time.monotonic())
            and len(self._in_flight) < MAX_IN_FLIGHT
            and not self._void
        ):
            if self._rejections_stale and self._in_flight:
                break
            try:
                planner = self._open_planner()
                if self._in_flight and self._quarantine.is_due(planner.state.checkpoint.quarantined):
                    break
                plan = self._plan(planner, 1 if failures.isolated_input is not None else STEP_INPUTS)
            except InputFailed as failed:
                self._stop_at(failed.id, failed.what, failed.error)
                break
            except (
                OnewriterError
            ) as error:  # Bytes that no codec wrote: they can't be assigned to an instance.
                self._stop_at(failures.stored, STORED, error)
                break
            if plan is None:
                quiet = not self._in_flight
                if quiet:
                    failures.failure = None
                break
            self._board.mark_busy()
            self._hand_over(planner, plan)
        self._publish(quiet)
        self._set_idle_timeout()

    def _plan(self, planner: Planner, limit: int) -> StepPlan | None:
        now_us = self._clock.now_us()
        if not self._in_flight and not planner.state.rebuilding:
            plan, failed = self._quarantine.plan(planner, now_us, limit)
            self._failures.quarantined(failed)
            if plan is not None:
                return plan
        return planner.plan(now_us, limit, not self._in_flight)

    def _open_planner(self) -> Planner:
        """The planner, read from the records if needed. Raises `InputFailed` for unreadable records."""
        planner = self._planner
        if planner is None:
            try:
                planner = Planner(
                    self._spec,
                    self._domain.codec,
                    self._log,
                    self._events,
                    self._make_submission,
                    slot=self._board.handler_slot,
                    failed_commands=self._quarantine.failed_commands,
                    loop_limiter=self._loop_limiter,
                )
                self._failures.require_version(planner.state.metadata.version, self._spec.version)
            except OnewriterError as error:
                raise InputFailed(self._failures.stored, STORED, error) from error
            self._planner = planner
            self._rebuilding = planner.state.rebuilding
            self._skip_again(planner)
            # A step whose outcome was lost may have put effects into the outbox.
            self._publish(False)
            self._deliver()
        if self._rejections_stale:
            self._rejections_stale = False
            planner.state.reload_rejections()
        return planner

    def _make_submission(self, issued: Issued, input: Input) -> Submission:
        return self._steps.submission(
            issued.message,
            command_id=issued.id,
            causation_id=input.causation,
            correlation_id=input.correlation,
        )

    def _hand_over(self, planner: Planner, plan: StepPlan) -> None:
        step = plan.step(planner.state.keys, planner.state.records)
        self._in_flight.append(plan)
        # Called in the writer's thread, or at once in this one.
        step.future.add_done_callback(lambda done: self.mailbox.put(StepDone(plan, done)))
        # Its limit is for callers, who can wait; at most MAX_IN_FLIGHT of these are in it.
        self._steps.put(step)

    def _step_done(self, message: StepDone) -> None:
        if not any(plan is message.plan for plan in self._in_flight):
            self._deliver()  # An earlier incarnation's: its effects were not announced.
            return
        self._settle(message.plan, message.future.exception())

    def _settle(self, plan: StepPlan, error: BaseException | None) -> None:
        self._in_flight = deque(one for one in self._in_flight if one is not plan)
        if error is None:
            self._step_succeeded(plan)
        elif not self._void:
            self._void = True
            self._step_failed(plan, error)
        if self._void and not self._in_flight:
            self._void = False
            self._planner = None

    def _step_succeeded(self, plan: StepPlan) -> None:
        self._failures.handled(plan.inputs)
        self._quarantine.step_written(plan)
        log_unhandled(self._spec.name, plan.unhandled)
        if self._planner is not None and not self._void:
            state = self._planner.state
            state.step_written(plan)
            rebuilt = self._rebuilding and not state.rebuilding
            if plan.effect_count or rebuilt:
                self._rebuilding = state.rebuilding
                self._publish(False)
                self._deliver()
        if plan.skipped:
            # A caller that waits for the skip finds the manager going on.
            self._publish(False)
        for id in plan.skipped:
            self._skips.done(id)

    def _step_failed(self, plan: StepPlan, error: BaseException) -> None:
        """Handle a step that was not done, or possibly not; nothing of it is known to be on disk."""
        now = time.monotonic()
        if isinstance(error, StepSuperseded):
            self._failures.superseded(str(error), now)
        elif not isinstance(error, CommandsFailed):
            if not isinstance(error, SystemClosed):
                logger.warning("process manager %r: a step is tried again: %s", self._spec.name, error)
            self._failures.retry_later(str(error), now)
        elif len(plan.inputs) > 1:
            # One by one, so that what fails is alone.
            self._failures.isolated_input = error.input.id
        elif is_instance_fault(error.error):
            self._quarantine.failed_commands[error.input.id] = error
        else:
            what = f"{type(error.command).__name__}, asked for by {describe(error.input)}"
            self._stop_at(error.input.id, what, error.error)

    def _stop_at(self, id: str, what: str, error: BaseException) -> None:
        """Stop at an input until it goes well, or an operator skips it."""
        if self._failures.stop(id, what, error, time.monotonic()):
            logger.error("process manager %r is stopped at %s", self._spec.name, what, exc_info=error)
        if not self._in_flight:
            # What the plan that failed has touched in memory is not what the records say.
            self._planner = None

    def _skip(self, request: SkipInput) -> None:
        try:
            failure = self._failures.require_skippable(self._board.status.quarantined)
        except NotStopped as error:
            request.fail(error)
            return
        self._skips.add(failure.id, request)
        if self._planner is not None:
            self._planner.state.request_skip(failure.id, request.reason, failure.text)
        self._failures.retry_at = None

    def _skip_again(self, planner: Planner) -> None:
        """Have a planner that was read again pass over what is to be, unless that is on disk already."""
        failure = self._failures.failure
        for id, reason in self._skips.reasons():
            if id in planner.state.skipped:
                self._failures.skipped(id)
                self._skips.done(id)
            else:
                planner.state.request_skip(id, reason, failure.text if failure else "")

    # -- publishing ---------------------------------------------------------------------------
    def _publish(self, quiet: bool) -> None:
        board, planner = self._board, self._planner
        state = None if planner is None else planner.state
        board.publish(status_of(board.status, state, self._failures, quiet=quiet))

    def _set_idle_timeout(self) -> None:
        """Be woken for the next try, or for the next timer."""
        waits: list[float] = []
        retry_at = self._failures.retry_at
        if retry_at is not None:
            waits.append(retry_at - time.monotonic())
        elif not self._in_flight:
            due = self._board.status.next_due
            if due is not None:
                waits.append(min((due - self._clock.now_us()) / 1e6, CLOCK_CHECK_SECONDS))
            again = None if self._rebuilding else self._quarantine.next_due(self._board.status.quarantined)
            if again is not None:
                waits.append(again - time.monotonic())
        self.mailbox.idle_timeout = max(min(waits), 0.001) if waits else None
