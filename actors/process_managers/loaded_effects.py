"""The effects of one outbox that are in memory; the others wait in their records. The outbox's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass

from actors.process_managers.attempt_counter import AttemptCounter
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.parked_instances import ParkedInstances
from actors.process_managers.pending_delivery import PendingDelivery
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys

__all__ = ["LoadedEffects"]

MAX_LOADED = 1_000
"""Effects in memory, and read at once. A blocked instance has its first one in memory, beside these."""
LOAD_SECONDS = 0.05
"""Seconds of reading records after which the mailbox is looked at."""


@dataclass(slots=True)
class BlockedInstance:
    """An instance whose effect `first` failed, or takes its time.

    `unloaded_after` is a key before those that stay in the records for that, None where none do.
    """

    first: bytes
    unloaded_after: bytes | None = None

    def unload(self, after: bytes) -> None:
        """Those that come after this key are left in the records."""
        self.unloaded_after = after if self.unloaded_after is None else min(self.unloaded_after, after)


class LoadedEffects:
    """`deliveries` has them by their keys, in order."""

    def __init__(
        self,
        keys: RecordKeys,
        records: RecordCodec,
        notes: NoteReader,
        parked: ParkedInstances,
        outstanding: OutstandingEffects,
        attempts: AttemptCounter,
    ) -> None:
        self.deliveries: dict[bytes, PendingDelivery] = {}
        self._keys = keys
        self._records = records
        self._notes = notes
        self._parked = parked
        self._outstanding = outstanding
        self._attempts = attempts
        self._after = b""
        self._blocked: dict[str, BlockedInstance] = {}

    def reload(self) -> None:
        """Look at all of the outbox with the next `load`."""
        self._after = b""

    def load(self) -> bool:
        """Read what there is room for; whether there is more, for which the time was up."""
        end = time.monotonic() + LOAD_SECONDS
        # With nothing here a look at all of it costs no more than one at what is new.
        before = self._after if self.deliveries else b""
        while len(self.deliveries) - len(self._blocked) <= MAX_LOADED // 2:
            found = self._notes.notes(self._keys.due, before, MAX_LOADED)
            for key, value in found:
                if key not in self.deliveries:
                    self._take(key, value, before)
                before = self._after = key
            if len(found) < MAX_LOADED:
                self._outstanding.all_loaded()
                return False
            if time.monotonic() > end:
                return True
        return False

    def _take(self, key: bytes, value: bytes, before: bytes) -> None:
        entry = self._records.entry(value)
        if self._parked.is_unblocking(entry.key):
            return  # All is looked at again once those before it are back.
        blocked = self._blocked.get(entry.key)
        if blocked is not None:
            blocked.unload(before)
            return
        delivery = self.deliveries[key] = PendingDelivery(entry, value)
        number = self._outstanding.ended_attempt(key, entry)
        if number:
            self._attempts.process_ended(key, number)
            delivery.ended_process = True

    def block(self, key: bytes, instance: str) -> None:
        """Keep only the first effect of an instance, so that those behind it take no room from others."""
        if instance in self._blocked:
            return
        blocked = self._blocked[instance] = BlockedInstance(key)
        for other, delivery in list(self.deliveries.items()):
            if (
                other == key
                or delivery.entry.key != instance
                or delivery.leaving
                or delivery.results is not None
            ):
                continue
            del self.deliveries[other]
            blocked.unload(other[:-1])

    def removed(self, key: bytes, delivery: PendingDelivery) -> None:
        """An effect has left the outbox: those that were unloaded behind it are read again."""
        if self.deliveries.get(key) is not delivery:
            return
        del self.deliveries[key]
        instance = delivery.entry.key
        blocked = self._blocked.get(instance)
        if blocked is not None and blocked.first == key:
            del self._blocked[instance]
            if blocked.unloaded_after is not None:
                self._after = min(self._after, blocked.unloaded_after)
