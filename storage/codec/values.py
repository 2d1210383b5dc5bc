"""How the codec writes types of Python that msgpack lacks. Pure functions, any thread.

Each type has one extension code, which is part of the disk format: a code never gets a new meaning.
The table of codes is in `storage.codec.codec`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import itertools
import operator
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from msgpack import ExtType, Packer, unpackb

from storage.codec.message_classes import qualified_name
from storage.errors import CodecError, UnencodableValue, UnregisteredType
from storage.value_text import short_repr

MESSAGE = 1
ENUM = 2
TUPLE = 3
FROZENSET = 4
BIG_INT = 5
DECIMAL = 6
DATETIME = 7
DATE = 8
TIME = 9
TIMEDELTA = 10
UUID_ = 11

FOLD_MARK = "*"
NO_ENCODING = "its type has no encoding"
MAX_PATH_CHARS = 120
"""Characters of a path in an error; a longer path is shortened in the middle."""


class Refusal(Exception):
    """A value inside a message cannot be encoded; the codec turns it into an error that gives its path."""

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


def leaf_encoders() -> dict[type, Callable[[Any], ExtType]]:
    """Return an encoder for each type that msgpack lacks and that contains no other values."""

    def encode_time(value: time) -> ExtType:
        if value.tzinfo is not None and value.utcoffset() is None:
            raise Refusal(value, "the UTC offset of this time depends on its date; store a datetime")
        return ExtType(TIME, _iso(value))

    return {
        int: lambda value: ExtType(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)),
        Decimal: lambda value: ExtType(DECIMAL, str(value).encode()),
        datetime: lambda value: ExtType(DATETIME, _iso(value)),
        date: lambda value: ExtType(DATE, value.isoformat().encode()),
        time: encode_time,
        timedelta: lambda value: ExtType(
            TIMEDELTA, pack_flat([value.days, value.seconds, value.microseconds])
        ),
        UUID: lambda value: ExtType(UUID_, value.bytes),
    }


def leaf_decoders() -> dict[int, Callable[[bytes], Any]]:
    """Return a decoder for each extension code that `leaf_encoders` writes."""
    return {
        BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
        DECIMAL: lambda data: Decimal(data.decode()),
        DATETIME: lambda data: _from_iso(datetime, data),
        DATE: lambda data: date.fromisoformat(data.decode()),
        TIME: lambda data: _from_iso(time, data),
        TIMEDELTA: lambda data: timedelta(*unpackb(data)),
        UUID_: lambda data: UUID(bytes=data),
    }


def pack_flat(value: list[Any]) -> bytes:
    """Pack a list of values that msgpack has types for."""
    # A buffer of the usual 256 KiB would be mapped and unmapped each time.
    return Packer(buf_size=256).pack(value)  # type: ignore[no-any-return]


def enum_encoder(cls: type[enum.Enum], name: str) -> Callable[[Any], ExtType]:
    """Return an encoder for the members of an enum that is stored as `name`."""

    def encode(names: list[str]) -> ExtType:
        return ExtType(ENUM, pack_flat([name, names]))

    if issubclass(cls, enum.Flag):

        def encode_flag(flag: enum.Flag) -> ExtType:
            bits = list(flag)
            if functools.reduce(operator.or_, bits, type(flag)(0)) != flag:
                raise Refusal(flag, f"it has bits that have no name in {name}")
            return encode([str(bit.name) for bit in bits])

        return encode_flag
    encoded = {member.name: encode([member.name]) for member in cls}
    return lambda member: encoded[member.name]


def enum_of(cls: type, name: str, names: list[str]) -> object:
    """Return the member, or the flag, of the enum `name` that is stored as `names`; raises CodecError."""
    if not issubclass(cls, enum.Enum):
        raise CodecError(f"an enum is stored as {short_repr(name)}, but {qualified_name(cls)} is not an enum")
    try:
        members = [cls[member] for member in names]
    except KeyError as error:
        raise CodecError(f"{name} has no member {error}: a stored member must stay") from None
    if issubclass(cls, enum.Flag):
        return functools.reduce(operator.or_, members, cls(0))
    (member,) = members
    return member


def _iso(value: datetime | time) -> bytes:
    offset = value.utcoffset()
    if offset is not None and offset.microseconds:
        raise Refusal(
            value, "not every Python can read a UTC offset with fractions of a second back from its text"
        )
    # An offset says which of two equal wall-clock times is meant; without an offset only `fold` does.
    text = value.isoformat()
    return (text + FOLD_MARK if value.fold and value.tzinfo is None else text).encode()


def _from_iso(kind: type[Any], data: bytes) -> Any:
    text = data.decode()
    if text.endswith(FOLD_MARK):
        return kind.fromisoformat(text[:-1]).replace(fold=1)
    return kind.fromisoformat(text)


def path_to(value: object, culprit: object) -> str:
    """Return the path inside `value` to the object `culprit`, such as `Order.lines[2].price`.

    Only for error messages: it walks the whole value. Returns the name of the outermost type if it does not
    find the culprit.
    """
    root = type(value).__name__
    # It has its own stack and a set of seen values: the value may be deep, or contain itself.
    waiting = [(root, value)]
    seen: set[int] = set()
    while waiting:
        path, current = waiting.pop()
        if current is culprit:
            return path
        if id(current) not in seen:
            seen.add(id(current))
            waiting.extend(_children(path, current))
    return root


def _children(path: str, value: object) -> list[tuple[str, object]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(f"{path}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        keys = [(f"{path} key {short_repr(key)}", key) for key in value]
        return keys + [(f"{path}[{short_repr(key)}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, frozenset):
        return [(f"{path}{{{short_repr(item)}}}", item) for item in value]
    return []


def refused(value: object, culprit: Any, reason: str) -> CodecError:
    """The error for a part of a value that cannot be encoded, with the path to that part."""
    kind = type(culprit)
    path = path_to(value, culprit)
    if len(path) > MAX_PATH_CHARS:
        path = f"{path[: MAX_PATH_CHARS * 2 // 3]}...{path[-MAX_PATH_CHARS // 3 :]}"
    where = f"{path} ({qualified_name(kind)})"
    if reason == NO_ENCODING and (dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum)):
        return UnregisteredType(f"cannot encode {where}: its class is not registered with the codec")
    return UnencodableValue(f"cannot encode {where}: {reason}")


def unencodable(value: object, error: Exception) -> CodecError:
    """The error for a value that could not be packed, given the exception that packing it raised."""
    if isinstance(error, Refusal):
        return refused(value, error.value, error.reason)
    if isinstance(error, UnicodeEncodeError):
        return refused(value, error.object, f"it is not valid Unicode text ({error.reason})")
    return UnencodableValue(
        f"{type(value).__name__} cannot be encoded: {error}; it is nested too deeply, contains itself, "
        "or has an item of over 4 GiB"
    )


# -- lists and dicts -----------------------------------------------------------------------------------------
MAX_CONTAINERS = 128
"""How deep lists and dicts may be nested; msgpack packs 1,025 levels, and unpacks 1,024."""
SPARE_CONTAINERS = 16
"""Further levels for values other than messages: a row or a note wraps contents like those of a message."""

_NO_HEADS = bytes(set(range(256)) - {*range(0x80, 0xA0), *range(0xDC, 0xE0)})
"""All bytes except those that begin a list or a dict."""


def require_shallow(value: object, data: bytes, limit: int) -> None:
    """Raise UnencodableValue if the value packed as `data` nests lists and dicts more than `limit` deep."""
    # So many levels have at least as many head bytes. Other values have such bytes too, so more of them prove
    # nothing.
    if len(data.translate(None, _NO_HEADS)) <= limit:
        return
    waiting: list[tuple[int, Any]] = [(0, value)]
    while waiting:
        depth, current = waiting.pop()
        kind = type(current)
        if kind is list or kind is dict:
            depth += 1
            if depth > limit:
                raise refused(
                    value,
                    current,
                    f"it is nested too deeply: more than {MAX_CONTAINERS} lists and dicts inside one another",
                )
        if kind is dict:
            inside: Iterable[Any] = itertools.chain(current, current.values())
        elif kind is list or kind is tuple or kind is frozenset:
            inside = current
        elif dataclasses.is_dataclass(current):
            inside = [getattr(current, field.name) for field in dataclasses.fields(current)]
        else:
            continue
        waiting += [(depth, item) for item in inside if type(item) not in _SHALLOW]


_SHALLOW = frozenset(
    {str, int, float, bool, bytes, type(None), Decimal, datetime, date, time, timedelta, UUID}
)
