"""What an older program stored, for a test: read as the log would read it. Pure; the test's thread."""

from __future__ import annotations

from typing import Any

from storage import Stored
from storage.codec.codec import Codec
from storage.codec.json_form import pack_stored, unpack_stored
from storage.codec.plain_values import from_plain, to_plain
from storage.codec.upcasting import stored_name
from storage.log.records import DROPPED
from storage.log.stored_events import decode_event

__all__ = ["read_stored"]


def read_stored(codec: Codec, stored: Stored, position: int = 1) -> list[Any]:
    """The events that stored fields are read as: one, or what upcasters make of it, which may be none.

    Values in the fields are plain ones, values of classes as they are now, or a `StoredValue` or `StoredEnum`
    as an older program stored them. Raises `UnknownType`, `UpcastFailed` and what the codec raises, with a
    note of the position.
    """
    fields = from_plain(_packed(codec, stored.fields))
    name = stored_name(stored.name, stored.version)
    record = ["given", 1, name, fields, 0, "given", None, None, None, [], None]
    read = decode_event(codec, position, pack_stored(record))
    found = [one.event for one in (read if isinstance(read, list) else [read])]
    return [event for event in found if event is not DROPPED]


def _packed(codec: Codec, value: Any) -> Any:
    """The value, with a `StoredValue` or `StoredEnum` for each of the domain's classes."""
    if type(value) in codec.registered.values():
        return to_plain(unpack_stored(codec.pack(value)))
    if isinstance(value, dict):
        return {key: _packed(codec, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_packed(codec, one) for one in value)
    return value
