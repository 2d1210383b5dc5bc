"""Stored values as JSON and back to the same bytes, without their classes. Pure; any thread.

A value comes as msgpack gives it, with extension values left packed (`unpack_stored`). None, bool, text,
list, finite float and an int that every JSON reader keeps exact are JSON's own. A dict is an object if all
its keys are text that does not begin with "$". Everything else is an object whose key says what it is:

| value | JSON |
| --- | --- |
| message of a class | `{"$type": name, field: value, ...}` |
| one whose fields are no such dict | `{"$type": name, "$fields": value}` |
| enum | `{"$enum": [name, member, ...]}`, a flag with all its members |
| tuple, frozenset | `{"$tuple": [item, ...]}`, `{"$frozenset": [item, ...]}` |
| dict with other keys | `{"$dict": [[key, value], ...]}` |
| int beyond 2**53 | `{"$int": "decimal digits"}`, or `"0x..."` beyond 10**300 |
| float that is no number | `{"$float": "nan"}`, `"inf"` or `"-inf"`; another NaN by its bits: `"0xfff8..."` |
| bytes | `{"$bytes": base64}` |
| Decimal | `{"$decimal": text}` |
| datetime, date, time | `{"$datetime": text}` and so on: ISO 8601, with "*" at the end for fold=1 |
| timedelta | `{"$timedelta": [days, seconds, microseconds]}` |
| UUID | `{"$uuid": text}` |
| another extension value | `{"$ext": [code, base64]}` |
"""

from __future__ import annotations

import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

from msgpack import ExtType, packb, unpackb

from storage.codec.values import (
    BIG_INT,
    DATE,
    DATETIME,
    DECIMAL,
    ENUM,
    FROZENSET,
    MESSAGE,
    TIME,
    TIMEDELTA,
    TUPLE,
    UUID_,
)
from storage.errors import CodecError
from storage.value_text import short_repr

__all__ = ["Json", "from_json", "pack_stored", "to_json", "unpack_stored"]

Json = Any
"""None, bool, int, float, str, list, or dict with keys of text."""

EXACT = 1 << 53
LONGEST_DECIMAL = 10**300
"""Python refuses to write or read very long ints in decimal digits."""

_TEXTS = {DECIMAL: "$decimal", DATETIME: "$datetime", DATE: "$date", TIME: "$time"}
_NAN = struct.pack(">d", math.nan)


def unpack_stored(data: bytes) -> Any:
    """The value in stored bytes, with extension values left packed. Raises what msgpack does."""
    return unpackb(data, ext_hook=ExtType, strict_map_key=False)


def pack_stored(value: Any) -> bytes:
    """The bytes of such a value: those that it was unpacked from, if the codec wrote them."""
    return bytes(packb(value))


