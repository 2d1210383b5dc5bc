"""Events that an operator has a model skip: noted in the log, and so the same for every replica and rebuild.

The notes are the truth; what is in memory is read by the replicas' threads and replaced by callers'. A skip
that is taken back is counted in a note too, so that builds from before are known to lack its event.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgpack

from actors.replication.committed_log import CommittedLog
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader
from storage.log.notes import Note

__all__ = ["SkippedEvent", "SkippedEvents", "read_skips", "skip_note", "unskip_notes"]

PREFIX = b"skip/"
UNSKIPS = b"unskips/"


class SkippedEvent(NamedTuple):
    """An event that a model does not get: where, why and since when."""

    model: str
    position: int
    reason: str
    time: datetime


class SkippedEvents:
    """The skipped positions by model. Any thread reads; a caller that has written the note changes it."""

    def __init__(self, skipped: Mapping[str, frozenset[int]] | None = None) -> None:
        self._positions = dict(skipped or {})
        self._changing = threading.Lock()
        self.unskips: Mapping[str, int] = {}
        """How many skips of a model were taken back, by its name; replaced, never changed."""

    @classmethod
    def read(cls, log: LogReader) -> SkippedEvents:
        """Those that are noted in the log."""
        skips = cls()
        skips.read_again(log)
        return skips

    def read_again(self, log: LogReader) -> bool:
        """Take over what another process has noted in the log since; whether there was anything new."""
        positions: dict[str, frozenset[int]] = {}
        for one in read_skips(log):
            positions[one.model] = positions.get(one.model, frozenset()) | {one.position}
        unskips = _read_unskips(log)
        with self._changing:
            new = (positions, unskips) != (self._positions, self.unskips)
            self._positions, self.unskips = positions, unskips
        return new

    def __len__(self) -> int:
        return sum(map(len, self._positions.values()))

    def of(self, model: str) -> frozenset[int]:
        """The positions that this model skips, whatever its version."""
        return self._positions.get(model, frozenset())

    def changes_of(self, log: CommittedLog, model: str) -> int:
        """Rises with each correction of an event that the model handles, and each skip that is taken back.

        What was filled when it was lower lacks the change.
        """
        return log.last_correction_of(model) + self.unskips.get(model, 0)

    def add(self, model: str, position: int) -> None:
        """From now on the model skips this position."""
        with self._changing:
            self._positions[model] = self.of(model) | {position}

    def remove(self, model: str, position: int) -> None:
        """From now on the model does not skip this position: the skip was taken back."""
        with self._changing:
            self._positions[model] = self.of(model) - {position}
            self.unskips = {**self.unskips, model: self.unskips.get(model, 0) + 1}


def skip_note(model: str, position: int, reason: str) -> tuple[bytes, bytes]:
    """The note of a skip, as key and value."""
    value = {"reason": reason, "time": _now_us()}
    return _key(model, position), msgpack.packb(value)


def unskip_notes(model: str, position: int, count: int) -> list[Note]:
    """The notes that take a skip back, which is the `count`-th time for this model."""
    value = {"count": count, "position": position, "time": _now_us()}
    return [(_key(model, position), None), (UNSKIPS + model.encode(), msgpack.packb(value))]


def _key(model: str, position: int) -> bytes:
    return PREFIX + f"{model}/{position:020}".encode()


def _now_us() -> int:
    return int(datetime.now(UTC).timestamp() * 1e6)


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


def _read_unskips(log: LogReader) -> dict[str, int]:
    found = {}
    for key, raw in log.notes(UNSKIPS):
        with damaged_records(f"the note {key!r} of skips taken back, in the log,", "restore a backup"):
            found[key[len(UNSKIPS) :].decode()] = int(msgpack.unpackb(raw)["count"])
    return found
