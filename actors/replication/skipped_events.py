"""Events that an operator has a model skip: noted in the log, and so the same for every replica and rebuild.

The notes are the truth; what is in memory is read by the replicas' threads and replaced by callers'.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgpack

from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader

__all__ = ["SkippedEvent", "SkippedEvents", "skip_note"]

PREFIX = b"skip/"


class SkippedEvent(NamedTuple):
    """An event that a model does not get: where, why and since when."""

    model: str
    position: int
    reason: str
    time: datetime


class SkippedEvents:
    """The skipped positions by model. Any thread reads; a caller that has written the note adds."""

    def __init__(self, skipped: Mapping[str, frozenset[int]] | None = None) -> None:
        self._positions = dict(skipped or {})
        self._adding = threading.Lock()

    @classmethod
    def read(cls, log: LogReader) -> SkippedEvents:
        """Those that are noted in the log."""
        skips = cls()
        for one in read_skips(log):
            skips.add(one.model, one.position)
        return skips

    def read_again(self, log: LogReader) -> bool:
        """Add what another process has noted in the log since; whether there was anything new."""
        known = len(self)
        for one in read_skips(log):
            self.add(one.model, one.position)
        return len(self) > known

    def __len__(self) -> int:
        return sum(map(len, self._positions.values()))

    def of(self, model: str) -> frozenset[int]:
        """The positions that this model skips, whatever its version."""
        return self._positions.get(model, frozenset())

    def add(self, model: str, position: int) -> None:
        """From now on the model skips this position."""
        with self._adding:
            self._positions[model] = self.of(model) | {position}


def skip_note(model: str, position: int, reason: str) -> tuple[bytes, bytes]:
    """The note of a skip, as key and value."""
    value = {"reason": reason, "time": int(datetime.now(UTC).timestamp() * 1e6)}
    return PREFIX + f"{model}/{position:020}".encode(), msgpack.packb(value)


def read_skips(log: LogReader) -> list[SkippedEvent]:
    """Every skip in the log, by model and position."""
    found = []
    for key, raw in log.notes(PREFIX):
        with damaged_records(f"the note {key!r} of a skip, in the log,", "restore a backup"):
            model, _, position = key[len(PREFIX) :].decode().rpartition("/")
            value = msgpack.unpackb(raw)
            time = datetime.fromtimestamp(value["time"] / 1e6, UTC)
            found.append(SkippedEvent(model, int(position), value["reason"], time))
    return found
