"""Events of the log as they were read, and how one is decoded. Pure; any thread.

Who applies a hundred thousand events goes through them one after another: made beforehand they would all be in memory
at once, and Python's collector would walk them again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from storage.codec import Codec
from storage.errors import CodecError, DamagedStore, StorageError
from storage.records import RecordedEvent, Undecodable, envelope_of

__all__ = ["StoredEvents", "decode_event"]

_FIELDS = 11  # of a stored event, before the origin of its command


def decode_event(codec: Codec, position: int, data: bytes) -> RecordedEvent:
    """Return the event stored at a position. Raises UnknownType or CodecError, with a note of the position."""
    try:
        record = codec.unpack(data)
        if len(record) > _FIELDS:
            # What the indexes are to know of its command. A star below would cost more than this.
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
        return RecordedEvent(
            position,
            stream,
            version,
            codec.build(type_name, fields),
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
        error.add_note(_at(position))
        raise
    except Exception as error:
        try:
            codec.decode(data)
        except CodecError as of_values:
            of_values.add_note(_at(position))
            raise
        raise DamagedStore(
            f"the record at position {position} is no event ({error}); restore a backup"
        ) from error


def _at(position: int) -> str:
    return f"in the event at position {position}"


def decode_event_or_why(codec: Codec, position: int, data: bytes) -> RecordedEvent:
    """As `decode_event`, but an event that can't be decoded is an `Undecodable`; its metadata is left out."""
    try:
        return decode_event(codec, position, data)
    except CodecError as error:
        try:
            stream, version, type_name, _, time_us, command_id, *_ = envelope_of(data)
        except Exception:
            raise error from None
        return RecordedEvent(position, stream, version, Undecodable(error), type_name, time_us, command_id)


class StoredEvents(Sequence[RecordedEvent]):
    """Consecutive events from their stored bytes. An event that can't be decoded is an `Undecodable` in its place.

    Looking at one decodes it, again each time. It raises StorageError for a record that is no event at all, and not
    as DamagedStore: who applies events would look for the damage in the tables.
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
        codec = self._codec
        position = self.after
        for data in self._values:
            position += 1
            try:
                recorded = decode_event(codec, position, data)
            except CodecError:
                recorded = decode_event_or_why(codec, position, data)
            except DamagedStore as error:
                raise StorageError(str(error)) from None
            yield recorded

    @overload
    def __getitem__(self, place: int) -> RecordedEvent: ...
    @overload
    def __getitem__(self, place: slice) -> StoredEvents: ...
    def __getitem__(self, place: int | slice) -> RecordedEvent | StoredEvents:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError(f"events of the log come one after another, not with a step of {step}")
            return StoredEvents(self._codec, self.after + start, self._values[start:stop])
        at = range(len(self))[place]
        return next(iter(StoredEvents(self._codec, self.after + at, self._values[at : at + 1])))
