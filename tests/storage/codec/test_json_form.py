"""Every stored value has a JSON form that gives the same bytes again."""

from __future__ import annotations

import enum
import json
import math
import struct
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import ExtType, packb

from storage.codec.codec import Codec
from storage.codec.json_form import from_json, pack_stored, to_json, unpack_stored
from storage.errors import CodecError
from tests.oracle import values as oracle


class Colour(enum.Enum):
    RED = "#f00"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Line:
    name: Any
    price: Any = None


CODEC = Codec()
for cls in (Colour, Right, Line):
    CODEC.register(cls)

EVERYTHING = oracle.values(
    lambda some: st.builds(Line, some, some),
    oracle.leaves | st.sampled_from([Colour.RED, Right(0), Right.READ | Right.WRITE, {"$type": 1}, {"$": 1}]),
)


@given(EVERYTHING)
def test_a_value_comes_back_as_the_same_bytes(value: Any) -> None:
    data = CODEC.encode(value)
    text = json.dumps(to_json(unpack_stored(data)), allow_nan=False)
    assert pack_stored(from_json(json.loads(text))) == data


@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(), lambda some: st.dictionaries(
    st.sampled_from(["$type", "$tuple", "$dict", "$bytes", "a", "$fields"]), some | st.lists(some)
)))  # fmt: skip
def test_a_dict_that_looks_like_a_form_is_not_taken_for_one(value: Any) -> None:
    data = CODEC.encode(value if not isinstance(value, int) else 0)
    assert pack_stored(from_json(json.loads(json.dumps(to_json(unpack_stored(data)))))) == data


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (7, 7),
        (2**53, 2**53),
        (2**53 + 1, {"$int": "9007199254740993"}),
        (-(2**70), {"$int": "-1180591620717411303424"}),
        (10**300, {"$int": hex(10**300)}),
        (1.0, 1.0),
        (math.nan, {"$float": "nan"}),
        (-math.inf, {"$float": "-inf"}),
        (b"\0\xff", {"$bytes": "AP8="}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (datetime(2024, 10, 27, 2, 30, fold=1), {"$datetime": "2024-10-27T02:30:00*"}),
        (
            datetime(2024, 5, 1, tzinfo=timezone(timedelta(hours=2))),
            {"$datetime": "2024-05-01T00:00:00+02:00"},
        ),
        (date(2024, 5, 1), {"$date": "2024-05-01"}),
        (time(2, 30, fold=1), {"$time": "02:30:00*"}),
        (timedelta(days=-1, microseconds=5), {"$timedelta": [-1, 0, 5]}),
        (UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
        ((1, [2]), {"$tuple": [1, [2]]}),
        (frozenset({2, 1}), {"$frozenset": [1, 2]}),
        (Colour.RED, {"$enum": ["Colour", "RED"]}),
        (Right.READ | Right.WRITE, {"$enum": ["Right", "READ", "WRITE"]}),
        (Line("a", (1,)), {"$type": "Line", "name": "a", "price": {"$tuple": [1]}}),
        ({1: "a", "1": "b"}, {"$dict": [[1, "a"], ["1", "b"]]}),
        ({"$type": 1}, {"$dict": [["$type", 1]]}),
    ],
)
def test_each_kind_of_value_has_its_form(value: Any, form: Any) -> None:
    assert to_json(unpack_stored(CODEC.encode(value))) == form


def test_a_nan_of_other_bits_keeps_them() -> None:
    data = b"\xcb" + struct.pack(">Q", 0xFFF8_0000_0000_0001)
    form = to_json(unpack_stored(data))
    assert form == {"$float": "0xfff8000000000001"}
    assert pack_stored(from_json(form)) == data


@pytest.mark.parametrize(
    "value",
    [
        ExtType(99, b"later"),
        ExtType(5, b"\0\0\0\1"),  # an int of another length than the codec writes
        ExtType(4, packb([b"\2", b"\1"])),  # a frozenset that is not sorted
        ExtType(1, b"\xc1"),
        ExtType(1, packb(["Name", 7])),
        ExtType(11, b"short"),
    ],
)
def test_an_extension_value_that_no_codec_writes_keeps_its_bytes(value: ExtType) -> None:
    assert from_json(json.loads(json.dumps(to_json(value)))) == value


@pytest.mark.parametrize(
    "form",
    [
        {"$nothing": 1},
        {"$int": "x"},
        {"$int": 7},
        {"$bytes": "?"},
        {"$uuid": "1"},
        {"$tuple": [], "$dict": []},
        {"$enum": []},
        {"$dict": [1]},
        {"$float": "0x00"},
        {"$frozenset": 7},
    ],
)
def test_what_is_no_form_is_refused(form: Any) -> None:
    with pytest.raises(CodecError, match="is not the JSON form"):
        from_json(form)


def test_the_keys_of_an_object_may_come_in_another_order() -> None:
    form = {"name": 1, "$type": "Line", "price": 2}
    assert unpack_stored(from_json(form).data) == ["Line", {"name": 1, "price": 2}]
