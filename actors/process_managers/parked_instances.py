"""Which instances of a manager have parked effects, and which effects those block. The outbox's thread.

The effects of an instance keep their order: nothing behind a parked one is delivered before an operator has
that retried or dropped. Blocked effects are moved out of the way of the others: from the prefix `due` to
`blocked`, by instance, and back once no effect of the instance before them is parked. Each move is a step
that is guarded by the moved record, so that none is stored twice, or lost.

The suffix of an effect is the end of its key, which gives its place among those of its instance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from actors.process_managers.note_reader import NoteReader
from actors.process_managers.outbox_messages import EffectUnblocked
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.writer.atomic_step import Outcomes, StepSuperseded
from storage.log.notes import Note

__all__ = ["ParkedInstances"]

CHUNK = 500
"""Effects of an instance that are moved back at once."""
RETRY_SECONDS = 0.1
"""Seconds until what could not be written is tried again."""

PutStep = Callable[[list[Note], tuple[bytes, bytes | None]], Future[Outcomes]]


class ParkedInstances:
    """Of one incarnation of an outbox. `put_step` hands a step to the writer, `notify` sends the outbox a
    message.
    """

    def __init__(
        self,
        keys: RecordKeys,
        records: RecordCodec,
        put_step: PutStep,
        notify: Callable[[EffectUnblocked], None],
    ) -> None:
        self._keys = keys
        self._records = records
        self._put_step = put_step
        self._notify = notify
        self._parked: dict[str, set[bytes]] = {}
        self._blocked: dict[str, bytes] = {}
        """Of each instance with blocked effects the suffix of the first, or an earlier one."""
        self._steps: dict[str, int] = {}
        """How many steps are in flight that move effects of an instance back."""
        self._retry_at: dict[str, float] = {}

    def load(self, notes: NoteReader) -> None:
        """Read what is parked, and what is blocked."""
        self._parked = {}
        for key, value in notes.notes(self._keys.parked):
            self.park(self._records.entry(value).key, key[len(self._keys.parked) :])
        after = b""
        while found := notes.notes(self._keys.blocked, after, 1):
            instance, self._blocked[instance] = self._keys.parse_blocked(found[0][0])
            after = self._keys.blocked_of(instance) + b"\xff" * 16

    def park(self, instance: str, suffix: bytes) -> None:
        """An effect of an instance is parked."""
        self._parked.setdefault(instance, set()).add(suffix)

    def unpark(self, instance: str, suffix: bytes) -> None:
        """It is not parked any more, if it was."""
        parked = self._parked.get(instance)
        if parked is not None:
            parked.discard(suffix)
            if not parked:
                del self._parked[instance]

    def blocks(self, instance: str, suffix: bytes) -> bool:
        """Whether an effect has to wait behind one that is parked."""
        parked = self._parked.get(instance)
        return parked is not None and min(parked) < suffix

    def is_unblocking(self, instance: str) -> bool:
        """Whether effects of an instance are about to be unblocked: those after them have to wait."""
        first = self._blocked.get(instance)
        return first is not None and not self.blocks(instance, first)

    @property
    def unblocking(self) -> bool:
        """Whether effects of some instance are about to come back."""
        return any(self.is_unblocking(instance) for instance in self._blocked)

    def block(self, instance: str, key: bytes, value: bytes) -> dict[bytes, bytes | None]:
        """The notes that put an effect behind a parked one."""
        suffix = key[len(self._keys.due) :]
        self._blocked[instance] = min(self._blocked.get(instance, suffix), suffix)
        return {key: None, self._keys.blocked_of(instance) + suffix: value}

    # -- unblocking ---------------------------------------------------------------------------
    def unblock(self, notes: NoteReader) -> tuple[bool, float | None]:
        """Have effects moved back that no parked one blocks any more.

        Returns whether some instances have theirs back, so that the outbox is to be read again, and when to
        call this again, a monotonic time, None for when a step is answered.
        """
        back = False
        now = time.monotonic()
        for instance in [one for one in self._blocked if self.is_unblocking(one) and one not in self._steps]:
            if self._retry_at.get(instance, 0.0) <= now:
                self._retry_at.pop(instance, None)
                back = self._move_some(instance, notes) or back
        return back, min(self._retry_at.values(), default=None)

    def _move_some(self, instance: str, notes: NoteReader) -> bool:
        """Hand over steps that move effects of an instance back; True where all are."""
        prefix = self._keys.blocked_of(instance)
        found = [(key, key[len(prefix) :], value) for key, value in notes.notes(prefix, limit=CHUNK)]
        free = [one for one in found if not self.blocks(instance, one[1])]
        if not free:
            del self._blocked[instance]
            if found:  # They wait for another one.
                self._blocked[instance] = found[0][1]
            return True
        self._steps[instance] = len(free)
        for key, suffix, value in free:
            step = self._put_step([(key, None), (self._keys.due + suffix, value)], (key, value))
            step.add_done_callback(partial(self._step_done, instance))
        return False

    def _step_done(self, instance: str, done: Future[Outcomes]) -> None:
        self._notify(EffectUnblocked(instance, done))

    def step_done(self, message: EffectUnblocked, notes: NoteReader) -> bool:
        """A step is answered; False while other steps of its instance are in flight, so that there is nothing
        to read.
        """
        instance = message.instance
        error = message.future.exception()
        if error is not None and not isinstance(error, StepSuperseded):
            self._retry_at[instance] = time.monotonic() + RETRY_SECONDS
        left = self._steps.get(instance)
        if left is None:
            return True  # an earlier incarnation's
        self._steps[instance] = left - 1
        if left > 1:
            return False
        del self._steps[instance]
        if instance in self._retry_at or not self.is_unblocking(instance):
            return True
        return self._move_some(instance, notes)
