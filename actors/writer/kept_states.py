"""States of open streams whose earlier events were removed with an archive, kept as notes of the log.

Snapshots are copies that can be made again, so backups and exports do not have them. Of such a stream
nothing could make the state again: it is kept under `kept/` and the stream's name, as a snapshot is stored,
with the ids of keys. The thread that writes to the log, or reads it, calls these functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

from msgpack import Unpacker

from storage import CodecError, EventLog
from storage.codec.codec import Codec
from storage.codec.personal_fields import Sealer
from storage.codec.stored_seals import StoredSeals
from storage.crypto.key_store import ID_BYTES
from storage.log.event_log import DESTROYED_KEYS
from storage.log.log_reader import LogReader
from storage.log.records import envelope_of, fingerprint_of, name_key

__all__ = ["KEPT", "drop_kept_states", "keep_states", "kept_state", "kept_streams", "keys_in_streams"]

KEPT = b"kept/"
ITEMS = 4
"""Of a note: version, fingerprint, state, and the ids of keys."""


class KnownKeys(NamedTuple):
    """The ids of the keys with which the events of a stream up to a version are sealed."""

    version: int
    ids: set[bytes]


StreamKeys = Mapping[str, KnownKeys]


class Notes(Protocol):
    """What has the notes: a log, or a test kit's list."""

    def note(self, key: bytes) -> bytes | None: ...


def keys_in_streams(log: LogReader, streams: Iterable[str], codec: Codec) -> StreamKeys:
    """Which keys of people the events of streams are sealed with. Any thread; raises ArchiveUnavailable."""
    return {stream: _keys(log, stream, 0, log.stream_version(stream), codec) for stream in streams}


def keep_states(log: EventLog, streams: StreamKeys, codec: Codec) -> None:
    """Keep the states of streams as their snapshots have them, for when there are no snapshots.

    With each are the ids of the keys with which the events before it were sealed, so that it is known whether
    somebody who is forgotten was in it. Raises as `EventLog.append`.
    """
    notes = []
    for stream, known in streams.items():
        snapshot = log.snapshot(stream)
        if snapshot is not None:
            ids = known.ids | _keys(log, stream, known.version, snapshot[0], codec).ids
            before = log.note(_key(stream))
            ids |= set() if before is None else set(_ids(before) or ())
            notes.append((_key(stream), codec.sealed.pack([*snapshot, sorted(ids)])))
    if notes:
        log.append([], notes=notes)


def _keys(log: LogReader, stream: str, after: int, through: int, codec: Codec) -> KnownKeys:
    """The keys of the events of some versions of a stream; those that were removed are left out."""
    found = _SeenKeys(codec)
    if codec.sealer is not None and through > after:
        seals = StoredSeals(codec, cast(Sealer, found))
        for position in log.positions_in_stream(stream, after, through - after):
            for data in log.records(position - 1, 1):
                items = envelope_of(data)
                if isinstance(items[3], dict):
                    seals.opened(items[2], items[3])
    return KnownKeys(through, found.ids)


class _SeenKeys:
    """A sealer that only opens, and remembers the ids of keys, also of what was sealed within."""

    def __init__(self, codec: Codec) -> None:
        self._sealer = codec.sealer
        self.ids: set[bytes] = set()

    def unseal(self, place: bytes, body: bytes) -> bytes | None:
        self.ids.add(body[:ID_BYTES])
        return None if self._sealer is None else self._sealer.unseal(place, body)


def _ids(value: bytes) -> list[bytes] | None:
    """The ids of keys in a note; None if it has none."""
    unpacker = Unpacker(read_size=len(value), max_buffer_size=len(value))
    unpacker.feed(value)
    if unpacker.read_array_header() < ITEMS:
        return None
    for _ in range(ITEMS - 1):
        unpacker.skip()
    ids: list[bytes] = unpacker.unpack()
    return ids


def _has_forgotten(log: LogReader, value: bytes) -> bool:
    """Whether somebody who was forgotten may be in a kept state."""
    ids = _ids(value)
    return ids is None or any(log.note(DESTROYED_KEYS + id.hex().encode()) is not None for id in ids)


def kept_state(notes: Notes, stream: str, codec: Codec, classes: Collection[type]) -> tuple[int, Any] | None:
    """The version and state that were kept of a stream; None if there is none that is of these classes."""
    data = notes.note(_key(stream))
    if data is None:
        return None
    with suppress(CodecError, ValueError, TypeError):
        version, _, state, *_ = codec.decode(data)
        if type(state) in classes:
            return version, state
    return None


def kept_streams(log: LogReader, but: Collection[str]) -> list[str]:
    """The streams of which a state is kept that may have somebody who was forgotten, but for those of states
    with one of these fingerprints."""
    return [
        key[len(KEPT) :].decode()
        for key, value in log.notes(KEPT)
        if fingerprint_of(value) not in but and _has_forgotten(log, value)
    ]


def drop_kept_states(log: EventLog, streams: Iterable[str]) -> None:
    """Delete what is kept of these streams, if it may have somebody who was forgotten. Raises as
    `EventLog.append`."""
    kept = [(key, log.note(key)) for key in map(_key, streams)]
    notes = [(key, None) for key, value in kept if value is not None and _has_forgotten(log, value)]
    if notes:
        log.append([], notes=notes)


def _key(stream: str) -> bytes:
    return KEPT + name_key("stream", stream)
