"""Personal fields of stored values, which are not built: opened, and sealed as a codec's classes say.

A value comes as msgpack gives it, with extension values left packed (`storage.codec.json_form`). Any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgpack import ExtType

from storage.codec.codec import Codec
from storage.codec.json_form import pack_stored, unpack_stored
from storage.codec.personal_fields import SEALED, Sealer, place_of, seal_value, sealed_of
from storage.codec.upcasting import version_of
from storage.codec.values import FROZENSET, MESSAGE, TUPLE
from storage.errors import CodecError

__all__ = ["StoredSeals"]

Fields = dict[str, Any]


class StoredSeals:
    """Opens and seals the personal fields of stored messages."""

    def __init__(self, codec: Codec, sealer: Sealer) -> None:
        """`codec` says which fields of which classes are personal, in older versions of them, too."""
        self._codec = codec
        self._sealer = sealer

    def opened(self, stored: str, fields: Fields) -> Fields:
        """The fields of a message with what was sealed in them, further in, too, but for what is forgotten.

        Raises CodecError.
        """
        return {name: self._open(value, stored, name) for name, value in fields.items()}

    def sealed(self, stored: str, fields: Fields) -> Fields:
        """The fields of a message, the personal ones sealed, further in, too. Raises StorageError.

        What is sealed already stays as it is.
        """
        cls = self._class_of(stored)
        personal = {} if cls is None else self._codec.personal.get(cls, {})
        found = {}
        for name, value in fields.items():
            value = self._inside(value, self.sealed, self._seal_inside)
            field = personal.get(name)
            subject = None if field is None else fields.get(field.subject)
            if field is not None and subject is not None and not _is_sealed(value):
                subject = self._codec.decode(pack_stored(subject))
                value = seal_value(self._sealer, subject, place_of(stored, name), field, pack_stored(value))
            found[name] = value
        return found

    def flush(self) -> None:
        """Have every key on disk that was used to seal. Raises StorageError."""
        self._sealer.flush()

    def _class_of(self, stored: str) -> type | None:
        name = version_of(self._codec.base_name(stored))[0]
        return self._codec.registered.get(name)

    def _open(self, value: Any, stored: str, name: str) -> Any:
        if _is_sealed(value):
            plain = self._sealer.unseal(place_of(stored, name), sealed_of(value.data).body)
            if plain is None:
                return value
            value = unpack_stored(plain)
        return self._inside(value, self.opened, self._open_inside)

    def _open_inside(self, value: Any) -> Any:
        return self._inside(value, self.opened, self._open_inside)

    def _seal_inside(self, value: Any) -> Any:
        return self._inside(value, self.sealed, self._seal_inside)

    def _inside(self, value: Any, fields: Callable[[str, Fields], Fields], item: Callable[[Any], Any]) -> Any:
        """The value with what `fields` makes of each message in it, and `item` of other parts."""
        kind = type(value)
        if kind is list:
            return [item(one) for one in value]
        if kind is dict:
            return {item(key): item(one) for key, one in value.items()}
        if kind is not ExtType:
            return value
        code, data = value
        if code == MESSAGE:
            name, found = unpack_stored(data)
            if not isinstance(found, dict):
                raise CodecError(f"the fields of a stored {name} are not a dict: it is damaged")
            return ExtType(MESSAGE, pack_stored([name, fields(name, found)]))
        if code == TUPLE:
            return ExtType(TUPLE, pack_stored([item(one) for one in unpack_stored(data)]))
        if code == FROZENSET:
            items = sorted(pack_stored(item(unpack_stored(one))) for one in unpack_stored(data))
            return ExtType(FROZENSET, pack_stored(items))
        return value


def _is_sealed(value: Any) -> bool:
    return type(value) is ExtType and value.code == SEALED
