"""How often the effects of one manager failed, in memory and in records. The outbox's thread."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Iterable

from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import DeliveryAttempts

__all__ = ["AttemptCounter"]

STORE_SECONDS = 1.0
"""Seconds in which failed attempts are gathered, to be stored together: a crash forgets no others."""


class AttemptCounter:
    """Counts the failed attempts of effects that are retried.

    `store_at` is when some are to be stored, a monotonic time, None for never.
    """

    def __init__(
        self, attempts: dict[bytes, DeliveryAttempts], keys: RecordKeys, records: RecordCodec
    ) -> None:
        """`attempts`, by the effects' keys, outlives the actor, and is read by other threads."""
        self._attempts = attempts
        self._keys = keys
        self._records = records
        self._changed: set[bytes] = set()
        self.store_at: float | None = None

    def load(self, notes: NoteReader) -> None:
        """Go on from what is stored, unless more is known."""
        prefix = self._keys.attempts
        for key, value in notes.notes(prefix):
            self._attempts.setdefault(self._keys.due + key[len(prefix) :], self._records.attempts(value))

    def next_number(self, key: bytes) -> int:
        """Which attempt the next one is, from 1. Any thread."""
        before = self._attempts.get(key)
        return 1 if before is None else before.failed + 1

    def failed(self, key: bytes, error: BaseException) -> DeliveryAttempts:
        """Count one."""
        # Messages of errors may name files whose names are no UTF-8.
        text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()
        return self._set(key, DeliveryAttempts(self.next_number(key), text))

    def process_ended(self, key: bytes, number: int) -> DeliveryAttempts:
        """The process ended in the attempt of this number."""
        before = self._attempts.get(key)
        if before is not None and before.failed >= number:
            return before
        text = f"the process ended while it was delivered, in attempt {number}"
        return self._set(key, DeliveryAttempts(number, text))

    def _set(self, key: bytes, attempts: DeliveryAttempts) -> DeliveryAttempts:
        self._attempts[key] = attempts
        self._changed.add(key)
        if self.store_at is None:
            self.store_at = time.monotonic() + STORE_SECONDS
        return attempts

    def take_changes(self, leaving: Collection[bytes]) -> dict[bytes, bytes | None]:
        """The records that are to be written, but for those of effects that leave the outbox."""
        changed, self._changed, self.store_at = self._changed, set(), None
        return {
            self._keys.attempts_of(key): self._records.pack_attempts(self._attempts[key])
            for key in changed
            if key in self._attempts and key not in leaving
        }

    def not_stored(self, keys: Iterable[bytes]) -> None:
        """The records of these could not be written: they are to be, later."""
        self._changed.update(key for key in keys if key in self._attempts)
        if self._changed and self.store_at is None:
            self.store_at = time.monotonic() + STORE_SECONDS

    def removals(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """The records to remove when these leave the outbox."""
        return {self._keys.attempts_of(key): None for key in keys if key in self._attempts}

    def forget(self, key: bytes) -> None:
        """It has left the outbox."""
        self._attempts.pop(key, None)
