"""The actor of one process manager: reads events from its place on, plans steps, hands them to the writer.

It runs in a thread of its own and never waits for the writer: what became of a step comes back as a message. Several
steps may be on their way. When one did not go as planned, those behind it are void, since each is guarded by the
place that the one before leaves; once all are answered, the book is read anew from the notes.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from actors._specs import CompiledDomain
from actors.errors import DomainError, InvalidMessage, Overloaded, SystemClosed
from actors.mailbox import Mailbox, Request, Tick
from actors.messages import Submission
from actors.process.book import Book
from actors.process.deciding import Input, Issued
from actors.process.desk import Clock, Desk, Failure, Status
from actors.process.plan import CommandsFailed, InputFailed, Plan
from actors.process.spec import ProcessSpec
from actors.steps import Outcomes, StepSuperseded
from actors.worker import Worker
from actors.writing import WriteGateway
from storage import EventLog, OnewriterError, RecordedEvent

__all__ = ["InputLeft", "ManagerActor", "SkipInput", "Wake"]

logger = logging.getLogger("onewriter.process")

AHEAD = 2
"""Steps that may be on their way at once: one is decided while the disk has the other. More bring nothing."""
INPUTS = 200
"""Inputs in one step, about; its commands are decided and committed together."""
READ = 500
"""Events read from the log at once."""
ROOM = 1.0
"""Seconds to wait for room in the writer's mailbox."""
LOOK = 30.0
"""Seconds after which a timer's time is compared with the wall clock again, which may have been set."""
RETRY_FIRST, RETRY_LAST = 0.05, 60.0


class Wake(Request):
    """There may be something to do."""

    __slots__ = ()


class InputLeft(Request):
    """The outbox left a rejection for the manager."""

    __slots__ = ()


class StepDone(Request):
    """The writer's answer to a step, in the writer's thread."""

    __slots__ = ("future", "plan")

    def __init__(self, plan: Plan, future: Future[Outcomes]) -> None:
        self.plan = plan
        self.future = future


class SkipInput(Request):
    """An operator: pass over the input that the manager is stopped at. `future` has its id once that is on disk."""

    __slots__ = ("future", "reason")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.future: Future[str] = Future()

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class LogFeed:
    """Events of the log, read in batches; nothing is held in between."""

    def __init__(self, name: str, log: EventLog) -> None:
        self._name = name
        self._log = log
        self._events: list[RecordedEvent] = []
        self._first = 1

    def peek(self, after: int) -> RecordedEvent | None:
        """The event at `after` + 1, None at the end of the log; raises `InputFailed` where it can't be decoded."""
        index = after + 1 - self._first
        if not 0 <= index < len(self._events):
            if after >= self._log.head:
                return None
            self._events, self._first = self._read(after), after + 1
            index = 0
        return self._events[index]

    def _read(self, after: int) -> list[RecordedEvent]:
        try:
            return self._log.read(after, READ)
        except OnewriterError:
            pass
        try:
            return self._log.read(after, 1)
        except OnewriterError as error:
            position = after + 1
            raise InputFailed(
                f"{self._name}:{position}", f"the event at position {position}", error, position
            ) from error