# -- to JSON -------------------------------------------------------------------------------------------------
def to_json(value: Any) -> Json:
    """The JSON form of a value that `unpack_stored` gave. Raises CodecError for what no codec writes."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -EXACT <= value <= EXACT else {"$int": _digits(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": _no_number(value)}
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: to_json(item) for key, item in value.items()}
        return {"$dict": [[to_json(key), to_json(item)] for key, item in value.items()]}
    if kind is list:
        return [to_json(item) for item in value]
    if kind is bytes:
        return {"$bytes": b64encode(value).decode()}
    if kind is ExtType:
        return _extension(value)
    raise CodecError(f"a stored value is a {kind.__name__}, which no codec writes")


def _extension(value: ExtType) -> Json:
    code, data = value
    try:
        form = _TO_JSON[code](data)
        exact = from_json(form) == value
    except (ValueError, TypeError, LookupError, CodecError):
        exact = False
    return form if exact else {"$ext": [code, b64encode(data).decode()]}


def _message(data: bytes) -> Json:
    name, fields = unpack_stored(data)
    form = to_json(fields)
    if type(fields) is dict and "$dict" not in form:
        return {"$type": name, **form}
    return {"$type": name, "$fields": form}


def _enum(data: bytes) -> Json:
    name, members = unpack_stored(data)
    return {"$enum": [name, *members]}


def _big_int(data: bytes) -> Json:
    return {"$int": _digits(int.from_bytes(data, "big", signed=True))}


def _text(name: str) -> Callable[[bytes], Json]:
    return lambda data: {name: data.decode()}


def _digits(value: int) -> str:
    return str(value) if -LONGEST_DECIMAL < value < LONGEST_DECIMAL else hex(value)


def _no_number(value: float) -> str:
    bits = struct.pack(">d", value)
    return str(value) if math.isinf(value) or bits == _NAN else f"0x{bits.hex()}"


_TO_JSON: dict[int, Callable[[bytes], Json]] = {
    MESSAGE: _message,
    ENUM: _enum,
    TUPLE: lambda data: {"$tuple": [to_json(item) for item in unpack_stored(data)]},
    FROZENSET: lambda data: {"$frozenset": [to_json(unpack_stored(item)) for item in unpack_stored(data)]},
    BIG_INT: _big_int,
    TIMEDELTA: lambda data: {"$timedelta": unpack_stored(data)},
    UUID_: lambda data: {"$uuid": str(UUID(bytes=data))},
    **{code: _text(name) for code, name in _TEXTS.items()},
}


# -- from JSON -----------------------------------------------------------------------------------------------
def from_json(form: Json) -> Any:
    """The value whose JSON form this is, for `pack_stored`. Raises CodecError for what is no such form."""
    kind = type(form)
    if kind is list:
        return [from_json(item) for item in form]
    if kind is not dict:
        return form
    named = "$type" in form
    if not named and not next(iter(form), "").startswith("$"):
        return {key: from_json(item) for key, item in form.items()}
    try:
        if named:
            return _to_message(form)
        [(name, body)] = form.items()
        return _FROM_JSON[name](body)
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError, struct.error) as error:
        raise CodecError(
            f"{short_repr(form, 100)} is not the JSON form of a stored value ({error})"
        ) from error


def _to_message(form: dict[str, Json]) -> ExtType:
    fields = {key: item for key, item in form.items() if key != "$type"}
    wrapped = fields.keys() == {"$fields"}
    return ExtType(MESSAGE, pack_stored([form["$type"], from_json(fields["$fields"] if wrapped else fields)]))


def _to_int(text: str) -> Any:
    value = int(text, 16 if text.lstrip("-").startswith("0x") else 10)
    if -(1 << 63) <= value < 1 << 64:
        return value
    return ExtType(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _to_float(text: str) -> float:
    if text.startswith("0x"):
        [value] = struct.unpack(">d", bytes.fromhex(text[2:]))
        return float(value)
    return float(text)


def _to_frozenset(items: list[Json]) -> ExtType:
    # As the codec writes it: equal sets have equal bytes.
    return ExtType(FROZENSET, pack_stored(sorted(pack_stored(from_json(item)) for item in items)))


def _to_text(code: int) -> Callable[[str], Any]:
    return lambda text: ExtType(code, text.encode())


_FROM_JSON: dict[str, Callable[[Any], Any]] = {
    "$int": _to_int,
    "$float": _to_float,
    "$bytes": lambda text: b64decode(text, validate=True),
    "$dict": lambda pairs: {from_json(key): from_json(item) for key, item in pairs},
    "$enum": lambda names: ExtType(ENUM, pack_stored([names[0], names[1:]])),
    "$tuple": lambda items: ExtType(TUPLE, pack_stored([from_json(item) for item in items])),
    "$frozenset": _to_frozenset,
    "$timedelta": lambda parts: ExtType(TIMEDELTA, pack_stored(parts)),
    "$uuid": lambda text: ExtType(UUID_, UUID(text).bytes),
    "$ext": lambda body: ExtType(body[0], b64decode(body[1], validate=True)),
    **{name: _to_text(code) for code, name in _TEXTS.items()},
}
