"""Instances of a book that are set aside since an input failed in them, and what waits for them meanwhile.

The first input that fails begins it, all that comes later is held in its order, and another attempt begins with the first
that is held. All of it is in the notes of the step that goes on with the others. Pure; the manager's thread calls it.
"""

from __future__ import annotations

import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.domain.instance_keys import checked_key, shown_key
from actors.errors import described
from actors.process_managers.checkpoint_restore import restore
from actors.process_managers.fault_attribution import is_instance_fault
from actors.process_managers.input_order import ORDER_BYTES, Order
from actors.process_managers.inputs import REJECTION, Input, input_of_event, input_of_timer
from actors.process_managers.records import NoteReader, QuarantineRecord
from actors.process_managers.step_plan import (
    CommandsFailed,
    EventSource,
    InputFailed,
    MakeSubmission,
    StepPlan,
    describe,
)

if TYPE_CHECKING:
    from actors.process_managers.planner import Book

__all__ = ["Quarantine"]

SCAN_CHUNK = 100
"""Inputs that are read at once to find the last of several rejections."""
MAX_TRACEBACK, MAX_ERROR = 8_000, 500
"""Characters that are kept of a traceback, its end, and of an error, its beginning."""


@dataclass(frozen=True, slots=True)
class HeldInput:
    """What is held for an instance, in its `note`; or, without one, a timer that is due before the next of these.

    `silent`: nothing is executed for it, since that was done before the states were built anew.
    """

    note: bytes | None
    order: Order
    silent: bool
    id: str
    packed: bytes | None
    input: Input | None = None


