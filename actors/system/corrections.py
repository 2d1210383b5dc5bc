"""Correcting stored events with a `System`, and reading what was corrected. Callers' threads."""

from __future__ import annotations

from collections.abc import Callable, Collection

from actors.domain.lookup import unknown
from actors.kernel.actor import refuse_in_actor
from actors.queries.consistency import position_of
from actors.receipt import Receipt
from actors.runtime.corrections import CorrectedEvent, CorrectionPlan, Selected, Through
from actors.system.base import SystemBase
from storage import Correction
from storage.log.records import RecordedEvent
from storage.log.stored_events import decoded
from storage.value_text import short_repr

__all__ = ["CorrectionMethods"]


class CorrectionMethods(SystemBase):
    """Corrections of stored events."""

    def plan_correction(
        self,
        through: Through,
        *,
        types: type | Collection[type] = (),
        streams: str | Collection[str] = (),
        after: Receipt | int = 0,
        until: Receipt | int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> CorrectionPlan:
        """Have a function look at stored events, and return what it would change; nothing is changed yet.

        `through` gets a `RecordedEvent` and returns None to leave it, the event that it should have been, or
        a tuple of that and its metadata. Its class may be another one; stream, time, tags and everything else
        stay. It gets the events of these `types` (event classes) and `streams`, all by default, after the
        position `after`, and up to `until`. `progress` is called with the position reached, and the last one.
        What would change is kept in memory until `CorrectionPlan.apply`, or until the plan is dropped.

        Raises CorrectionRefused for what `through` does wrong, and if an inline model handles such events;
        UnknownMessage, ValueError, WrongThread; CodecError for an event that can't be
        decoded and is not excluded by `types` or `streams`.
        """
        parts = self._running()
        refuse_in_actor("plan_correction", parts.progress)
        if not callable(through):
            raise TypeError(f"plan_correction() takes a function, not {short_repr(through)}")
        names = set()
        for one in (types,) if isinstance(types, type) else types:
            spec = parts.domain.events.get(one) if isinstance(one, type) else None
            if spec is None:
                raise unknown(one, "event", parts.domain)
            names.add(spec.name)
        self._guarded("events", types=names)
        selected = Selected(
            frozenset(names),
            frozenset([streams] if isinstance(streams, str) else streams),
            position_of(after),
            None if until is None else position_of(until),
        )
        return self._runtime.corrections.plan(through, selected, progress)

    def corrections(self) -> list[Correction]:
        """All corrections of the store, in the order in which they were made: who, why, when, which events.

        Raises DamagedStore.
        """
        return self._running().log.corrections()

    def corrected_events(self, number: int, after: int = 0, limit: int = 1000) -> list[CorrectedEvent]:
        """The events of a correction after the position `after`: what they were before it and after it.

        Raises CorrectionRefused if there is no such correction; DamagedStore, CodecError.
        """
        parts = self._guarded("events")
        found: list[CorrectedEvent] = []
        for position, before, now in parts.log.corrected_events(number, after, limit):
            one, other = (self._one(position, data) for data in (before, now))
            found.append(CorrectedEvent(one, other))
        return found

    def _one(self, position: int, data: bytes) -> RecordedEvent:
        return decoded(self._parts.domain.codec, [(position, data)])[0]
