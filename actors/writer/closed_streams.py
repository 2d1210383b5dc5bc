"""The streams that an operator has closed, as notes of the log, and the check that keeps them so.

The notes are the truth. There may be millions of them, so what the writer needs is read one by one. Any
thread calls the functions; `ClosedStreams` is the writer's.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from actors.errors import StreamClosed
from storage import EventLog
from storage.codec.json_form import pack_stored, unpack_stored
from storage.files.damage import damaged_records
from storage.log.log_reader import LogReader
from storage.log.notes import Note
from storage.log.records import EPOCH, name_key

__all__ = [
    "ClosedStream",
    "ClosedStreams",
    "close_streams",
    "closed_by",
    "closed_stream",
    "closed_streams",
    "reopen_streams",
]

PREFIX = b"closed/"
REMEMBERED = 10_000
"""Streams of which is remembered whether they are closed."""
SHOWN = 10
"""Streams that the record of an operation names."""


@dataclass(frozen=True, slots=True)
class ClosedStream:
    """A stream that takes no events: `who` closed it, `why`, and when."""

    stream: str
    who: str
    why: str
    time: datetime


class ClosedStreams:
    """Answers whether a stream is closed, as of the last commit. The writer's thread."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._known: dict[str, ClosedStream | None] = {}
        self.any: bool | None = None
        """Whether any stream is closed; None until somebody has called `look`."""

    def clear(self) -> None:
        """Read the notes again: some may have changed."""
        self._known.clear()
        self.any = None

    def look(self) -> None:
        """Find out whether any stream is closed. Raises DamagedStore."""
        self.any = bool(self._log.notes(PREFIX, limit=1))

    def check(self, stream: str) -> None:
        """Raise `StreamClosed` if the stream is; DamagedStore."""
        known = self._known
        if stream not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            known[stream] = closed_stream(self._log, stream)
        found = known[stream]
        if found is not None:
            raise StreamClosed(found.stream, found.who, found.why, found.time)


def closed_stream(log: LogReader, stream: str) -> ClosedStream | None:
    """Who closed a stream; None if it is open. Raises InvalidKey, DamagedStore."""
    value = log.note(_key(stream))
    return None if value is None else _decoded(stream, value)


def closed_streams(log: LogReader, prefix: str, after: str, limit: int | None) -> list[ClosedStream]:
    """Those whose names begin with `prefix` and sort after `after`. Raises DamagedStore."""
    begin = PREFIX + prefix.encode("utf-8", "surrogatepass")
    beyond = PREFIX + after.encode("utf-8", "surrogatepass") if after else b""
    return [_decoded(key[len(PREFIX) :].decode(), value) for key, value in log.notes(begin, beyond, limit)]


def closed_by(key: bytes, value: bytes, operations: Collection[int]) -> bool:
    """Whether a note is that of a stream which was closed by an operation of one of these times. Raises
    DamagedStore."""
    return key.startswith(PREFIX) and _fields(key[len(PREFIX) :].decode(), value)[2] in operations


def close_streams(log: EventLog, streams: Collection[str], who: str, why: str) -> list[str]:
    """Close those that are open, in one recorded operation, and return them. Raises as `EventLog.correct`.

    The thread that writes to the log.
    """
    now_us = time.time_ns() // 1000
    value = pack_stored([who, why, now_us])
    opened = [one for one in streams if log.note(_key(one)) is None]
    _record(log, [(_key(one), value) for one in opened], who, why, f"closed: {_listed(opened)}", now_us)
    return opened


def reopen_streams(log: EventLog, streams: Collection[str], who: str, why: str) -> list[str]:
    """Open those that are closed; otherwise as `close_streams`."""
    closed = [one for one in streams if log.note(_key(one)) is not None]
    told = f"opened again: {_listed(closed)}"
    _record(log, [(_key(one), None) for one in closed], who, why, told, time.time_ns() // 1000)
    return closed


def _record(log: EventLog, notes: list[Note], who: str, why: str, told: str, time_us: int) -> None:
    if notes:
        log.record_notes(notes, who=who, why=f"{why}; {told}", time_us=time_us)


def _listed(streams: list[str]) -> str:
    more = f" and {len(streams) - SHOWN:,} more" if len(streams) > SHOWN else ""
    return f"{', '.join(streams[:SHOWN])}{more}"


def _key(stream: str) -> bytes:
    return PREFIX + name_key("stream", stream)


def _decoded(stream: str, value: bytes) -> ClosedStream:
    who, why, time_us = _fields(stream, value)
    return ClosedStream(stream, who, why, EPOCH + timedelta(microseconds=time_us))


def _fields(stream: str, value: bytes) -> tuple[str, str, int]:
    with damaged_records(f"the note that stream {stream!r} is closed, in the log,", "restore a backup"):
        who, why, time_us = unpack_stored(value)
        return who, why, time_us