class ManagerActor(Worker):
    """Messages: `Wake`, `StepDone`, `InputLeft`, `SkipInput`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        spec: ProcessSpec,
        domain: CompiledDomain,
        log: EventLog,
        writes: WriteGateway,
        desk: Desk,
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
        self._stored = f"{spec.name}:notes"
        self._feed = LogFeed(spec.name, log)
        self._book: Book | None = None
        self._flight: deque[Plan] = deque()
        self._void = False
        self._stale = False
        self._failure: Failure | None = None
        self._retry_at: float | None = None
        self._attempts = 0
        self._suspect: str | None = None
        self._trouble: str | None = None
        self._skips: dict[str, SkipInput] = {}
        self._rejections = 0
        self._rebuilding = False

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
        for request in self._skips.values():
            request.fail(
                SystemClosed(f"process manager {self._spec.name!r} stopped before the skip was written")
            )

    def on_receive(self, message: Any) -> None:
        """Take the message into account, then do whatever can be done."""
        kind = message.__class__
        if kind is StepDone:
            self._done(message)
        elif kind is SkipInput:
            self._skip(message)
        elif kind is InputLeft:
            self._stale = True
        elif kind is not Wake and kind is not Tick:
            super().on_receive(message)
            return
        if self.mailbox.empty() or not self._flight:
            self._go()

    # -- steps --------------------------------------------------------------------------------
    def _go(self) -> None:
        """Plan and hand over steps until there is nothing to do, or too much on its way."""
        if self._retry_at is not None and time.monotonic() >= self._retry_at:
            self._retry_at = None
        quiet = False
        while self._retry_at is None and len(self._flight) < AHEAD and not self._void:
            if self._stale and self._flight:
                break
            try:
                book = self._opened()
                limit = 1 if self._suspect is not None else INPUTS
                plan = book.plan(self._feed, self._make, self._clock.now_us(), limit, not self._flight)
            except InputFailed as failed:
                self._halt(failed.id, failed.what, failed.error)
                break
            if plan is None:
                quiet = not self._flight
                if quiet:
                    self._failure = None
                break
            self._desk.busy()
            if not self._hand_over(book, plan):
                break
        self._show(quiet)
        self._set_tick()

    def _opened(self) -> Book:
        if self._book is None:
            try:
                self._book = Book(self._spec, self._domain.codec, self._log)
                self._require_version(self._book.about.version)
            except OnewriterError as error:
                self._book = None
                raise InputFailed(self._stored, "what it has stored", error) from error
            self._rebuilding = self._book.rebuilding
            for id, request in self._skips.items():
                self._book.skip(id, request.reason, self._failure.text if self._failure else "")
        if self._stale:
            self._stale = False
            self._book.refresh_inputs()
        return self._book

    def _require_version(self, stored: int) -> None:
        if stored > self._spec.version:
            raise DomainError(
                f"process manager {self._spec.name!r} was run as version {stored} on this store, and is declared as "
                f"version {self._spec.version}; run the newer program, or raise the version"
            )

    def _make(self, issued: Issued, input: Input) -> Submission:
        return self._writes.submission(
            issued.message,
            command_id=issued.id,
            causation_id=input.causation,
            correlation_id=input.correlation,
        )

    def _hand_over(self, book: Book, plan: Plan) -> bool:
        keys, values = book.keys, book.values
        try:
            future = self._writes.step(
                plan.submissions,
                lambda outcomes: list(plan.notes_for(keys, values, outcomes).items()),
                (keys.place, plan.guard),
                timeout=ROOM,
            )
        except Overloaded as error:
            self._flight.append(plan)
            self._settle(plan, error)
            return False
        self._flight.append(plan)
        # Called in the writer's thread, or at once in this one.
        future.add_done_callback(lambda done: self.mailbox.put(StepDone(plan, done)))
        return True

    def _done(self, message: StepDone) -> None:
        if not any(plan is message.plan for plan in self._flight):
            return  # An earlier incarnation's.
        self._settle(message.plan, message.future.exception())

    def _settle(self, plan: Plan, error: BaseException | None) -> None:
        self._flight = deque(one for one in self._flight if one is not plan)
        if error is None:
            self._succeeded(plan)
        elif not self._void:
            self._void = True
            self._went_wrong(plan, error)
        if self._void and not self._flight:
            self._void = False
            self._book = None

    def _succeeded(self, plan: Plan) -> None:
        self._attempts = 0
        self._trouble = None
        if self._failure is not None and any(input.id == self._failure.id for input in plan.inputs):
            self._failure = None
        if any(input.id == self._suspect for input in plan.inputs):
            self._suspect = None
        for rejection in plan.rejected:
            if type(rejection.message.command) not in self._spec.rejections:
                self._rejections += 1
                logger.warning(
                    "process manager %r: %s %s was rejected (%s: %s), and no on_rejected handler takes that",
                    self._spec.name,
                    type(rejection.message.command).__name__,
                    rejection.causation,
                    rejection.message.code,
                    rejection.message.text,
                )
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
            request = self._skips.pop(id, None)
            if request is not None and not request.future.done():
                request.future.set_result(id)

    def _went_wrong(self, plan: Plan, error: BaseException) -> None:
        """What to do about a step that was not done, or perhaps not; nothing of it is known to be on disk."""
        if isinstance(error, StepSuperseded):
            # One of an earlier incarnation came first: go on from what it left. Again and again would be a fault.
            self._attempts += 1
            if self._attempts > 3:
                self._try_later(str(error))
        elif isinstance(error, CommandsFailed):
            if len(plan.inputs) > 1:
                # One by one, so that what fails is alone.
                self._suspect = error.input.id
            else:
                what = f"{type(error.command).__name__}, asked for by {_what(error.input)}"
                self._halt(error.input.id, what, error.error)
        else:
            if not isinstance(error, SystemClosed):
                logger.warning("process manager %r: a step is tried again: %s", self._spec.name, error)
            self._try_later(str(error))

    def _try_later(self, why: str) -> None:
        self._trouble = why
        self._attempts += 1
        self._retry_at = time.monotonic() + min(RETRY_FIRST * 2**self._attempts, RETRY_LAST)

    def _halt(self, id: str, what: str, error: BaseException) -> None:
        """Stop at an input until it goes well, or an operator skips it."""
        attempts = self._failure.attempts + 1 if self._failure and self._failure.id == id else 1
        text = "".join(traceback.format_exception(error))
        self._failure = Failure(id, what, f"{type(error).__name__}: {error}", text, attempts)
        self._retry_at = time.monotonic() + min(RETRY_FIRST * 2**attempts, RETRY_LAST)
        if attempts == 1:
            logger.error("process manager %r is stopped at %s:\n%s", self._spec.name, what, text)
        if not self._flight:
            # What the plan that failed has touched in memory is not what the notes say.
            self._book = None

    def _skip(self, request: SkipInput) -> None:
        failure = self._failure
        if failure is None:
            request.fail(
                InvalidMessage(
                    f"process manager {self._spec.name!r} is not stopped: there is nothing to skip"
                )
            )
            return
        if failure.id == self._stored:
            request.fail(
                InvalidMessage(
                    f"process manager {self._spec.name!r} is stopped at {failure.what}, which can't be skipped: raise "
                    "its version to have its states built anew"
                )
            )
            return
        self._skips[failure.id] = request
        if self._book is not None:
            self._book.skip(failure.id, request.reason, failure.text)
        self._retry_at = None

    # -- showing ------------------------------------------------------------------------------
    def _show(self, quiet: bool) -> None:
        book = self._book
        if book is None:
            place, waiting, rebuilding = None, 0, self._desk.status.rebuilding
        else:
            place, waiting = book.place, len(book.inputs)
            rebuilding = book.about.until
        before = self._desk.status
        self._desk.show(
            Status(
                position=before.position if place is None else place.position,
                instances=before.instances if place is None else place.instances,
                timers=before.timers if place is None else place.timers,
                waiting=waiting,
                quiet_at=place.position if quiet and place is not None and not waiting else -1,
                rebuilding=rebuilding,
                failure=self._failure,
                trouble=self._trouble,
                next_due=None if book is None else book.next_due(),
                rejections=self._rejections,
            )
        )

    def _set_tick(self) -> None:
        """Be woken for the next try, or for the next timer."""
        waits: list[float] = []
        if self._retry_at is not None:
            waits.append(self._retry_at - time.monotonic())
        elif not self._flight:
            due = self._desk.status.next_due
            if due is not None:
                waits.append(min((due - self._clock.now_us()) / 1e6, LOOK))
        self.mailbox.tick = max(min(waits), 0.001) if waits else None


def _what(input: Input) -> str:
    return (
        f"event {type(input.message).__name__} at position {input.position}" if input.position else input.id
    )