class Quarantine:
    """Keys are as `shown_key` gives them: also what can't be an instance's key may be set aside."""

    def __init__(self, book: Book, notes: NoteReader) -> None:
        self._book = book
        self._notes = notes
        self._known: dict[str, QuarantineRecord | None] = {}

    def forget(self) -> None:
        """Let go of what is in memory; no step is in flight."""
        self._known.clear()

    def aside(self, key: str) -> QuarantineRecord | None:
        """Why an instance is set aside as the plans made so far leave it, None where it is not."""
        if not self._book.place.quarantined:
            return None
        if key not in self._known:
            value = self._notes.note(self._book.keys.quarantine(key))
            self._remember(key, None if value is None else self._book.values.aside(value))
        return self._known[key]

    @property
    def known(self) -> int:
        """Of how many instances it is in memory whether they are set aside."""
        return len(self._known)

    def _remember(self, key: str, aside: QuarantineRecord | None) -> None:
        self._known[key] = None if aside is None else aside._replace(text="")

    def first(self, key: str) -> str | None:
        """The id of the first input that is held for an instance; no step is in flight."""
        for _, value in self._notes.notes(self._book.keys.held_for(key), limit=1):
            return self._book.values.held(value)[1]
        return None

    # -- setting aside ------------------------------------------------------------------------
    def hold(self, plan: StepPlan, input: Input, order: Order | None) -> bool:
        """Have an input wait if its instance is set aside; False where it is to be handled."""
        key = shown_key(input.key)
        aside = self.aside(key)
        if aside is None:
            return False
        book = self._book
        order = order or book.order_of(plan, input)
        if not book.rebuilding:
            self._put(plan, key, input, order)
        elif order < aside.order:
            return False
        elif self._notes.note(book.keys.held_for(key) + order.pack()) is None:
            # What came before the instance was set aside was executed then; the rest is held already.
            self._put(plan, key, input, order)
        book.consume(plan, input, order, held=True)
        return True

    def begin(self, plan: StepPlan, input: Input, order: Order | None, error: BaseException) -> None:
        """Set an instance aside at an input. Raises `InputFailed` for an error that is not the instance's."""
        what, error = _cause(input, error)
        if not is_instance_fault(error):
            raise InputFailed(input.id, what, error, input.position or None) from error
        book = self._book
        key = shown_key(input.key)
        order = order or book.order_of(plan, input)
        if self.aside(key) is None:
            book.place = book.place._replace(quarantined=book.place.quarantined + 1)
        self._set(plan, key, QuarantineRecord(order, input.id, what, *_texts(error), plan.now_us))
        self._put(plan, key, input, order)
        plan.set_aside.append((key, what, error))
        book.consume(plan, input, order, held=True)

    def _put(self, plan: StepPlan, key: str, input: Input, order: Order, *, silent: bool = False) -> None:
        book = self._book
        note = book.keys.held_for(key) + order.pack()
        plan.notes[note] = book.values.pack_held(input, silent=silent or book.rebuilding)

    def _set(self, plan: StepPlan, key: str, aside: QuarantineRecord | None) -> None:
        self._remember(key, aside)
        note = self._book.keys.quarantine(key)
        plan.notes[note] = None if aside is None else self._book.values.pack_aside(aside)

    # -- trying again -------------------------------------------------------------------------
    def drain(
        self, plan: StepPlan, key: str, feed: EventSource, make: MakeSubmission, limit: int
    ) -> BaseException | None:
        """Handle what is held for an instance, up to `limit` inputs, its commands, or the next failure, which is returned.

        No step is in flight. Raises `InputFailed` for an error that is not the instance's.
        """
        aside = self.aside(key)
        if aside is None:
            return None
        book = self._book
        found = self._notes.notes(book.keys.held_for(key), limit=limit + 1)
        waiting = deque(self._held(note, value) for note, value in found[:limit])
        last: Order | None = None
        handled = 0
        while waiting and key not in plan.busy and handled < limit:
            one = waiting.popleft()
            input = Input("event", one.id, key, None, 0, None, None, one.order.position)
            failed: BaseException | None = None
            try:
                if one.id in book.skipping:
                    book.skip_held(plan, key, one.id)
                else:
                    told = one.input or self._input(feed, key, one)
                    timer = None if told is None else self._due_before(key, one, told, last or aside.order)
                    if timer is not None:
                        waiting.extendleft((one, timer))
                        continue
                    if told is not None:
                        input = told
                        if not self._handle(plan, key, input, make, one):
                            break
            except InputFailed as error:
                if error.position != one.order.position:
                    raise
                failed, what = error.error, error.what
            except BaseException as error:
                what, failed = _cause(input, error)
            if failed is not None:
                if not is_instance_fault(failed):
                    raise InputFailed(one.id, what, failed) from failed
                if one.note is None:
                    self._put(plan, key, input, one.order, silent=one.silent)
                    self._keep_past(plan, one, input)
                    book.drop_timer(plan, input)
                now = QuarantineRecord(one.order, one.id, what, *_texts(failed), aside.since_us)
                if (aside.id, aside.error) != (now.id, now.error):
                    self._set(plan, key, now)
                return failed
            last = one.order
            handled += 1
            if one.note is not None:
                plan.notes[one.note] = None
            else:
                self._keep_past(plan, one, input)
            book.let_go(plan, input.key, one.order)
            if all(other is not input for other in plan.inputs):
                plan.inputs.append(input)
        if key in plan.busy:
            plan.drained[key] = self._behind_rejections(key, last or aside.order)
        elif not waiting and len(found) <= limit:
            self._set(plan, key, None)
            book.place = book.place._replace(quarantined=book.place.quarantined - 1)
            return None
        if last is not None:
            self._set(plan, key, QuarantineRecord(last.following(), since_us=aside.since_us))
        return None

    def _keep_past(self, plan: StepPlan, one: HeldInput, input: Input) -> None:
        if not one.silent:
            self._book.pasts.remember(plan, input, one.order)

    def _held(self, note: bytes, value: bytes) -> HeldInput:
        return HeldInput(note, Order.unpack(note[-ORDER_BYTES:]), *self._book.values.held(value))

    def _due_before(self, key: str, one: HeldInput, told: Input, after: Order) -> HeldInput | None:
        """The timer of the instance that is due before what is held, so that it fires first, as it does for others."""
        if told.key != key or told.kind in ("rejection", "checkpoint"):
            return None  # These come before all else.
        place = after.following() if after < one.order else None
        timers = self._book.instance(key).timers
        first = min(timers, key=lambda timer: (timer.due_us, timer.id), default=None)
        if place is None or first is None or first.id == one.id or first.due_us > told.time_us:
            return None
        if told.kind == "timer" and (first.due_us, first.id) > (told.time_us, told.id):
            return None
        return HeldInput(None, place, one.silent, first.id, None, input_of_timer(key, first))

    def _behind_rejections(self, key: str, order: Order) -> Order:
        """After which place what a command is refused with is held: before all that waits but other rejections."""
        prefix = self._book.keys.held_for(key)
        while found := self._notes.notes(prefix, prefix + order.pack(), SCAN_CHUNK):
            for note, value in found:
                if not self._book.values.held(value)[1].endswith(REJECTION):
                    return order
                order = Order.unpack(note[-ORDER_BYTES:])
        return order

    def _handle(self, plan: StepPlan, key: str, input: Input, make: MakeSubmission, one: HeldInput) -> bool:
        """Do as `Book.handle` does for what was held; False where it is to be tried in another step."""
        book = self._book
        if input.kind == "checkpoint":
            restore(book, self._notes, plan, key)
            return True
        if shown_key(input.key) != key:
            return book.handle(plan, input, make)
        made = book.made_of(plan, input, make, live=not one.silent)
        if made is not None:
            book.apply(plan, input, made)
        if input.kind == "timer":
            book.drop_timer(plan, input)
        return True

    def _input(self, feed: EventSource, key: str, one: HeldInput) -> Input | None:
        """What is held, as it is now; None for what is for no instance any more."""
        if one.packed is None:
            return self._event(feed, one.order.position)
        input = self._book.values.input(one.packed)
        if input.kind != "timer":
            return input
        timer = next((timer for timer in self._book.instance(key).timers if timer.id == one.id), None)
        return None if timer is None else input_of_timer(key, timer)

    def _event(self, feed: EventSource, position: int) -> Input | None:
        recorded = feed.at(position)
        rule = self._book.spec.events.get(recorded.event.__class__)
        told = None if rule is None else self._book.told(rule, recorded)
        if told is None:
            return None
        # Another release may tell it to another instance: what could be no key may be one then.
        return input_of_event(self._book.spec.name, checked_key(told), recorded)


def _cause(input: Input, error: BaseException) -> tuple[str, BaseException]:
    """What failed, for messages, and the error itself."""
    if isinstance(error, CommandsFailed):
        return f"{type(error.command).__name__}, asked for by {describe(input)}", error.error
    return describe(input), error


def _texts(error: BaseException) -> tuple[str, str]:
    """The error and its traceback, its end where it is long; both may name files whose names are no UTF-8."""
    short, text = (
        one.encode(errors="backslashreplace").decode()
        for one in (described(error), "".join(traceback.format_exception(error)))
    )
    return short[:MAX_ERROR], text if len(text) <= MAX_TRACEBACK else f"...{text[-MAX_TRACEBACK:]}"
