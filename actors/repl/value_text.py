"""A value as one would type it into the session: what `parse` and `Converter` turn into an equal value. Pure.

Used to show events, nested values and defaults. Any thread.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

__all__ = ["counted", "duration", "literal", "number", "quoted"]

_NAMED_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'}
_LONGEST_DECIMAL = 1 << 4096
"""From here on Python may refuse to write a number in decimals; it is written in hexadecimals."""


def literal(value: Any, names: Mapping[type, str] | None = None) -> str:
    """The text for `value`; `names` has the registered name of a class where it is not the class's own."""
    kind = type(value)
    if value is None:
        return "none"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return number(value)
    if kind is str:
        return quoted(value)
    if kind is float:
        return repr(value) if math.isfinite(value) else f"float({value})"
    if kind in (list, tuple):
        inner = ", ".join(literal(item, names) for item in value)
        return f"[{inner}]" if kind is list else f"({inner})"
    if kind is frozenset:
        return f"frozenset([{', '.join(sorted(literal(item, names) for item in value))}])"
    if kind is dict:
        return "{" + ", ".join(f"{literal(k, names)}: {literal(v, names)}" for k, v in value.items()) + "}"
    if kind is bytes:
        return f'bytes("{value.hex()}")'
    if kind in (datetime, date, time):
        return f"{kind.__name__}({value.isoformat()})"
    if kind is timedelta:
        return f"timedelta({duration(value)})"
    if kind in (Decimal, UUID):
        return f"{kind.__name__}({value})"
    name = (names or {}).get(kind, kind.__name__)
    if isinstance(value, Enum):
        return f"{name}({value.name})"
    if dataclasses.is_dataclass(kind):
        fields = (
            f"{one.name}={literal(getattr(value, one.name), names)}" for one in dataclasses.fields(kind)
        )
        return f"{name}({', '.join(fields)})"
    return quoted(repr(value))


def quoted(text: str) -> str:
    """Text in double quotes; what can't be printed is escaped."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def number(value: int) -> str:
    """An int in decimals, or in hexadecimals where it is very long."""
    return str(value) if -_LONGEST_DECIMAL < value < _LONGEST_DECIMAL else hex(value)


def counted(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def duration(value: timedelta) -> str:
    """A timedelta in days and seconds, such as `1d90.5s` or `-3s`."""
    micros = value // timedelta(microseconds=1)
    days, rest = divmod(abs(micros), 86_400_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    text = f"{seconds}.{fraction:06}".rstrip("0") if fraction else f"{seconds}"
    return f"{'-' if micros < 0 else ''}{f'{days}d' if days else ''}{text}s"
