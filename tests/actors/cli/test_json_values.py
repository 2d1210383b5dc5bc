"""Values of Python as JSON."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from actors.cli.json_values import json_line
from storage import RecordedEvent


class Colour(Enum):
    RED = "#f00"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Lamp:
    colour: Colour
    at: Point
    price: Decimal | None = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("Öl\n\udcff", "Öl\n\udcff"),
        (7, 7),
        (10**299, 10**299),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2024, 5, 1, 10, 30, tzinfo=UTC), "2024-05-01T10:30:00+00:00"),
        (date(2024, 5, 1), "2024-05-01"),
        (time(10, 30), "10:30:00"),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        (b"\x00\xff", "00ff"),
        (Colour.RED, "RED"),
        (Level.HIGH, "HIGH"),
        (Lamp(Colour.RED, Point(1, 2)), {"colour": "RED", "at": {"x": 1, "y": 2}, "price": None}),
        ([1, (2, "x")], [1, [2, "x"]]),
        (frozenset({3, 1, 2}), [1, 2, 3]),
        (frozenset({"b", None, "a"}), ["a", "b", None]),
        ({"b": 1, "a": {}}, {"b": 1, "a": {}}),
        ({1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
        (Lamp, repr(Lamp)),
    ],
)
def test_every_value_has_its_form(value: Any, expected: Any) -> None:
    line = json_line(value)
    assert json.loads(line) == expected
    assert line.isascii()
    assert "\n" not in line


def test_an_int_that_python_does_not_write_in_decimals_is_text_in_hexadecimals() -> None:
    assert json.loads(json_line(-(10**5000))) == hex(-(10**5000))


def test_the_keys_of_a_dict_keep_their_order() -> None:
    assert json_line({"b": 1, "a": 2}) == '{"b": 1, "a": 2}'


def test_a_row_of_sqlite_is_an_object() -> None:
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    row = db.execute("SELECT 'lamp' AS sku, 5 AS price").fetchone()
    db.close()
    assert json.loads(json_line(row)) == {"sku": "lamp", "price": 5}


def test_a_recorded_event_has_its_fields_and_its_time() -> None:
    event = RecordedEvent(7, "lamp-1", 2, Point(1, 2), "Moved", 1_000_000, "id", tags=("red",))
    assert json.loads(json_line(event)) == {
        "position": 7,
        "stream": "lamp-1",
        "version": 2,
        "type": "Moved",
        "event": {"x": 1, "y": 2},
        "time": "1970-01-01T00:00:01+00:00",
        "command_id": "id",
        "command": None,
        "causation_id": None,
        "correlation_id": None,
        "tags": ["red"],
        "metadata": None,
    }


def test_an_iterator_is_shown_and_not_consumed() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    assert "endless" in json_line(endless())
