"""What an operator is shown of the instances that are set record. Any thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from storage.log.records import EPOCH

__all__ = ["QuarantinedInstance", "quarantined_instances"]

COUNTED = 1_000
"""Inputs that are counted at most, of those that wait for one instance."""


@dataclass(frozen=True, slots=True)
class QuarantinedInstance:
    """An instance that is set aside at the input `id`, which `stopped_at` describes, with the error.

    `waiting` inputs are held for it, including that one; from 1,000 on they are not counted. `error` is empty
    while they are being handled. A key that is too long to be one is shortened, with a digest.
    """

    key: str
    id: str
    stopped_at: str
    error: str
    traceback: str
    since: datetime
    waiting: int

    @property
    def text(self) -> str:
        """Which one, where and why, in one line."""
        why = self.error.splitlines()[0] if self.error else "what waited is being handled"
        return f"{self.key!r} at {self.stopped_at}: {why}" if self.stopped_at else f"{self.key!r}: {why}"


def quarantined_instances(
    notes: NoteReader, keys: RecordKeys, records: RecordCodec, limit: int, after: str
) -> list[QuarantinedInstance]:
    """Those after a key, in the order of the keys."""
    found = []
    start = keys.quarantine(after) if after else b""
    for note, value in notes.notes(keys.quarantines, start, limit):
        key = note[len(keys.quarantines) :].decode("utf-8", "surrogatepass")
        record = records.quarantine(value)
        found.append(
            QuarantinedInstance(
                key,
                record.id,
                record.what,
                record.error,
                record.traceback,
                EPOCH + timedelta(microseconds=record.since_us),
                len(notes.notes(keys.held_of(key), limit=COUNTED)),
            )
        )
    return found
