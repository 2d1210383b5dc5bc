"""Stored values as plain Python, without their classes, and back to bytes. Pure; any thread.

For programs that work on what is stored: types that Python has are themselves, a value of a class is a
`StoredValue`, a member of an enum a `StoredEnum`, and an encrypted value a `StoredSeal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgpack import ExtType

from storage.codec.json_form import pack_stored, unpack_stored
from storage.codec.personal_fields import SEALED
from storage.codec.values import ENUM, FROZENSET, MESSAGE, TUPLE, Refusal, leaf_decoders, leaf_encoders
from storage.errors import CodecError, UnencodableValue
from storage.value_text import short_repr

__all__ = ["StoredEnum", "StoredSeal", "StoredValue", "from_plain", "to_plain"]


@dataclass(slots=True)
class StoredValue:
    """A value of a class as it is stored: the class's stored name, and its fields."""

    type: str
    fields: dict[str, Any]

    def __hash__(self) -> int:
        # It may be in a frozenset; fields may be lists and dicts.
        return hash((self.type, *self.fields))


@dataclass(frozen=True, slots=True)
class StoredEnum:
    """A member of an enum as it is stored: the enum's stored name, and the member's; a flag has several."""

    type: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredSeal:
    """A value of a personal field as it is stored, encrypted, which can be read only in the field that it is
    in.
    """

    sealed: bytes

    def __repr__(self) -> str:
        return f"StoredSeal({len(self.sealed)} bytes)"


_DECODERS = leaf_decoders()
_ENCODERS = leaf_encoders()
_SAME = (type(None), bool, int, float, str, bytes)


def to_plain(value: Any) -> Any:
    """The plain value of one that `unpack_stored` gave. Raises CodecError for what no codec writes."""
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is dict:
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if kind is list:
        return [to_plain(item) for item in value]
    if kind is not ExtType:
        raise CodecError(f"a stored value is a {kind.__name__}, which no codec writes")
    code, data = value
    if code == SEALED:
        return StoredSeal(data)
    try:
        if code in _DECODERS:
            return _DECODERS[code](data)
        items = unpack_stored(data)
        if code == MESSAGE:
            name, fields = items
            return StoredValue(name, {key: to_plain(item) for key, item in fields.items()})
        if code == ENUM:
            name, members = items
            return StoredEnum(name, tuple(members))
        if code == TUPLE:
            return tuple(map(to_plain, items))
        if code == FROZENSET:
            return frozenset(to_plain(unpack_stored(item)) for item in items)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise CodecError(f"an extension value {code} is damaged ({error})") from error
    raise CodecError(f"unknown extension code {code}: written by a newer version, or damaged")


def from_plain(value: Any) -> Any:
    """The value for `pack_stored` of a plain one. Raises UnencodableValue."""
    kind = type(value)
    if kind is int:
        return value if -(1 << 63) <= value < 1 << 64 else _ENCODERS[int](value)
    if kind in _SAME:
        return value
    if kind is dict:
        return {from_plain(key): from_plain(item) for key, item in value.items()}
    if kind is list:
        return [from_plain(item) for item in value]
    if kind is tuple:
        return ExtType(TUPLE, pack_stored([from_plain(item) for item in value]))
    if kind is frozenset:
        return ExtType(FROZENSET, pack_stored(sorted(pack_stored(from_plain(item)) for item in value)))
    if kind is StoredValue:
        return ExtType(MESSAGE, pack_stored([value.type, from_plain(value.fields)]))
    if kind is StoredEnum:
        return ExtType(ENUM, pack_stored([value.type, list(value.members)]))
    if kind is StoredSeal:
        return ExtType(SEALED, value.sealed)
    encoder = _ENCODERS.get(kind)
    if encoder is None:
        raise UnencodableValue(
            f"{short_repr(value, 100)} is a {kind.__name__}, which can't be stored; a value of a class is a "
            "StoredValue, a member of an enum a StoredEnum"
        )
    try:
        return encoder(value)
    except Refusal as error:
        raise UnencodableValue(f"{short_repr(value, 100)} can't be stored: {error.reason}") from None
