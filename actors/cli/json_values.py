"""Values of Python as JSON, for `--json`. Pure; any thread.

| in Python | in JSON |
| --- | --- |
| None, bool, str, int, list, tuple | null, true or false, text, number, array |
| float | number; `"nan"`, `"inf"` or `"-inf"` where JSON has none |
| Decimal, UUID | text |
| datetime, date, time | text in ISO 8601 |
| timedelta | number of seconds |
| bytes | text of hexadecimal digits |
| Enum | text: the member's name |
| dataclass, named tuple, row of SQLite | object of its fields |
| dict | object; an array of `[key, value]` where a key is not text |
| frozenset, set | array, in the order of its elements' JSON |
| anything else | text: its `repr` |
"""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from storage import RecordedEvent

__all__ = ["json_line", "json_value"]

LARGEST = 10**300
"""An int beyond it is written as text in hexadecimal: Python refuses to write very long decimals."""
EVENT_FIELDS = (
    "position",
    "stream",
    "version",
    "type",
    "event",
    "time",
    "command_id",
    "command",
    "causation_id",
    "correlation_id",
    "tags",
    "metadata",
)


def json_line(value: Any) -> str:
    """The JSON document of a value, in one line of ASCII."""
    return json.dumps(json_value(value), allow_nan=False)


def json_value(value: Any) -> Any:
    """The value as None, bool, int, float, str, list and dict with keys of text."""
    # An Enum may be an int or a str too.
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value) if -LARGEST < value < LARGEST else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, sqlite3.Row):
        return {name: json_value(value[name]) for name in value.keys()}  # noqa: SIM118 (a row is no mapping)
    if isinstance(value, RecordedEvent):
        return {name: json_value(getattr(value, name)) for name in EVENT_FIELDS}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: json_value(item) for name, item in zip(value._fields, value, strict=True)}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((json_value(item) for item in value), key=json.dumps)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: json_value(getattr(value, one.name)) for one in dataclasses.fields(value)}
    return _scalar(value)


def _mapping(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str for key in value):
        return {key: json_value(item) for key, item in value.items()}
    return [[json_value(key), json_value(item)] for key, item in value.items()]


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return repr(value)
