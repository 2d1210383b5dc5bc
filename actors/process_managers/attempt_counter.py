"""How often the effects of one manager failed, in memory and in notes. The outbox's thread."""

from __future__ import annotations

import time
import traceback
from collections.abc import Collection, Iterable

from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import DeliveryAttempts, NoteReader, RecordKeys

__all__ = ["AttemptCounter"]

STORE_SECONDS = 1.0
"""Seconds in which failed attempts are gathered, to be stored together: a crash forgets no others."""


class AttemptCounter:
    """Of the effects that are tried again; `note_at` is when some are to be stored, a monotonic time, None for never."""

    def __init__(self, tried: dict[bytes, DeliveryAttempts], keys: RecordKeys, values: RecordCodec) -> None:
        """`tried`, by the effects' keys, outlives the actor, and is read by other threads."""
        self._tried = tried
        self._keys = keys
        self._values = values
        self._changed: set[bytes] = set()
        self.note_at: float | None = None

    def load(self, notes: NoteReader) -> None:
        """Go on from what is stored, unless more is known."""
        for key, value in notes.notes(self._keys.tried):
            self._tried.setdefault(self._keys.due + key[len(self._keys.tried) :], self._values.tried(value))

    def failed(self, key: bytes, error: BaseException) -> DeliveryAttempts:
        """Count one."""
        attempts = self.number(key)
        # Messages of errors may name files whose names are no UTF-8.
        text = "".join(traceback.format_exception(error)).encode(errors="backslashreplace").decode()
        return self._set(key, DeliveryAttempts(attempts, text))

    def number(self, key: bytes) -> int:
        """Which attempt the next one is, from 1. Any thread."""
        before = self._tried.get(key)
        return 1 if before is None else before.attempts + 1

    def ended(self, key: bytes, attempts: int) -> DeliveryAttempts:
        """The process ended in this attempt."""
        before = self._tried.get(key)
        if before is not None and before.attempts >= attempts:
            return before
        return self._set(
            key,
            DeliveryAttempts(attempts, f"the process ended while it was delivered, in attempt {attempts}"),
        )

    def _set(self, key: bytes, tried: DeliveryAttempts) -> DeliveryAttempts:
        self._tried[key] = tried
        self._changed.add(key)
        if self.note_at is None:
            self.note_at = time.monotonic() + STORE_SECONDS
        return tried

    def to_note(self, leaving: Collection[bytes]) -> dict[bytes, bytes | None]:
        """The notes that are to be written, but for those of effects that leave the outbox."""
        changed, self._changed, self.note_at = self._changed, set(), None
        return {
            self._keys.tried_of(key): self._values.pack_tried(self._tried[key])
            for key in changed
            if key in self._tried and key not in leaving
        }

    def not_noted(self, keys: Iterable[bytes]) -> None:
        """The notes of these could not be written: they are to be, later."""
        self._changed.update(key for key in keys if key in self._tried)
        if self._changed and self.note_at is None:
            self.note_at = time.monotonic() + STORE_SECONDS

    def forgetting(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """The notes to write when these leave the outbox."""
        return {self._keys.tried_of(key): None for key in keys if key in self._tried}

    def forget(self, key: bytes) -> None:
        """It has left the outbox."""
        self._tried.pop(key, None)
