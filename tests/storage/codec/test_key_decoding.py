"""Keys are decoded as they were, or as another value of the same key if several values have it."""

from __future__ import annotations

import enum
import math
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.key_decoding import decode_key, decode_keys
from storage.codec.keys import encode_component, encode_key
from storage.errors import CodecError, KeyTooLong
from tests.oracle.value_forms import order
from tests.oracle.values import beyond, keys

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\0"), max_size=12)
exact = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**2000), 2**2000),
    texts,
    st.binary(max_size=12) | st.binary(max_size=3).map(lambda raw: raw.replace(b"\1", b"\0")),
    st.datetimes(),
    st.dates(),
    st.uuids(),
)
numbers = st.floats(allow_nan=False) | st.decimals(allow_nan=False, min_value=-(10**30), max_value=10**30)
moments = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5))])
)


@given(exact)
def test_values_that_have_a_key_of_their_own_come_back_as_they_were(value: Any) -> None:
    back = decode_key(encode_key(value))
    assert back == value
    assert type(back) is type(value)


@given(numbers)
def test_a_number_comes_back_as_one_of_its_key(number: Any) -> None:
    back = decode_key(encode_component(number))
    assert encode_component(back) == encode_component(number)
    assert type(back) is (float if abs(number) == math.inf else int if back == int(back) else Decimal)


@given(moments)
def test_an_aware_time_comes_back_in_utc(moment: datetime) -> None:
    back = decode_key(encode_key(moment))
    assert back == moment
    assert back.tzinfo is UTC


@given(
    st.lists(
        exact.filter(lambda value: not isinstance(value, int)) | st.integers(-300, 300),
        min_size=1,
        max_size=5,
    )
)
def test_the_parts_of_a_key_come_back_in_their_order(values: list[Any]) -> None:
    assert decode_keys(b"".join(map(encode_component, values))) == tuple(values)


@pytest.mark.parametrize("first", [True, False])
def test_an_instant_that_utc_has_no_date_for_comes_back_in_the_nearest_zone_of_minutes(first: bool) -> None:
    edge, sign = (datetime.min, 1) if first else (datetime.max, -1)
    day = timedelta(days=1)
    for ahead in (
        timedelta(microseconds=1),
        timedelta(minutes=1),
        timedelta(hours=5),
        timedelta(hours=5, seconds=7),
        day - timedelta(minutes=1),
        day - timedelta(seconds=1),
        day - timedelta(microseconds=1),
    ):
        moment = edge.replace(tzinfo=timezone(sign * ahead))
        back = decode_key(encode_key(moment))
        assert encode_key(back) == encode_key(moment)
        assert back - moment == timedelta(0)
        offset = abs(back.utcoffset())
        assert ahead <= offset < ahead + timedelta(minutes=1)
        assert offset == ahead or not offset % timedelta(minutes=1)


@given(beyond, st.integers(0, 1))
def test_all_instants_that_no_utc_date_has_come_back(moment: datetime, more: int) -> None:
    key = (moment,) * (more + 1)
    assert decode_keys(encode_key(key)) == key
    assert encode_key(decode_keys(encode_key(key))) == encode_key(key)


@given(keys)
def test_a_key_of_any_kind_gives_what_has_the_same_key(value: Any) -> None:
    assert encode_key(decode_key(encode_key(value))) == encode_key(value)
    assert order(decode_key(encode_key(value))) == order(value)


def test_keys_at_the_ends_of_their_kinds_come_back() -> None:
    for value in (
        datetime.min,
        datetime.max,
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        date.min,
        date.max,
        -(2**4000),
        2**4000,
        UUID(int=0),
        UUID(int=2**128 - 1),
    ):
        back = decode_key(encode_key(value))
        assert (type(back), back) == (type(value), value)
    for number in (
        5e-324,
        -5e-324,
        sys.float_info.max,
        sys.float_info.min,
        Decimal("1E-900"),
        Decimal("-1E+900"),
    ):
        assert order(decode_key(encode_key(number))) == order(number)
    folded = datetime(2026, 10, 25, 2, 30, fold=1)
    assert decode_key(encode_key(folded)) == folded
    assert decode_key(encode_key(folded)).fold == 0


def test_long_numbers_are_keys_whatever_the_limit_on_the_text_of_an_int() -> None:
    digits = "123456789" * 80
    long = [Decimal(text) for text in (f"-{digits}.5", f"0.{digits}", f"{digits}.{digits[:200]}", digits)]
    keys_of_long = [encode_key(number) for number in long]
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert [encode_key(number) for number in long] == keys_of_long
        assert [order(decode_key(key)) for key in keys_of_long] == [order(number) for number in long]
        with pytest.raises(KeyTooLong):
            encode_key(Decimal(f"{digits}.{digits}"))
    finally:
        sys.set_int_max_str_digits(limit)


def test_numbers_are_whole_or_decimal() -> None:
    for number, want in (
        (5.0, 5),
        (Decimal("5.00"), 5),
        (-0.1, Decimal("-0.1")),
        (Decimal("1.50"), Decimal("1.5")),
    ):
        assert repr(decode_key(encode_key(number))) == repr(want)


def test_an_enum_comes_back_as_its_value() -> None:
    colour = enum.Enum("colour", {"RED": "red"})
    assert decode_key(encode_key(colour.RED)) == "red"


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"0abc",
        b"0\xc3\0",
        b"\x20",
        b"\x20\x81\x05",
        b"\x2a\0\0\0\0",
        b"\x32abc",
        b"\x77",
        b"\x28" + b"\xff" * 8,
        b"\x29" + b"\xff" * 8,
        b"\x29" + b"\0" * 8,
        b"0a\0\x77",
    ],
)
def test_bytes_that_are_no_key_are_recognised(damaged: bytes) -> None:
    with pytest.raises(CodecError, match="not a key"):
        decode_key(damaged)


def test_known_kinds() -> None:
    uuid = UUID(int=7)
    key = ("désk\0", b"\0\xff", uuid, date(2024, 2, 29), datetime(2024, 2, 29, 1, 2, 3, 4), None, True)
    assert decode_keys(encode_key(key)) == key
