"""When each instance that is set aside is retried. No thread; the caller gives the monotonic time.

There may be more than fit into memory, for example when a handler fails for all of them. Then those that
failed again make room for the others, which are read from the records in rounds. A round waits for a while
after the one before, unless a retry succeeded.
"""

from __future__ import annotations

from actors.kernel.backoff import backoff
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_keys import RecordKeys

__all__ = ["RetrySchedule"]

RETRY_FIRST, RETRY_LAST = 0.05, 60.0
MAX_SCHEDULED = 1_000
"""Instances that are in memory."""


class RetrySchedule:
    """Begins with all that is in the notes, at once."""

    def __init__(self, keys: RecordKeys, notes: NoteReader) -> None:
        self._prefix = keys.quarantines
        self._notes = notes
        self._due: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._after = b""
        self._rounds = 0
        self._round_at = 0.0

    def add(self, key: str, now: float) -> None:
        """An instance was set aside."""
        if len(self._due) < MAX_SCHEDULED:
            self._wait(key, 0, now)

    def failed(self, key: str, now: float, total: int) -> None:
        """It failed again; `total` are set aside."""
        if total > len(self._due):
            self.remove(key)
        else:
            self._wait(key, self._attempts.get(key, 0) + 1, now)

    def at_once(self, key: str, now: float) -> None:
        """An operator asks for it."""
        self._attempts[key] = 0
        self._due[key] = now

    def succeeded(self, key: str, now: float) -> None:
        """It got past what it failed on: the others may do so too."""
        self.at_once(key, now)
        self._rounds, self._round_at = 0, now

    def remove(self, key: str) -> None:
        """It is not set aside any more, or leaves memory."""
        self._due.pop(key, None)
        self._attempts.pop(key, None)

    def take(self, now: float, limit: int, total: int) -> list[str]:
        """Up to `limit` that are due. The outcome of each must be reported, else it stays due."""
        if total > len(self._due) and now >= self._round_at:
            self._load(now)
        return [key for key, due in self._due.items() if due <= now][:limit]

    def next_due(self, total: int) -> float | None:
        """When there may be something to take, None for never."""
        dues = list(self._due.values())
        if total > len(dues) and len(dues) < MAX_SCHEDULED:
            dues.append(self._round_at)
        return min(dues, default=None)

    def _wait(self, key: str, attempts: int, now: float) -> None:
        self._attempts[key] = attempts
        self._due[key] = now + backoff(RETRY_FIRST, RETRY_LAST, attempts)

    def _load(self, now: float) -> None:
        room = MAX_SCHEDULED - len(self._due)
        found = self._notes.notes(self._prefix, self._after, room) if room > 0 else []
        for note, _ in found:
            key = note[len(self._prefix) :].decode("utf-8", "surrogatepass")
            if key not in self._due:
                self._attempts[key] = self._rounds
                self._due[key] = now
            self._after = note
        if len(found) < room:
            self._after = b""
            self._rounds += 1
            self._round_at = now + backoff(RETRY_FIRST, RETRY_LAST, self._rounds)
