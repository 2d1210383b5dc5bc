"""What becomes of the values of `values.py`, in plain Python: how keys sort, what is stored, and whether two
are the same to whoever looks closely.

- `order(key)` sorts as keys do; equal keys have equal orders. `begins(text, prefix)` is what a prefix search
  asks.
- `as_stored(value)` is the value that everybody gets once it is stored; `shown_exactly(value)` is a form to
  compare by `==` in which 1 and True, 0.0 and -0.0, 1.0 and Decimal("1.00"), a zone and its offset are told
  apart, and NaN is equal to itself. `spoil(value)` changes all that can be changed in it, and `fresh(value)`
  makes the same value anew.

Each worker process of an oracle imports it, and so none waits for hypothesis.
"""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, date, datetime, time, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")


# -- keys ----------------------------------------------------------------------------------------------------
def order(key: Any) -> tuple[Any, ...]:
    """What sorts as a key does; a tuple of keys by its parts. Equal keys have equal orders."""
    if isinstance(key, tuple):
        return tuple(map(order, key))
    if isinstance(key, enum.Enum):
        return order(key.value)
    if key is None:
        return (0,)
    if isinstance(key, bool):
        return (1, key)
    if isinstance(key, (int, float, Decimal)):
        return (2, _size(key))
    if isinstance(key, datetime):
        if key.tzinfo is None:
            return (3, key.replace(fold=0))
        return (4, key - datetime(1970, 1, 1, tzinfo=UTC))
    for rank, kind in enumerate((date, str, bytes, UUID), 5):
        if isinstance(key, kind):
            return (rank, key)
    raise TypeError(f"{key!r} is no key")


def _size(number: Any) -> Any:
    if isinstance(number, float) and not number.is_integer():
        number = Decimal(repr(number))  # a float is the decimal that it is written as
    if isinstance(number, Decimal) and not number.is_finite():
        return float(number)
    return Fraction(number)


def begins(value: Any, prefix: str) -> bool:
    """Whether a prefix search finds it."""
    return isinstance(value, str) and value.startswith(prefix)


# -- what becomes of a value ---------------------------------------------------------------------------------
def as_stored(value: Any) -> Any:
    """What everybody gets once the value is stored, a new object wherever it can be changed."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (datetime, time)):
        offset = value.utcoffset()
        return value if offset is None else value.replace(tzinfo=timezone(offset), fold=0)
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(map(as_stored, value))
    if isinstance(value, dict):
        return {as_stored(key): as_stored(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{field.name: as_stored(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def shown_exactly(value: Any) -> Any:
    """A form of the value that is equal to another one's only if they are the same to whoever looks
    closely.
    """
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        return (kind, *map(shown_exactly, value))
    if isinstance(value, dict):
        return (kind, *((shown_exactly(key), shown_exactly(one)) for key, one in value.items()))
    if isinstance(value, (set, frozenset)):
        return (kind, *sorted(map(shown_exactly, value), key=repr))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (kind, *(shown_exactly(getattr(value, field.name)) for field in dataclasses.fields(value)))
    if isinstance(value, (datetime, time)):
        return (kind, value.isoformat(), value.fold, type(value.tzinfo).__name__, str(value.tzinfo))
    if isinstance(value, int):
        return (kind, hex(value))  # of any size
    if isinstance(value, memoryview):
        return (kind, bytes(value))
    return (kind, repr(value))


def fresh(value: Any) -> Any:
    """The same value in new objects, as whoever makes it again has it; nothing of it is shared."""
    if isinstance(value, memoryview):
        return memoryview(bytearray(value))
    if isinstance(value, bytearray):
        return bytearray(value)
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(map(fresh, value))
    if isinstance(value, dict):
        return {fresh(key): fresh(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{field.name: fresh(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def spoil(value: Any) -> None:
    """Change all that can be changed in a value, as somebody does who takes it for a copy."""
    if isinstance(value, memoryview):
        if not value.readonly and len(value):
            value[0] ^= 255
    elif isinstance(value, bytearray):
        value += b"spoilt"
    elif isinstance(value, (list, tuple, frozenset)):
        for one in value:
            spoil(one)
        if isinstance(value, list):
            value.append("spoilt")
    elif isinstance(value, dict):
        for one in value.values():
            spoil(one)
        value["spoilt"] = True
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            spoil(getattr(value, field.name))
