"""Which instances of a manager have effects parked, and the effects that wait behind those. The outbox's thread.

The effects of an instance keep their order, so nothing that comes after a parked one is delivered before an operator has
that tried again or given up. What waits so is moved out of the way of the others: from `due` to `behind`, by instance, and
back once no effect of its instance before it is parked any more. Both happen in steps that are guarded by the note that
is moved, so that none is in two places, or in none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from actors.kernel.mailbox import Request
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import NoteReader, RecordKeys
from actors.writer.atomic_step import Outcomes, StepSuperseded
from storage.log.notes import Note

__all__ = ["EffectUnblocked", "ParkedInstances"]

CHUNK = 500
"""Effects of an instance that are moved back at once."""
RETRY_SECONDS = 0.1
"""Seconds until what could not be written is tried again."""

Put = Callable[[list[Note], tuple[bytes, bytes | None]], Future[Outcomes]]


class EffectUnblocked(Request):
    """The writer's answer to a step that moves an effect of an instance back."""

    __slots__ = ("future", "instance")

    def __init__(self, instance: str, future: Future[Outcomes]) -> None:
        self.instance = instance
        self.future = future


class ParkedInstances:
    """Of one incarnation of an outbox. `put` hands a step to the writer; `told` gives a message to the outbox."""

    def __init__(
        self, keys: RecordKeys, values: RecordCodec, put: Put, told: Callable[[EffectUnblocked], None]
    ) -> None:
        self._keys = keys
        self._values = values
        self._put = put
        self._told = told
        self._parked: dict[str, set[bytes]] = {}
        self._behind: dict[str, bytes] = {}
        """Of each instance with effects that wait the place of the first, or an earlier one."""
        self._moving: dict[str, int] = {}
        self._again: dict[str, float] = {}

    def load(self, notes: NoteReader) -> None:
        """Read what is parked, and what waits behind, of the notes."""
        self._parked = {}
        for key, value in notes.notes(self._keys.parked):
            self.park(self._values.entry(value).key, key[len(self._keys.parked) :])
        after = b""
        while found := notes.notes(self._keys.behind, after, 1):
            instance, self._behind[instance] = self._keys.of_behind(found[0][0])
            after = self._keys.behind_of(instance) + b"\xff" * 16

    def park(self, instance: str, place: bytes) -> None:
        """An effect of an instance is parked; `place` is the end of its key."""
        self._parked.setdefault(instance, set()).add(place)

    def release(self, instance: str, place: bytes) -> None:
        """It is not parked any more, if it was."""
        places = self._parked.get(instance)
        if places is not None:
            places.discard(place)
            if not places:
                del self._parked[instance]

    def holds(self, instance: str, place: bytes) -> bool:
        """Whether an effect has to wait behind one that is parked."""
        places = self._parked.get(instance)
        return places is not None and min(places) < place

    def is_parked(self, instance: str, place: bytes) -> bool:
        """Whether that one is."""
        return place in self._parked.get(instance, ())

    def moving(self, instance: str) -> bool:
        """Whether effects of an instance are about to come back: those after them are not to be looked at before."""
        first = self._behind.get(instance)
        return first is not None and not self.holds(instance, first)

    @property
    def coming_back(self) -> bool:
        """Whether effects of some instance are about to come back."""
        return any(self.moving(instance) for instance in self._behind)

    def behind(self, instance: str, key: bytes, value: bytes) -> dict[bytes, bytes | None]:
        """The notes that put an effect behind a parked one."""
        place = key[len(self._keys.due) :]
        self._behind[instance] = min(self._behind.get(instance, place), place)
        return {key: None, self._keys.behind_of(instance) + place: value}

    # -- coming back --------------------------------------------------------------------------
    def move_back(self, notes: NoteReader) -> tuple[bool, float | None]:
        """Have effects come back that wait behind nothing any more.

        Tells whether some instances have theirs back, so that all is to be looked at anew, and when to ask again, a
        monotonic time, None for when a step is answered.
        """
        back = False
        now = time.monotonic()
        for instance in [one for one in self._behind if self.moving(one) and one not in self._moving]:
            if self._again.get(instance, 0.0) <= now:
                self._again.pop(instance, None)
                back = self._move_some(instance, notes) or back
        return back, min(self._again.values(), default=None)

    def _move_some(self, instance: str, notes: NoteReader) -> bool:
        """Hand over steps that move effects of an instance back; True where all are."""
        prefix = self._keys.behind_of(instance)
        found = [(key, key[len(prefix) :], value) for key, value in notes.notes(prefix, limit=CHUNK)]
        free = [one for one in found if not self.holds(instance, one[1])]
        if not free:
            del self._behind[instance]
            if found:  # They wait for another one.
                self._behind[instance] = found[0][1]
            return True
        self._moving[instance] = len(free)
        for key, place, value in free:
            step = self._put([(key, None), (self._keys.due + place, value)], (key, value))
            step.add_done_callback(partial(self._tell, instance))
        return False

    def _tell(self, instance: str, done: Future[Outcomes]) -> None:
        self._told(EffectUnblocked(instance, done))

    def moved(self, message: EffectUnblocked, notes: NoteReader) -> bool:
        """A step is answered; False where others of its instance are to be, so that there is nothing to look at yet."""
        instance = message.instance
        error = message.future.exception()
        if error is not None and not isinstance(error, StepSuperseded):
            self._again[instance] = time.monotonic() + RETRY_SECONDS
        left = self._moving.get(instance)
        if left is None:
            return True  # an earlier incarnation's
        self._moving[instance] = left - 1
        if left > 1:
            return False
        del self._moving[instance]
        if instance in self._again or not self.moving(instance):
            return True
        return self._move_some(instance, notes)
