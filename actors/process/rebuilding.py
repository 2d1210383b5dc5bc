"""Building a manager's states anew, after its version was raised: from its events and what it heard between them.

No command is executed and no effect delivered. It goes on to where the former version stood, in steps that survive a
restart. Pure; the manager's thread calls it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from actors.process.notes import Notes, Past, Place
from actors.process.plan import Feed, InputFailed, Make, Plan
from storage.codec import Codec

if TYPE_CHECKING:
    from actors.process.book import Book

__all__ = ["Rebuilding"]

CHUNK = 1_000
SCANNED = 10_000
"""Events that one step looks at."""


class Rebuilding:
    """The plans that clear a book and fill it again."""

    def __init__(self, book: Book, codec: Codec, notes: Notes) -> None:
        self._book = book
        self._codec = codec
        self._notes = notes
        self._pasts: deque[tuple[bytes, Past]] = deque()
        self._after = book.about.past

    def plan(self, plan: Plan, feed: Feed, make: Make, limit: int) -> Plan:
        """The next step; none may be in flight. Raises `InputFailed` as `Book.plan` does."""
        if self._book.about.clearing:
            return self._clear(plan)
        return self._fill(plan, feed, make, limit)

    def _clear(self, plan: Plan) -> Plan:
        """Forget states and timers of the former version, some at a time."""
        book = self._book
        found = self._notes.notes(book.keys.states, limit=CHUNK)
        found += self._notes.notes(book.keys.timers, limit=CHUNK)
        for key, _ in found:
            plan.notes[key] = None
        if not found:
            book.about = replace(book.about, clearing=False)
            plan.notes[book.keys.about] = book.about.pack(self._codec)
            book.place = Place(book.about.start, book.place.step, quarantined=book.place.quarantined)
            book.timers.load()
        book.instances.clear()
        return book.close(plan)

    def _fill(self, plan: Plan, feed: Feed, make: Make, limit: int) -> Plan:
        book = self._book
        until = book.about.until
        assert until is not None
        scanned = book.place.position + SCANNED
        while len(plan.inputs) < limit and book.place.position < scanned:
            try:
                past = self._next_past()
                if past is not None and past[1].order.position <= book.place.position:
                    self._hear(plan, past[1], make)
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

    def _see(self, plan: Plan, feed: Feed, make: Make) -> None:
        book = self._book
        recorded = feed.peek(book.place.position)
        assert recorded is not None, "the log ends before what was handled"
        input = book.of_event(recorded)
        if input is None:
            book.place = book.place._replace(position=recorded.position)
        else:
            book.handle(plan, input, make)

    def _hear(self, plan: Plan, past: Past, make: Make) -> None:
        """A rejection, or the firing of a timer that the new version has set as well."""
        book, input = self._book, past.input
        if input.id in book.skipped:
            if input.kind == "timer":
                book.forget_timer(plan, input.key, input.id)
            return
        aside = book.quarantine.aside(input.key)
        handled = aside is None or past.order < aside.order
        if handled and input.kind == "timer" and book.timer(input.key, input.id) is None:
            return
        book.handle(plan, input, make, past.order)

    def _next_past(self) -> tuple[bytes, Past] | None:
        if not self._pasts:
            book = self._book
            found = self._notes.notes(book.keys.pasts, self._after, CHUNK)
            self._pasts.extend((key, book.values.past(book.keys, key, value)) for key, value in found)
        return self._pasts[0] if self._pasts else None
