"""The actor of one process manager: reads events from its place on, plans steps, hands them to the writer.

It runs in a thread of its own and never waits for the writer: what became of a step comes back as a message. Several
steps may be on their way. When one did not go as planned, those behind it are void, since each is guarded by the
place that the one before leaves; once all are answered, the book is read anew from the notes.
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
from actors.process_managers.event_reader import EventReader
from actors.process_managers.failure_state import FailureState
from actors.process_managers.fault_attribution import is_instance_fault
from actors.process_managers.inputs import Input, Issued
from actors.process_managers.loop_limiter import LoopLimiter
from actors.process_managers.messages import (
    PendingSkips,
    RejectionLeft,
    RetryInstance,
    SkipInput,
    SkipInstance,
    StepDone,
    Wake,
)
from actors.process_managers.planner import Book
from actors.process_managers.quarantine_actions import QuarantineActions
from actors.process_managers.records import RecordKeys
from actors.process_managers.status import Clock, StatusBoard
from actors.process_managers.status_builder import build_status
from actors.process_managers.step_plan import CommandsFailed, InputFailed, StepPlan, describe
from actors.process_managers.unhandled_rejections import log_unhandled
from actors.writer.atomic_step import StepSuperseded
from actors.writer.command_client import CommandClient
from actors.writer.submission import Submission
from storage import EventLog, OnewriterError

__all__ = ["ManagerActor"]

logger = logging.getLogger("onewriter.process")

AHEAD = 2
"""Steps that may be on their way at once: one is decided while the disk has the other. More bring nothing."""
INPUTS = 200
"""Inputs in one step, about; its commands are decided and committed together."""
STORED = "what it has stored"
LOOK = 30.0
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
        writes: CommandClient,
        desk: StatusBoard,
        clock: Clock,
        deliver: Callable[[], None],
    ) -> None:
        """`deliver()` is called when effects were put into the outbox, and when they may be delivered again."""
        super().__init__(name, mailbox, exited)
        self._spec = spec
        self._domain = domain
        self._log = log
        self._writes = writes
        self._desk = desk
        self._clock = clock
        self._deliver = deliver
        self._feed = EventReader(spec.name, log)
        self._book: Book | None = None
        self._flight: deque[StepPlan] = deque()
        self._void = False
        self._stale = False
        self._troubles = FailureState(spec.name)
        self._skips = PendingSkips()
        self._care = QuarantineActions(spec.name, RecordKeys(spec.name), log, self._skips)
        self._rebuilding = False
        self._self_led = LoopLimiter(spec.name)

    def on_start(self) -> None:
        """Begin where the notes say. A step of an earlier incarnation may still come first; this one's is void then."""
        self._go()

    def on_stop(self) -> None:
        """Leave the place in the notes, so that events without an effect are not looked at again."""
        book = self._book
        if book is not None and not self._flight and not self._void:
            plan = book.last_place()
            if plan is not None:
                self._hand_over(book, plan)
        self._skips.end(self._spec.name)
        self._care.end()

    def _handle_failure(self, *error: Any) -> None:
        super()._handle_failure(*error)
        self._skips.end(self._spec.name)
        self._care.end()

    def on_receive(self, message: Any) -> None:
        """Take the message into account, then do whatever can be done."""
        kind = message.__class__
        if kind is StepDone:
            self._done(message)
        elif kind is SkipInput:
            self._skip(message)
        elif kind is SkipInstance or kind is RetryInstance:
            self._care.ask(message)
            self._troubles.retry_at = None
        elif kind is RejectionLeft:
            self._stale = True
        elif kind is not Wake and kind is not IdleTimeout:
            super().on_receive(message)
            return
        if self.mailbox.empty() or not self._flight:
            self._go()

    # -- steps --------------------------------------------------------------------------------
    def _go(self) -> None:
        """Plan and hand over steps until there is nothing to do, or too much on its way."""
        troubles = self._troubles
        quiet = False
        while not troubles.waits(time.monotonic()) and len(self._flight) < AHEAD and not self._void:
            if self._stale and self._flight:
                break
            try:
                book = self._opened()
                if self._flight and self._care.wants(book.place.quarantined):
                    break
                plan = self._plan(book, 1 if troubles.suspect is not None else INPUTS)
            except InputFailed as failed:
                self._halt(failed.id, failed.what, failed.error)
                break
            except OnewriterError as error:  # Bytes that no codec wrote: nothing tells whose they are.
                self._halt(self._troubles.stored, STORED, error)
                break
            if plan is None:
                quiet = not self._flight
                if quiet:
                    troubles.failure = None
                break
            self._desk.busy()
            self._hand_over(book, plan)
        self._show(quiet)
        self._set_tick()

    def _plan(self, book: Book, limit: int) -> StepPlan | None:
        now_us = self._clock.now_us()
        if not self._flight and not book.rebuilding:
            plan, failed = self._care.plan(book, self._feed, self._make, now_us, limit)
            self._troubles.cleared(failed)
            if plan is not None:
                return plan
        return book.plan(self._feed, self._make, now_us, limit, not self._flight)

    def _opened(self) -> Book:
        if self._book is None:
            try:
                self._book = Book(self._spec, self._domain.codec, self._log, self._desk.handling)
                self._troubles.require_version(self._book.about.version, self._spec.version)
            except OnewriterError as error:
                self._book = None
                raise InputFailed(self._troubles.stored, STORED, error) from error
            self._rebuilding = self._book.rebuilding
            self._book.failing = self._care.failing
            self._book.self_led = self._self_led
            self._skip_again(self._book)
            # A step whose outcome nobody heard may have put effects into the outbox.
            self._show(False)
            self._deliver()
        if self._stale:
            self._stale = False
            self._book.refresh_inputs()
        return self._book

    def _make(self, issued: Issued, input: Input) -> Submission:
        return self._writes.submission(
            issued.message,
            command_id=issued.id,
            causation_id=input.causation,
            correlation_id=input.correlation,
        )

    def _hand_over(self, book: Book, plan: StepPlan) -> None:
        step = plan.step(book.keys, book.values, (book.keys.place, plan.guard))
        self._flight.append(plan)
        # Called in the writer's thread, or at once in this one.
        step.future.add_done_callback(lambda done: self.mailbox.put(StepDone(plan, done)))
        # Its bound is for callers, who can wait; no more than AHEAD of these are ever in there.
        self._writes.mailbox.put(step)

    def _done(self, message: StepDone) -> None:
        if not any(plan is message.plan for plan in self._flight):
            self._deliver()  # An earlier incarnation's: nobody has told of its effects.
            return
        self._settle(message.plan, message.future.exception())

    def _settle(self, plan: StepPlan, error: BaseException | None) -> None:
        self._flight = deque(one for one in self._flight if one is not plan)
        if error is None:
            self._succeeded(plan)
        elif not self._void:
            self._void = True
            self._went_wrong(plan, error)
        if self._void and not self._flight:
            self._void = False
            self._book = None

    def _succeeded(self, plan: StepPlan) -> None:
        self._troubles.handled(plan.inputs)
        self._care.done(plan)
        log_unhandled(self._spec.name, plan.unheard)
        if self._book is not None and not self._void:
            self._book.settle(plan)
            rebuilt = self._rebuilding and not self._book.rebuilding
            if plan.effects or rebuilt:
                self._rebuilding = self._book.rebuilding
                self._show(False)
                self._deliver()
        if plan.skipped:
            # Whoever waits for the skip finds the manager going on.
            self._show(False)
        for id in plan.skipped:
            self._skips.done(id)

    def _went_wrong(self, plan: StepPlan, error: BaseException) -> None:
        """What to do about a step that was not done, or perhaps not; nothing of it is known to be on disk."""
        now = time.monotonic()
        if isinstance(error, StepSuperseded):
            self._troubles.superseded(str(error), now)
        elif not isinstance(error, CommandsFailed):
            if not isinstance(error, SystemClosed):
                logger.warning("process manager %r: a step is tried again: %s", self._spec.name, error)
            self._troubles.later(str(error), now)
        elif len(plan.inputs) > 1:
            # One by one, so that what fails is alone.
            self._troubles.suspect = error.input.id
        elif is_instance_fault(error.error):
            self._care.failing[error.input.id] = error
        else:
            what = f"{type(error.command).__name__}, asked for by {describe(error.input)}"
            self._halt(error.input.id, what, error.error)

    def _halt(self, id: str, what: str, error: BaseException) -> None:
        """Stop at an input until it goes well, or an operator skips it."""
        if self._troubles.halt(id, what, error, time.monotonic()):
            logger.error("process manager %r is stopped at %s", self._spec.name, what, exc_info=error)
        if not self._flight:
            # What the plan that failed has touched in memory is not what the notes say.
            self._book = None

    def _skip(self, request: SkipInput) -> None:
        try:
            failure = self._troubles.skippable(self._desk.status.quarantined)
        except NotStopped as error:
            request.fail(error)
            return
        self._skips.add(failure.id, request)
        if self._book is not None:
            self._book.skip(failure.id, request.reason, failure.text)
        self._troubles.retry_at = None

    def _skip_again(self, book: Book) -> None:
        """Have a book that was read anew pass over what it was to, unless that is on disk already."""
        failure = self._troubles.failure
        for id, reason in self._skips.reasons():
            if id in book.skipped:
                self._troubles.passed(id)
                self._skips.done(id)
            else:
                book.skip(id, reason, failure.text if failure else "")

    # -- showing ------------------------------------------------------------------------------
    def _show(self, quiet: bool) -> None:
        desk = self._desk
        desk.show(build_status(desk.status, self._book, self._troubles, quiet=quiet))

    def _set_tick(self) -> None:
        """Be woken for the next try, or for the next timer."""
        waits: list[float] = []
        retry_at = self._troubles.retry_at
        if retry_at is not None:
            waits.append(retry_at - time.monotonic())
        elif not self._flight:
            due = self._desk.status.next_due
            if due is not None:
                waits.append(min((due - self._clock.now_us()) / 1e6, LOOK))
            again = None if self._rebuilding else self._care.next_due(self._desk.status.quarantined)
            if again is not None:
                waits.append(again - time.monotonic())
        self.mailbox.idle_timeout = max(min(waits), 0.001) if waits else None
