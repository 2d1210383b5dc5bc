"""Decodes a key's bytes into its values; the inverse of `keys`. Pure functions, any thread.

Equal keys have equal bytes, so decoding gives a value with the same key, but not always of the same type. A
number is an int if it is whole, else a Decimal (infinity is a float). An aware datetime is in UTC, a naive
one has no fold, and a member of an Enum is its value. Everything else is decoded as it was.

Some instants have no date in UTC, only in other zones: in UTC they would be before the year 1 or after 9999.
They are decoded in the zone that is nearest to UTC in whole minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from storage.errors import DamagedRow
from storage.value_text import short_repr

__all__ = ["decode_key", "decode_keys"]

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_BIAS = 1 << 63
_LONG, _LONG_NEGATIVE = 0xFF - 0x80, 0x01 - 0x80


def decode_key(key: bytes) -> Any:
    """The value of a key of one component. Raises DamagedRow for bytes that are not a key."""
    # Nearly all keys are text; the tag 0x30 is the digit 0.
    if key[:1] == b"0" and key.find(b"\0") == len(key) - 1:
        try:
            return key[1:-1].decode()
        except UnicodeDecodeError:
            raise _not_a_key(key) from None
    return decode_keys(key)[0]


def decode_keys(key: bytes) -> tuple[Any, ...]:
    """The values of a key of several components. Raises DamagedRow for bytes that are not a key."""
    values, offset = [], 0
    try:
        while offset < len(key):
            value, offset = _DECODERS[key[offset]](key, offset + 1)
            values.append(value)
    except (LookupError, ValueError, OverflowError):
        values.clear()
    if not values:
        raise _not_a_key(key)
    return tuple(values)


def _not_a_key(key: bytes) -> DamagedRow:
    return DamagedRow(
        f"{short_repr(key)} is not a key as tables store it; a replica is filled again from the log"
    )


def _text(key: bytes, offset: int) -> tuple[str, int]:
    raw, offset = _bytes(key, offset)
    return raw.decode(), offset


def _bytes(key: bytes, offset: int) -> tuple[bytes, int]:
    end = key.index(b"\0", offset)
    while key[end + 1 : end + 2] == b"\xff":  # a NUL inside the text
        end = key.index(b"\0", end + 2)
    return key[offset:end].replace(b"\0\xff", b"\0"), end + 1


def _number(key: bytes, offset: int) -> tuple[int | float | Decimal, int]:
    whole, offset = _whole(key, offset)
    end = key.index(b"\0", offset)
    if isinstance(whole, float) or end == offset:
        return whole, end + 1
    digits = "".join([f"{pair - 1:02}" for pair in key[offset:end]]).removesuffix("0")
    size = len(digits)
    try:
        return Decimal(f"{whole * 10**size + int(digits)}E-{size}"), end + 1
    except ValueError:  # more digits than this process allows in the text of an int
        return Decimal(f"{Decimal(whole * 10**size + int(Decimal(digits)))}E-{size}"), end + 1


def _whole(key: bytes, offset: int) -> tuple[int | float, int]:
    """The number rounded down, or an infinity."""
    size, offset = key[offset] - 0x80, offset + 1
    negative = size < 0
    if size in (_LONG, _LONG_NEGATIVE):
        long = int.from_bytes(key[offset : offset + 2])
        size, offset = (0xFFFF - long if negative else long), offset + 2
        if size == 0xFFFF:
            return (-math.inf if negative else math.inf), offset
    size = abs(size)
    magnitude = int.from_bytes(key[offset : offset + size])
    return (magnitude - (1 << 8 * size) + 1 if negative else magnitude), offset + size


def _datetime(key: bytes, offset: int) -> tuple[datetime, int]:
    return _EPOCH + _since(key, offset), offset + 8


def _aware(key: bytes, offset: int) -> tuple[datetime, int]:
    since = _since(key, offset)
    try:
        return _EPOCH_UTC + since, offset + 8
    except OverflowError:
        return _beyond(since), offset + 8


def _beyond(since: timedelta) -> datetime:
    """The instant `since` after 1970, for which UTC has no date. Raises OverflowError if no zone has one."""
    edge = _LAST if since > timedelta(0) else _FIRST
    beyond = since - (edge - _EPOCH_UTC)
    minutes = abs(beyond) // _MINUTE + (abs(beyond) % _MINUTE > timedelta(0))
    # In the last minute of all, only zones that are not of whole minutes have a date.
    offset = minutes * _MINUTE if minutes < 24 * 60 else abs(beyond)
    if offset >= timedelta(days=1):
        raise OverflowError("no zone has a date for it")
    zone = timezone(-offset if beyond > timedelta(0) else offset)
    return (edge.replace(tzinfo=None) + (beyond + zone.utcoffset(None))).replace(tzinfo=zone)


def _since(key: bytes, offset: int) -> timedelta:
    return timedelta(microseconds=int.from_bytes(key[offset : offset + 8]) - _BIAS)


_DECODERS: Final[dict[int, Callable[[bytes, int], tuple[Any, int]]]] = {
    0x05: lambda _, offset: (None, offset),
    0x10: lambda _, offset: (False, offset),
    0x11: lambda _, offset: (True, offset),
    0x20: _number,
    0x28: _datetime,
    0x29: _aware,
    0x2A: lambda key, offset: (date.fromordinal(int.from_bytes(key[offset : offset + 4])), offset + 4),
    0x30: _text,
    0x31: _bytes,
    0x32: lambda key, offset: (UUID(bytes=key[offset : offset + 16]), offset + 16),
}
