"""Building a manager's states anew, after its version was raised: from its events and what it heard between them.

No command is executed and no effect delivered. It goes on to where the former version stood, in steps that survive a
restart. Pure; the manager's thread calls it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.process_managers.checkpoint_restore import restore_some
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Timer
from actors.process_managers.records import Checkpoint, HandledInput, NoteReader, timer_of_key
from actors.process_managers.step_plan import EventSource, InputFailed, MakeSubmission, StepPlan
from storage.codec.codec import Codec

if TYPE_CHECKING:
    from actors.process_managers.planner import Book

__all__ = ["StateRebuild"]

LAST_ORDER = Order(1 << 63)
"""After all others."""
CHUNK = 1_000
SCAN_LIMIT = 10_000
"""Events that one step looks at."""


class StateRebuild:
    """The plans that clear a book and fill it again."""

    def __init__(self, book: Book, codec: Codec, notes: NoteReader) -> None:
        self._book = book
        self._codec = codec
        self._notes = notes
        self._pasts: deque[tuple[bytes, HandledInput]] = deque()
        self._after = book.about.past

    def plan(self, plan: StepPlan, feed: EventSource, make: MakeSubmission, limit: int) -> StepPlan:
        """The next step; none may be in flight. Raises `InputFailed` as `Book.plan` does."""
        if self._book.about.clearing:
            return self._clear(plan)
        if self._book.about.restored is not None:
            return self._restore(plan)
        return self._fill(plan, feed, make, limit)

    def _clear(self, plan: StepPlan) -> StepPlan:
        """Forget states and timers of the former version, some at a time."""
        book = self._book
        found = self._notes.notes(book.keys.states, limit=CHUNK)
        found += self._notes.notes(book.keys.timers, limit=CHUNK)
        if book.about.restored is None:
            found += self._notes.notes(book.keys.checkpoints, limit=CHUNK)
        for key, _ in found:
            plan.notes[key] = None
        if not found:
            book.about = replace(book.about, clearing=False)
            plan.notes[book.keys.about] = book.about.pack(self._codec)
            book.place = Checkpoint(book.about.start, book.place.step, quarantined=book.place.quarantined)
            book.timers.load()
        book.instances.clear()
        return book.close(plan)

    def _restore(self, plan: StepPlan) -> StepPlan:
        """Begin with the instances whose past is forgotten, some at a time."""
        restore_some(self._book, self._notes, plan)
        plan.notes[self._book.keys.about] = self._book.about.pack(self._codec)
        return self._book.close(plan)

    def _fill(self, plan: StepPlan, feed: EventSource, make: MakeSubmission, limit: int) -> StepPlan:
        book = self._book
        until = book.about.until
        assert until is not None
        scanned = book.place.position + SCAN_LIMIT
        while len(plan.inputs) < limit and book.place.position < scanned:
            try:
                past = self._next_past()
                if past is not None and past[1].order.position <= book.place.position:
                    self._hear(plan, past[1], feed, make)
                    self._pasts.popleft()
                    self._after = past[0]
                elif book.place.position >= until:
                    break
                else:
                    self._see(plan, feed, make)
            except InputFailed as error:
                if book.pass_over(plan, error):
                    continue
                if plan.inputs:
                    break
                raise
        done = book.place.position >= until and self._next_past() is None
        book.about = book.about.done() if done else replace(book.about, past=self._after)
        plan.notes[book.keys.about] = book.about.pack(self._codec)
        return book.close(plan)

    def _see(self, plan: StepPlan, feed: EventSource, make: MakeSubmission) -> None:
        book = self._book
        recorded = feed.peek(book.place.position)
        assert recorded is not None, "the log ends before what was handled"
        input = book.of_event(recorded)
        if input is None or self._stands(input.key, Order(recorded.position)):
            book.place = book.place._replace(position=recorded.position)
        else:
            book.handle(plan, input, make)

    def _hear(self, plan: StepPlan, past: HandledInput, feed: EventSource, make: MakeSubmission) -> None:
        """A rejection, or the firing of a timer that the new version has set as well."""
        book, input = self._book, past.input
        if input.kind == "timer":
            key = self._setter(plan, input)
            timer = book.timer(key, input.id)
            if timer is None and past.order < self._aside_from(key):
                return  # This version does not set it, or has cancelled it.
            # What it tells is what the new version sets, whatever was stored; its handlers may know nothing of that.
            told = timer or Timer(0, "", None, input.correlation)
            input = replace(input, key=key, message=told.message, correlation=told.correlation)
            if timer is not None:
                plan.notes[book.keys.timer(timer)] = None  # It may be due at another time now.
        else:
            input = replace(input, key=self._asker(feed, input))
        if input.id in book.skipped:
            if input.kind == "timer":
                book.forget_timer(plan, input.key, input.id)
            return
        if not self._stands(input.key, past.order):
            book.handle(plan, input, make, past.order)

    def _stands(self, key: str, order: Order) -> bool:
        """Whether a checkpoint of the instance stands for what comes there."""
        checkpoint = self._book.pasts.checkpoint(key)
        return checkpoint is not None and order <= checkpoint

    def _asker(self, feed: EventSource, input: Input) -> str:
        """The instance that asked for a refused command: its id begins with the position of the event that it goes back to."""
        book = self._book
        number = input.id.removeprefix(f"{book.spec.name}:").split(":")[0]
        if not number.isdigit() or not 0 < int(number) <= book.place.position:
            return input.key  # What goes back to it through many inputs has a digest there.
        try:
            event = book.of_event(feed.at(int(number)))
        except InputFailed:
            event = None
        return input.key if event is None else event.key

    def _aside_from(self, key: str) -> Order:
        aside = self._book.quarantine.aside(key)
        return LAST_ORDER if aside is None else aside.order

    def _setter(self, plan: StepPlan, input: Input) -> str:
        """The instance whose timer fired: in this version events may be for other instances, told by another key."""
        book = self._book
        if book.timer(input.key, input.id) is not None:
            return input.key
        if book.timer_keys is None:
            prefix = book.keys.timers
            notes = dict(self._notes.notes(prefix)) | plan.notes
            book.timer_keys = {
                timer_of_key(note, prefix)[1]: value.decode("utf-8", "surrogatepass")
                for note, value in notes.items()
                if value is not None and note.startswith(prefix)
            }
        return book.timer_keys.get(input.id, input.key)

    def _next_past(self) -> tuple[bytes, HandledInput] | None:
        if not self._pasts:
            book = self._book
            found = self._notes.notes(book.keys.pasts, self._after, CHUNK)
            self._pasts.extend((key, book.values.past(book.keys, key, value)) for key, value in found)
        return self._pasts[0] if self._pasts else None
