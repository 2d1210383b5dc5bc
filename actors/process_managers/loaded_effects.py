"""The effects of one outbox that are in memory; the others wait in their notes. The outbox's thread."""

from __future__ import annotations

import time

from actors.process_managers.attempt_counter import AttemptCounter
from actors.process_managers.outbox_messages import BlockedInstance, PendingDelivery
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.parked_instances import ParkedInstances
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import NoteReader, RecordKeys

__all__ = ["LoadedEffects"]

MAX_LOADED = 1_000
"""Effects that are in memory at once, and read at once. Of an instance that fails it is the first alone, and beside these."""
LOAD_SECONDS = 0.05
"""Seconds of reading notes after which the mailbox is looked at."""


class LoadedEffects:
    """`waiting` has them by their keys, in order."""

    def __init__(
        self,
        keys: RecordKeys,
        values: RecordCodec,
        notes: NoteReader,
        parking: ParkedInstances,
        out: OutstandingEffects,
        attempts: AttemptCounter,
    ) -> None:
        self.waiting: dict[bytes, PendingDelivery] = {}
        self._keys = keys
        self._values = values
        self._notes = notes
        self._parking = parking
        self._out = out
        self._attempts = attempts
        self._after = b""
        self._failing: dict[str, BlockedInstance] = {}

    def look_again(self) -> None:
        """At all of the outbox, with the next `load`."""
        self._after = b""

    def load(self) -> bool:
        """Read what there is room for; whether there is more, for which the time was up."""
        end = time.monotonic() + LOAD_SECONDS
        # With nothing here a look at all of it costs no more than one at what is new.
        before = self._after if self.waiting else b""
        while len(self.waiting) - len(self._failing) <= MAX_LOADED // 2:
            found = self._notes.notes(self._keys.due, before, MAX_LOADED)
            for key, value in found:
                if key not in self.waiting:
                    self._take(key, value, before)
                before = self._after = key
            if len(found) < MAX_LOADED:
                self._out.drop()
                return False
            if time.monotonic() > end:
                return True
        return False

    def _take(self, key: bytes, value: bytes, before: bytes) -> None:
        entry = self._values.entry(value)
        if self._parking.moving(entry.key):
            return  # All is looked at again once those before it are back.
        failing = self._failing.get(entry.key)
        if failing is not None:
            failing.leave(before)
            return
        waiting = self.waiting[key] = PendingDelivery(entry, value)
        attempts = self._out.found(key, entry)
        if attempts:
            self._attempts.ended(key, attempts)
            waiting.ended = True

    def hold(self, key: bytes, instance: str) -> None:
        """Keep the first effect of an instance alone, so that those that wait behind it take no room from others."""
        if instance in self._failing:
            return
        failing = self._failing[instance] = BlockedInstance(key)
        for other, waiting in list(self.waiting.items()):
            if (
                other == key
                or waiting.entry.key != instance
                or waiting.leaving
                or waiting.results is not None
            ):
                continue
            del self.waiting[other]
            failing.leave(other[:-1])

    def gone(self, key: bytes, waiting: PendingDelivery) -> None:
        """An effect has left the outbox: read those again that were left in the notes behind it."""
        if self.waiting.get(key) is not waiting:
            return
        del self.waiting[key]
        instance = waiting.entry.key
        failing = self._failing.get(instance)
        if failing is not None and failing.first == key:
            del self._failing[instance]
            if failing.left is not None:
                self._after = min(self._after, failing.left)
