"""An event on its way from one log to another, as a function sees it. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from storage.codec.json_form import pack_stored, unpack_stored
from storage.codec.plain_values import StoredSeal, from_plain, to_plain
from storage.codec.stored_seals import StoredSeals
from storage.errors import UnencodableValue
from storage.log.records import EPOCH, RecordedEvent, name_key
from storage.value_text import short_repr

__all__ = ["CopiedEvent", "OriginalEvent", "recorded_of"]

_MICROSECOND = timedelta(microseconds=1)
_TYPE, _FIELDS, _METADATA = 2, 3, 10


@dataclass(slots=True)
class CopiedEvent:
    """An event as it is stored. A function may change all but `position` and `command_id`.

    `type` is the stored name, with its version if it has one. `fields` and `metadata` have plain values, with
    a `StoredValue` for each value of a class, a `StoredEnum` for each member of an enum and a `StoredSeal`
    for an encrypted value. `position` is
    that in the original.
    """

    position: int
    stream: str
    type: str
    fields: dict[str, Any]
    time: datetime
    command_id: str
    command: str | None
    causation_id: str | None
    correlation_id: str | None
    tags: tuple[str, ...]
    metadata: dict[str, Any] | None

    def replace(self, **changes: Any) -> Self:
        """A copy with other values, which shares nothing with this one."""
        return replace(deepcopy(self), **changes)


class OriginalEvent:
    """A stored event of the original, and what a function makes of it as stored events of the copy."""

    __slots__ = (
        "_fields",
        "_metadata",
        "_record",
        "_seals",
        "event",
        "origin",
        "position",
        "stream",
        "version",
    )

    def __init__(self, position: int, data: bytes, seals: StoredSeals | None = None) -> None:
        """With `seals`, a function sees what personal fields hold, and those of its events are sealed.

        Raises whatever msgpack or Python raises if the bytes are not an event."""
        record: list[Any] = unpack_stored(data)
        self._record = record
        self.position = position
        # The function may change those of the event.
        self.stream: str = record[0]
        stream, self.version, type_name, fields, time_us, command_id, command, cause, correlation = record[:9]
        tags, metadata, *origin = record[9:]
        self.origin = origin[0] if origin else None
        self._seals = seals
        if seals is not None:
            fields = seals.opened(type_name, fields)
        self._fields = pack_stored(from_plain(to_plain(fields)))
        self._metadata = pack_stored(from_plain(to_plain(metadata)))
        time = EPOCH + timedelta(microseconds=time_us)
        self.event = CopiedEvent(
            position, stream, type_name, to_plain(fields), time, command_id, command, cause, correlation,
            tuple(tags), to_plain(metadata),
        )  # fmt: skip

    @property
    def command_id(self) -> str:
        """The id of its command."""
        return str(self._record[5])

    @staticmethod
    def type_of(data: bytes) -> str:
        """The stored type of an event in stored bytes."""
        return str(unpack_stored(data)[2])

    def follows(self, other: OriginalEvent) -> bool:
        """Whether it is of the same command as the event before it."""
        return bool(self._record[5] == other._record[5])

    def results(self, given: Any) -> list[list[Any]]:
        """The records of what a function gave, each with 0 as its version. Raises TypeError, StorageError."""
        if given is None:
            return []
        if isinstance(given, CopiedEvent):
            return [self._result(given)]
        if isinstance(given, str | bytes | dict) or not isinstance(given, Iterable):
            raise TypeError(
                f"it returned {short_repr(given, 100)}; return the event, another one, several, or None"
            )
        return [self._result(one) for one in given]

    def _result(self, event: Any) -> list[Any]:
        if not isinstance(event, CopiedEvent):
            raise TypeError(f"it returned {short_repr(event, 100)}, which is not a CopiedEvent")
        record = self._record
        if event.position != self.position or event.command_id != record[5]:
            raise TypeError("it changed position or command_id, by which the event is known: leave them")
        if not isinstance(event.fields, dict) or not isinstance(event.metadata, dict | None):
            raise TypeError("fields is a dict, and metadata a dict or None")
        for name in ("type", "command", "causation_id", "correlation_id"):
            value = getattr(event, name)
            if not isinstance(value, str) and (name == "type" or value is not None):
                raise TypeError(f"{name} is text, not {short_repr(value)}")
        if not event.type:
            raise TypeError("type is empty")
        name_key("stream", event.stream)
        tags = list(event.tags)
        for tag in tags:
            name_key("tag", tag)
        if event.time.utcoffset() is None:
            raise TypeError("time has no time zone; give a datetime with one")
        return [
            event.stream,
            0,
            event.type,
            self._fields_of(event),
            (event.time - EPOCH) // _MICROSECOND,
            record[5],
            event.command,
            event.causation_id,
            event.correlation_id,
            tags,
            self._packable(_METADATA, self._metadata, event.metadata),
        ]

    def _fields_of(self, event: CopiedEvent) -> Any:
        renamed = event.type != self._record[_TYPE]
        if self._seals is None:
            if renamed and any(type(one) is StoredSeal for one in event.fields.values()):
                raise TypeError(
                    "it changed the type of an event with encrypted fields, which can't be read under "
                    "another one; give the domain and its master key, so that they are encrypted again"
                )
            for name, value in event.fields.items():
                if type(value) is StoredSeal and from_plain(value) != self._record[_FIELDS].get(name):
                    raise TypeError(
                        f"it moved an encrypted value to the field {name!r}, where nobody reads it"
                    )
            return self._packable(_FIELDS, self._fields, event.fields)
        value = self._packable(_FIELDS, self._fields, event.fields)
        return self._seals.sealed(event.type, from_plain(event.fields) if renamed else value)

    def _packable(self, index: int, before: bytes, plain: Any) -> Any:
        """What to pack for a value; as it was stored if it is still the same, to the byte."""
        value = from_plain(plain)
        try:
            same = pack_stored(value) == before
        except (ValueError, TypeError, OverflowError) as error:
            raise UnencodableValue(f"{short_repr(plain, 100)} can't be stored: {error}") from error
        return self._record[index] if same else value


def recorded_of(position: int, record: list[Any]) -> RecordedEvent:
    """An event of the copy as the log's indexes need it."""
    stream, version, type_name, _, time_us, command_id, command, cause, correlation, tags, metadata = record
    return RecordedEvent(
        position, stream, version, None, type_name, time_us, command_id, command, cause, correlation,
        tuple(tags), metadata,
    )  # fmt: skip
