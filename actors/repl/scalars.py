"""Single values from their text: `read(int, "1_000")`. Pure; any thread.

Each reader raises ValueError for what it can't read. What `literal` writes, these read back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

__all__ = ["READERS", "natural"]

_INT = re.compile(r"[+-]?\d+(_\d+)*|[+-]?0[xX][0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?", re.ASCII)
_DURATION = re.compile(
    r"([+-]?)(?:(\d{1,9})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,15})(?:\.(\d{1,6}))?s)?", re.ASCII
)
_INFINITE = frozenset({"inf", "+inf", "-inf", "nan"})


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _int(text: str) -> int:
    if not _INT.fullmatch(text):
        raise ValueError(text)
    return int(text, 16) if "x" in text.lower() else int(text)


def _float(text: str) -> float:
    if text in _INFINITE:
        return float(text)
    if not _FLOAT.fullmatch(text) and not _INT.fullmatch(text):
        raise ValueError(text)
    value = float(_int(text)) if _INT.fullmatch(text) else float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


def _timedelta(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()[1:]):
        raise ValueError(text)
    sign, days, hours, minutes, seconds, fraction = found.groups("0")
    value = timedelta(
        days=int(days),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds),
        microseconds=int(fraction.ljust(6, "0")),
    )
    return -value if sign == "-" else value


READERS: dict[type, tuple[Callable[[str], Any], str]] = {
    str: (str, ""),
    bool: (_bool, "true or false"),
    int: (_int, "such as 1999"),
    float: (_float, "such as 2.5"),
    Decimal: (_decimal, "such as 12.50"),
    bytes: (_bytes, "in hexadecimals, such as 00ff"),
    datetime: (datetime.fromisoformat, "such as 2024-05-01T10:30 or 2024-05-01T10:30+02:00"),
    date: (date.fromisoformat, "such as 2024-05-01"),
    time: (time.fromisoformat, "such as 10:30"),
    timedelta: (_timedelta, "such as 90s, 1d12h or 2.5s"),
    UUID: (UUID, "such as 12345678-1234-5678-1234-567812345678"),
}
"""For each type its reader, and a hint that errors show."""


def natural(text: str) -> Any:
    """What a bare word means where any value may stand: none, true, false, a number, or text."""
    if text.lower() == "none":
        return None
    for read in (_bool, _int):
        try:
            return read(text)
        except ValueError:
            pass
    try:
        return _float(text) if _FLOAT.fullmatch(text) else text
    except ValueError:
        return text
