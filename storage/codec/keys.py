"""Keys as bytes that sort as their values do, for the rows and indexes of tables. Pure functions, any thread.

A key is a value or a tuple of values. The encoding of a tuple is the encodings of its components one after
another, and tuples sort by component. The first byte of a component is its tag. Kinds sort in the order of
their tags:

====  ======================  ==========================================================================
0x05  None                    nothing follows
0x10  False
0x11  True
0x20  int, float, Decimal     floor of the number (a length byte, then the magnitude), then its fraction
0x28  naive datetime          microseconds since 1970, whatever the time zone, biased to be unsigned
0x29  aware datetime          microseconds since 1970 UTC: equal instants are equal keys
0x2A  date                    the ordinal of the day, four bytes
0x30  str                     UTF-8 (so by code point); a NUL is written 00 FF; ends with 00
0x31  bytes                   as str
0x32  UUID                    its 16 bytes
====  ======================  ==========================================================================

Numbers of all three types sort by value together. The length byte is 0x80 plus the number of magnitude bytes,
or 0x80 minus it for a negative number, whose magnitude is complemented; 0xFF and 0x01 announce a two-byte
length. The fraction is at least zero, since the whole part is the floor: pairs of decimal digits, each plus
one, and 0x00 at the end. A float that is not whole is encoded as the shortest decimal that reads back as the
same float, the one that `repr` shows, so that 0.1 and Decimal("0.1") are one key. An Enum member has the key
of its value.

One encoding may be a prefix of another one: "a" is 30 61 00, and "a", NUL, "b" is 30 61 00 FF 62 00. A whole
component is followed by the end or by the next component's tag; a part of such a text or of bytes is followed
by FF, which is above all tags. So a range of keys that have certain components ends at `above_equal`, not at
`successor`; `successor` ends a range of keys that begin with a prefix.

This is a disk format: it changes only together with `KEY_FORMAT`, and then every replica rebuilds its tables.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from storage.errors import InvalidKey, KeyTooLong
from storage.value_text import short_repr

KEY_FORMAT: Final = 1
MAX_KEY_BYTES: Final = 511  # LMDB's own limit

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BIAS = 1 << 63
_MAX_DIGITS = 1500  # a number with more digits than this cannot fit: it is refused before it is expanded
_POSITIVE_INFINITY = b"\x20\xff\xff\xff\x00"
_NEGATIVE_INFINITY = b"\x20\x01\x00\x00\x00"


def encode_key(value: object) -> bytes:
    """The key of a value, or of a tuple of values: bytes that sort as the values do.

    Raises InvalidKey for a value of a kind that has no order here (or NaN, or a lone surrogate), KeyTooLong
    for more than 511 bytes.
    """
    if type(value) is tuple:
        key = b"".join([encode_component(component) for component in value])
    else:
        key = encode_component(value)
    if len(key) > MAX_KEY_BYTES:
        raise too_long(len(key))
    return key


def encode_prefix(value: object) -> bytes:
    """The bytes that begin the keys of all strings that begin with `value`.

    Raises InvalidKey unless it is a str.
    """
    if not isinstance(value, str) or isinstance(value, Enum):
        raise InvalidKey(f"a prefix must be a str, not {_shown(value)}")
    return _encode_str(value)[:-1]


def successor(prefix: bytes) -> bytes | None:
    """The least key above all keys that begin with `prefix`; None for a prefix of FF bytes only."""
    stripped = prefix.rstrip(b"\xff") if prefix[-1:] == b"\xff" else prefix
    if not stripped:
        return None
    return stripped[:-1] + _BYTES[stripped[-1] + 1]


def above_equal(leading: bytes) -> bytes | None:
    """The least key above all keys whose first components are these, encoded; None if none are given.

    A text that continues with a NUL where the last of these ends is not below it.
    """
    return leading + b"\xff" if leading else None


def too_long(size: int) -> KeyTooLong:
    """The error for a key of `size` bytes."""
    return KeyTooLong(f"the key takes {size} bytes, and at most {MAX_KEY_BYTES} fit: shorten its values")


def encode_component(value: Any) -> bytes:
    """The encoding of one value, of any length. Raises InvalidKey as `encode_key` does."""
    kind = type(value)
    if kind is str and "\0" not in value:
        try:
            return f"0{value}\0".encode()  # the tag 0x30 is the digit 0
        except UnicodeEncodeError:
            raise _surrogate(value) from None
    if kind is int:
        return _SMALL.get(value) or _encode_int(value)
    encode = _ENCODERS.get(kind)
    if encode is not None:
        return encode(value)
    if isinstance(value, Enum):
        return encode_component(value.value)
    for base, encode in _ENCODERS.items():
        if isinstance(value, base):
            return encode(value)
    raise InvalidKey(
        f"{_shown(value)} cannot be a key: use None, bool, int, float, Decimal, str, bytes, datetime, date, "
        "UUID or an Enum"
    )


def _encode_str(value: str) -> bytes:
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        raise _surrogate(value) from None
    return b"\x30%b\0" % raw.replace(b"\0", b"\0\xff")


def _encode_int(value: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    if value > 0 and size < 126:  # the common case: as below, with the tag and the end added in one step
        return (((0x2080 + size) << (8 * size) | value) << 8).to_bytes(size + 3)
    return b"\x20%b\0" % _encode_whole(value)


def _encode_whole(value: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    if size < 126:
        if value >= 0:
            return (((0x80 + size) << (8 * size)) | value).to_bytes(size + 1)
        return (((0x81 - size) << (8 * size)) - 1 + value).to_bytes(size + 1)
    if size > MAX_KEY_BYTES:
        raise KeyTooLong(f"an int of {size} bytes cannot be a key: at most {MAX_KEY_BYTES} bytes fit")
    if value >= 0:
        return b"\xff%b%b" % (size.to_bytes(2), value.to_bytes(size))
    return b"\x01%b%b" % ((0xFFFF - size).to_bytes(2), ((1 << (8 * size)) - 1 + value).to_bytes(size))


def _encode_float(value: float) -> bytes:
    if value.is_integer():
        return _encode_int(int(value))
    return _encode_decimal(Decimal(repr(float(value))))


def _encode_decimal(value: Decimal) -> bytes:
    if not value.is_finite():
        if value.is_nan():
            raise InvalidKey("NaN cannot be sorted, so it cannot be a key")
        return _POSITIVE_INFINITY if value > 0 else _NEGATIVE_INFINITY
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if not value:
        return _encode_int(0)
    if len(digits) + abs(exponent) > _MAX_DIGITS:
        raise KeyTooLong(
            f"a number of {len(digits)} digits and exponent {exponent} cannot be a key: it is too long"
        )
    # Not through the text of an int: a process may limit its length.
    number = int(Decimal((sign, digits, 0)))
    if exponent >= 0:
        return _encode_int(number * 10**exponent)
    whole, rest = divmod(number, 10**-exponent)
    if not rest:
        return _encode_int(whole)
    decimals = str(Decimal(rest)).zfill(-exponent).rstrip("0")
    if len(decimals) % 2:
        decimals += "0"
    fraction = bytes([int(decimals[i : i + 2]) + 1 for i in range(0, len(decimals), 2)])
    return b"\x20%b%b\0" % (_encode_whole(whole), fraction)


def _encode_datetime(value: datetime) -> bytes:
    if value.utcoffset() is None:
        return b"\x28" + ((value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND + _BIAS).to_bytes(8)
    return b"\x29" + ((value - _EPOCH_UTC) // _MICROSECOND + _BIAS).to_bytes(8)


def _encode_bytes(value: bytes) -> bytes:
    return b"\x31%b\0" % value.replace(b"\0", b"\0\xff")


def _shown(value: object) -> str:
    return f"{short_repr(value, 60)} (a {type(value).__name__})"


def _surrogate(value: object) -> InvalidKey:
    return InvalidKey(f"{value!a} holds a lone surrogate, which is not a character, and cannot be a key")


# Subclasses come before their bases: a bool is an int and a datetime is a date.
_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    str: _encode_str,
    bool: lambda value: b"\x11" if value else b"\x10",
    int: _encode_int,
    float: _encode_float,
    Decimal: _encode_decimal,
    type(None): lambda _: b"\x05",
    bytes: _encode_bytes,
    datetime: _encode_datetime,
    date: lambda value: b"\x2a" + value.toordinal().to_bytes(4),
    UUID: lambda value: b"\x32" + value.bytes,
}

_BYTES: Final = [bytes([n]) for n in range(256)]
_SMALL: Final[dict[int, bytes]] = {n: _encode_int(n) for n in range(1024)}
