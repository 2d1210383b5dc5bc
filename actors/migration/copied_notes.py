"""The notes of a copy: what consumers, managers and operators left in the original. The copier's thread."""

from __future__ import annotations

from collections.abc import Iterator

from actors.errors import CopyFailed
from actors.migration.copied_streams import CopiedStreams
from actors.migration.moved_positions import MovedPositions
from actors.migration.note_kinds import StoredNote, kind_of
from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.group_keys import backlog_key
from actors.subscriptions.group_state import decode_backlog, encode_backlog
from actors.writer.kept_states import KEPT
from storage.log.log_reader import LogReader

__all__ = ["copied_notes", "names_in_ids", "require_known_notes"]

CHUNK = 1_000


def require_known_notes(source: LogReader) -> None:
    """Raise CopyFailed for a note that may hold positions which nobody knows to move, and for a state that is
    kept of a stream whose events were removed."""
    for key, _ in _notes(source):
        if key.startswith(KEPT):
            raise CopyFailed(
                f"events of stream {key[len(KEPT) :].decode()!r} were removed with their archive, and its "
                "state is kept as it was: a copy through a function would fold another one from what is "
                "left; restore a backup, or export and import the store, in place of copying it"
            )
        if kind_of(key) is None:
            raise CopyFailed(
                f"the store has a note {key[:80]!r} of a kind that this version can't copy, as it may hold "
                "positions; copy it with the version that wrote it, or delete the note"
            )


def names_in_ids(source: LogReader) -> dict[str, str]:
    """The names in the ids of process managers that were renamed."""
    found = ((key.split(b"/"), value) for key, value in source.notes(b"pm/") if key.endswith(b"/ids"))
    return {parts[1].decode(): value.decode() for parts, value in found if len(parts) == 3}


def copied_notes(
    source: LogReader, log: LogReader, moved: MovedPositions, streams: CopiedStreams
) -> Iterator[StoredNote]:
    """The notes to write. Raises CopyFailed for a parked stream that is merged with another one."""
    for key, value in _notes(source):
        kind = kind_of(key)
        if kind is not None and kind.move is not None:
            yield from kind.move(moved, key, value)
        else:
            yield from _backlog(source, log, moved, streams, key, value)


def _notes(source: LogReader) -> Iterator[StoredNote]:
    after = b""
    while found := source.notes(b"", after, CHUNK):
        yield from found
        after = found[-1][0]


def _backlog(
    source: LogReader,
    log: LogReader,
    moved: MovedPositions,
    streams: CopiedStreams,
    key: bytes,
    value: bytes,
) -> Iterator[StoredNote]:
    """`sub/NAME/behind/STREAM`: the stream waits in the copy wherever its events from there on are."""
    _, name, _, stream_name = (part.decode() for part in key.split(b"/", 3))
    backlog = decode_backlog(name, value)
    waiting: dict[str, StreamBacklog] = {}
    for position in source.positions_in_stream(stream_name, backlog.version - 1):
        for event in moved.events(position):
            stream, version = streams.event(event)
            if stream not in waiting:
                attempts = 0 if waiting else backlog.attempts
                waiting[stream] = StreamBacklog(event, version, backlog.reason, attempts, backlog.replaying)
    for stream, one in waiting.items():
        _require_unmixed(source, log, moved, name, stream_name, stream, one)
        yield backlog_key(name, stream), encode_backlog(one)


def _require_unmixed(
    source: LogReader,
    log: LogReader,
    moved: MovedPositions,
    name: str,
    parked: str,
    stream: str,
    backlog: StreamBacklog,
) -> None:
    """A stream is replayed from one event on: events of others among them would be delivered again."""
    own = set(source.positions_in_stream(parked))
    for event in log.positions_in_stream(stream, backlog.version - 1):
        if moved.mapping.original(event) not in own:
            raise CopyFailed(
                f"consumer {name!r} has parked stream {parked!r}, and in the copy its events are in stream "
                f"{stream!r}, among those of another one: a replay would deliver these again; replay the "
                "parked stream first, or delete the consumer"
            )
