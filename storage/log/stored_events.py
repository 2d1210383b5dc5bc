"""Events of the log as they were read, and the decoding of one. Pure; any thread.

Code that applies a hundred thousand events goes through them one after another. If they were decoded in
advance, all would be in memory at the same time, and Python's garbage collector would visit them again and
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, overload

from storage.codec.codec import Codec
from storage.codec.upcasting import Read
from storage.errors import CodecError, DamagedStore, StorageError
from storage.log.archived_event import REMOVED_TYPE
from storage.log.record_filter import RecordFilter
from storage.log.records import DROPPED, RecordedEvent, RecordedPart, Undecodable, envelope_of

__all__ = [
    "CommittedEvents",
    "StoredEvents",
    "bounds",
    "decode_event",
    "decoded",
    "own_copy",
    "with_event",
    "without_dropped",
]

_TYPE, _CAUSATION, _METADATA = 2, 7, 10  # indexes in a stored event
_FIELDS = 11  # of a stored event, without the origin of its command


def decode_event(codec: Codec, position: int, data: bytes) -> RecordedEvent | list[RecordedEvent]:
    """Return the event stored at a position; a list if upcasters made several of it, or dropped it.

    Instead of a dropped event, the list has one that is `DROPPED`, so it is never empty. An event whose
    archive was removed is dropped, too. Raises UnknownType or CodecError, with a note of the position.
    """
    record: list[Any] = []
    try:
        record = codec.unpack(data)
        if len(record) > _FIELDS:
            # The origin, which is for the indexes. A star in the unpacking below would cost more than this.
            del record[_FIELDS:]
        (
            stream,
            version,
            type_name,
            fields,
            time_us,
            command_id,
            command,
            causation_id,
            correlation_id,
            tags,
            metadata,
        ) = record
        if type_name in codec.former:
            chain, at = codec.former[type_name]
            if at < chain.current:
                if codec.personal:
                    codec.unseal(type_name, fields)
                event = chain.read(at, fields)
                if event.__class__ is list:
                    return _several(codec, position, record, event or [Read(chain.name, DROPPED)])
            else:
                event = codec.build(type_name, fields)
            type_name = chain.name
        else:
            event = codec.build(type_name, fields)
        return RecordedEvent(
            position,
            stream,
            version,
            event,
            type_name,
            time_us,
            command_id,
            command,
            causation_id,
            correlation_id,
            tuple(tags) if tags else (),
            metadata,
        )
    except CodecError as error:
        if len(record) == _FIELDS and record[_TYPE] == REMOVED_TYPE:
            return _several(codec, position, record, [Read(REMOVED_TYPE, DROPPED)])
        error.add_note(_at(position))
        raise
    except Exception as error:
        try:
            codec.decode(data)
        except CodecError as of_values:
            of_values.add_note(_at(position))
            raise
        raise DamagedStore(
            f"the record at position {position} is not an event ({error}); restore a backup"
        ) from error


def _several(codec: Codec, position: int, record: list[Any], events: list[Read]) -> list[RecordedEvent]:
    """An event of the log as the events that upcasters made of it; all that is known of it is of each."""
    stream, version, _, _, time_us, command_id, command, causation_id, correlation_id, tags, metadata = record
    return [
        RecordedPart(
            part,
            len(events),
            position,
            stream,
            version,
            event,
            name,
            time_us,
            command_id,
            command,
            causation_id,
            correlation_id,
            tuple(tags) if tags else (),
            codec.own(metadata),
        )
        for part, (name, event) in enumerate(events)
    ]


def decoded(codec: Codec, records: Iterable[tuple[int, bytes]]) -> list[RecordedEvent]:
    """The events stored at these positions, as `decode_event` gives them, in one list."""
    events: list[RecordedEvent] = []
    for position, data in records:
        found = decode_event(codec, position, data)
        if isinstance(found, list):
            events += found
        else:
            events.append(found)
    return events


def without_dropped(events: list[RecordedEvent]) -> list[RecordedEvent]:
    """The events that upcasters did not drop."""
    return [recorded for recorded in events if recorded.event is not DROPPED]


def _at(position: int) -> str:
    return f"in the event at position {position}"


def decode_event_or_why(codec: Codec, position: int, data: bytes) -> RecordedEvent | list[RecordedEvent]:
    """As `decode_event`, but an event that cannot be decoded is an `Undecodable`, without its metadata.

    Its `type` is that of the class which it is stored for, without its schema version.
    """
    try:
        return decode_event(codec, position, data)
    except CodecError as error:
        try:
            items = envelope_of(data)
            stream, version, type_name, fields, time_us, command_id, command = items[:_CAUSATION]
            causation_id, correlation_id, tags = items[_CAUSATION:_METADATA]
            return RecordedEvent(
                position,
                stream,
                version,
                Undecodable(error, fields if isinstance(fields, dict) else {}),
                codec.base_name(type_name),
                time_us,
                command_id,
                command,
                causation_id,
                correlation_id,
                tuple(tags),
            )
        except Exception:
            raise error from None


class StoredEvents(Sequence[RecordedEvent]):
    """Consecutive events in stored bytes. An event that cannot be decoded is replaced by an `Undecodable`.

    Its length and its indexes count positions. Where upcasters made several events of one, iterating gives
    all of them, and an index the first; for one that they dropped, each gives one that is `DROPPED`.

    Each access decodes the event again. It raises StorageError for a record that is not an event at all, and
    not DamagedStore: code that applies events would look for damage in the tables.
    """

    __slots__ = ("_codec", "_values", "after")

    def __init__(self, codec: Codec, after: int, values: Sequence[bytes]) -> None:
        """`after` is the position before the first one."""
        self._codec = codec
        self._values = values
        self.after = after

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[RecordedEvent]:
        return self._decoded(enumerate(self._values, self.after + 1))

    def indexes(self, wanted: RecordFilter) -> Sequence[int]:
        """The indexes of the events that a filter wants; decodes none."""
        return wanted.indexes(self._values)

    def at(self, indexes: Iterable[int]) -> Iterator[RecordedEvent]:
        """As iterating, but only the events with these indexes; the others are not decoded."""
        values, first = self._values, self.after + 1
        return self._decoded((first + index, values[index]) for index in indexes)

    def _decoded(self, records: Iterable[tuple[int, bytes]]) -> Iterator[RecordedEvent]:
        codec = self._codec
        for position, data in records:
            try:
                recorded = decode_event(codec, position, data)
            except CodecError:
                recorded = decode_event_or_why(codec, position, data)
            except DamagedStore as error:
                raise StorageError(str(error)) from None
            if isinstance(recorded, list):
                yield from recorded
            else:
                yield recorded

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> StoredEvents: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | StoredEvents:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"events of the log come one after another, not with a step of {step}")
            return StoredEvents(self._codec, self.after + start, self._values[start:stop])
        at = range(len(self))[index]
        return next(iter(StoredEvents(self._codec, self.after + at, self._values[at : at + 1])))


class CommittedEvents(Sequence[RecordedEvent]):
    """Consecutive events as the writer made them. Each access to one that must not be shared gives a copy."""

    __slots__ = ("_codec", "_events")

    def __init__(self, codec: Codec, events: Sequence[RecordedEvent]) -> None:
        """`events` hold what decoding gave; no other code may change them."""
        self._codec = codec
        self._events = events

    @property
    def after(self) -> int:
        """The position before the first one."""
        return self._events[0].position - 1

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[RecordedEvent]:
        return map(partial(own_copy, self._codec), self._events)

    @overload
    def __getitem__(self, index: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> CommittedEvents: ...
    def __getitem__(self, index: int | slice) -> RecordedEvent | CommittedEvents:
        if isinstance(index, slice):
            return CommittedEvents(self._codec, self._events[index])
        return own_copy(self._codec, self._events[index])

    @staticmethod
    def joined(parts: Sequence[Sequence[RecordedEvent]]) -> Sequence[RecordedEvent]:
        """Consecutive parts as one sequence of events; each part is a list or a `CommittedEvents`."""
        if len(parts) == 1:
            return parts[0]
        events: list[RecordedEvent] = []
        codec: Codec | None = None
        for part in parts:
            if isinstance(part, CommittedEvents):
                codec = part._codec
                events += part._events
            else:
                events += part
        return events if codec is None else CommittedEvents(codec, events)


def bounds(events: Sequence[RecordedEvent]) -> tuple[int, int]:
    """The first and the last position of consecutive events, without decoding any."""
    if isinstance(events, StoredEvents | CommittedEvents):
        return events.after + 1, events.after + len(events)
    return events[0].position, events[-1].position


def own_copy(codec: Codec, recorded: RecordedEvent) -> RecordedEvent:
    """The event, or a copy of it if it, or its metadata, must not be shared. Raises what decoding raises."""
    event, metadata = recorded.event, recorded.metadata
    if metadata is None and codec.shareable(event):
        return recorded
    return with_event(recorded, codec.own(event), recorded.type, codec.own(metadata))


def with_event(
    recorded: RecordedEvent, event: Any, type_name: str, metadata: dict[str, Any] | None
) -> RecordedEvent:
    """A copy with another event, of this type, and other metadata; all else is that of `recorded`."""
    kind: Any = RecordedEvent
    if recorded.parts != 1:
        kind = partial(RecordedPart, recorded.part, recorded.parts)
    copy: RecordedEvent = kind(
        recorded.position,
        recorded.stream,
        recorded.version,
        event,
        type_name,
        recorded.time_us,
        recorded.command_id,
        recorded.command,
        recorded.causation_id,
        recorded.correlation_id,
        recorded.tags,
        metadata,
    )
    return copy
