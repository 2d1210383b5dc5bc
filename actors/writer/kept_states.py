"""States of open streams whose earlier events were removed with an archive, kept as notes of the log.

Snapshots are copies that can be made again, so backups and exports do not have them. Of such a stream
nothing could make the state again: it is kept under `kept/` and the stream's name, as a snapshot is stored.
The thread that writes to the log, or reads it, calls these functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any, Protocol

from storage import CodecError, EventLog
from storage.codec.codec import Codec
from storage.log.log_reader import LogReader
from storage.log.records import fingerprint_of, name_key

__all__ = ["KEPT", "drop_kept_states", "keep_states", "kept_state", "kept_streams"]

KEPT = b"kept/"


class Notes(Protocol):
    """What has the notes: a log, or a test kit's list."""

    def note(self, key: bytes) -> bytes | None: ...


def keep_states(log: EventLog, streams: Iterable[str], codec: Codec) -> None:
    """Keep the states of streams as their snapshots have them, for when there are no snapshots.

    Raises as `EventLog.append`.
    """
    found = [(stream, log.snapshot(stream)) for stream in streams]
    notes = [(_key(stream), codec.sealed.pack(list(one))) for stream, one in found if one is not None]
    if notes:
        log.append([], notes=notes)


def kept_state(notes: Notes, stream: str, codec: Codec, classes: Collection[type]) -> tuple[int, Any] | None:
    """The version and state that were kept of a stream; None if there is none that is of these classes."""
    data = notes.note(_key(stream))
    if data is None:
        return None
    with suppress(CodecError, ValueError, TypeError):
        version, _, state = codec.decode(data)
        if type(state) in classes:
            return version, state
    return None


def kept_streams(log: LogReader, but: Collection[str]) -> list[str]:
    """The streams of which a state is kept, but for those of states with one of these fingerprints."""
    return [key[len(KEPT) :].decode() for key, value in log.notes(KEPT) if fingerprint_of(value) not in but]


def drop_kept_states(log: EventLog, streams: Iterable[str]) -> None:
    """Delete what is kept of these streams. Raises as `EventLog.append`."""
    notes = [(_key(stream), None) for stream in streams]
    if notes:
        log.append([], notes=notes)


def _key(stream: str) -> bytes:
    return KEPT + name_key("stream", stream)
