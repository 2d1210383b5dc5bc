"""A batch, ready for the log: everything is encoded, checked and sorted before a transaction begins.

Pure; runs in the writing thread. Mistakes in a batch are found here, while nothing is locked yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage.codec.codec import Codec
from storage.errors import OutOfOrder
from storage.log.checksums import event_link, sealed_events, sealed_records
from storage.log.notes import Note, checked_notes
from storage.log.records import (
    U64,
    WITH_ORIGIN,
    CommandRecord,
    Origin,
    RecordedEvent,
    command_packer,
    encode_event,
    name_key,
    origin_of,
)

AggregateSnapshot = tuple[str, int, str, object]
"""An aggregate's state as it is stored: stream, version, fingerprint of the code that folded it, state."""

Items = list[tuple[bytes, bytes]]


class Batch:
    """The entries of one transaction, by database, each sorted by key.

    `commands` are those whose records are not in an event of the batch. `commands_in_events` are the others:
    their records are read back from the events. `events` and `snapshots` are as they are stored, with their
    checksums. `digest` is the chain's after the events, `last` the bytes of the last event by itself.
    """

    __slots__ = (
        "commands",
        "digest",
        "events",
        "first_versions",
        "last",
        "last_versions",
        "notes",
        "snapshots",
        "_repeated_ids",
        "streams",
        "tags",
        "commands_in_events",
    )

    def __init__(
        self,
        codec: Codec,
        head: int,
        events: Sequence[RecordedEvent],
        commands: Sequence[CommandRecord],
        snapshots: Sequence[AggregateSnapshot],
        encoded: Sequence[bytes] | None,
        notes: Iterable[Note] = (),
        chain: bytes = b"",
        *,
        repeated_ids: bool = False,
    ) -> None:
        """`head` is the log's last position, and `chain` the digest of its chain there.

        With `repeated_ids` a command id may be twice in the batch: it is that of the later command then.
        """
        self._repeated_ids = repeated_ids
        if encoded is not None and len(encoded) != len(events):
            raise OutOfOrder(f"{len(events)} events came with {len(encoded)} encodings; give one for each")
        self.first_versions: dict[bytes, int] = {}
        self.last_versions: dict[bytes, int] = {}
        self.events: Items = []
        self.streams: Items = []
        self.tags: Items = []
        self.commands: Items = []
        self.digest = chain
        self.last = b""
        self.commands_in_events: dict[bytes, bytes] = {}
        origins = self._add_commands(head, events, commands, encoded)
        self._add_events(codec, head, events, encoded, origins)
        # Unlike a message, a state grows with its stream: a limit here would stop the stream for good.
        self.snapshots: Items = []
        if snapshots:
            states = [
                (name_key("stream", stream), codec.pack([version, fingerprint, state]))
                for stream, version, fingerprint, state in snapshots
            ]
            self.snapshots = sealed_records("snapshots", sorted(states))
        self.notes = checked_notes(notes)

    def sealed_commands(self) -> Items:
        """The command records that are in no event, as they are stored."""
        return sealed_records("commands", self.commands) if self.commands else self.commands

    def _add_commands(
        self,
        head: int,
        events: Sequence[RecordedEvent],
        commands: Sequence[CommandRecord],
        encoded: Sequence[bytes] | None,
    ) -> dict[int, Origin]:
        """Sort the commands; return the origins of those in events, by the position of the first event."""
        origins: dict[int, Origin] = {}
        in_events, pack, number = self.commands_in_events, command_packer(), len(events)
        for record in commands:
            command_id, first, count = record.command_id, record.first, record.count
            key = name_key("command id", command_id)
            packed = pack((first, count, record.digest, record.stream, record.version))
            start = first - head - 1  # in the batch, from 0
            after = start + count
            last = events[after - 1] if count > 0 and start >= 0 and after <= number else None
            # Read again, a command begins with its origin, and extends over all following events with its id.
            if (
                last is None
                or last.command_id != command_id
                or (count > 1 and any(event.command_id != command_id for event in events[start:after]))
                or (encoded is not None and not encoded[start].startswith(WITH_ORIGIN))
                or (after < number and events[after].command_id == command_id)
            ):
                self.commands.append((key, packed))
                continue
            if key in in_events and not self._repeated_ids:
                raise OutOfOrder(f"command id {command_id!r} is twice in the batch")
            in_events[key] = packed
            if encoded is None:
                origins[first] = origin_of(record, last)
        self.commands.sort()
        if not in_events.keys().isdisjoint(dict(self.commands)):
            raise OutOfOrder("a command id is twice in the batch")
        return origins

    def _add_events(
        self,
        codec: Codec,
        head: int,
        events: Sequence[RecordedEvent],
        encoded: Sequence[bytes] | None,
        origins: dict[int, Origin],
    ) -> None:
        pack_u64 = U64.pack
        positions = range(head + 1, head + 1 + len(events))
        for recorded, position in zip(events, positions, strict=True):
            if recorded.position != position:
                raise OutOfOrder(
                    f"event at position {recorded.position}, where the log continues with {position}"
                )
        packed_positions = list(map(pack_u64, positions))
        prefixes: dict[str, bytes] = {}
        versions: dict[str, int] = {}
        streams = self.streams
        for recorded, at in zip(events, packed_positions, strict=True):
            stream, version = recorded.stream, recorded.version
            if stream in versions:
                if version != versions[stream] + 1:
                    raise _version_gap(stream, version, versions[stream])
                prefix = prefixes[stream]
            else:
                if version < 1:
                    raise OutOfOrder(f"version {version} of stream {stream!r}; versions begin with 1")
                prefix = prefixes[stream] = name_key("stream", stream) + b"\0"
                self.first_versions[prefix] = version
            versions[stream] = version
            streams.append((prefix + pack_u64(version), at))
            for tag in recorded.tags:
                self.tags.append((name_key("tag", tag) + b"\0" + at, b""))
        if encoded is None:
            encoded = [encode_event(codec, event, origins.get(event.position)) for event in events]
        if events:
            self.last = encoded[-1]
            self.digest = event_link(self.digest, head + len(events), encoded)
            sealed = sealed_events(head + 1, encoded, self.digest)
            self.events = list(zip(packed_positions, sealed, strict=True))
        self.last_versions = {prefixes[stream]: version for stream, version in versions.items()}
        self.tags = sorted(set(self.tags))


def _version_gap(stream: str, version: int, last: int) -> OutOfOrder:
    return OutOfOrder(f"version {version} of stream {stream!r}, which continues with {last + 1}")
