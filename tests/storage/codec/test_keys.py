"""Keys sort as their values do, and say what is wrong with values that cannot be keys."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.keys import MAX_KEY_BYTES, encode_component, encode_key, encode_prefix, successor
from storage.errors import InvalidKey, KeyTooLong

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(
    st.integers(),
    st.integers(-(2**900), 2**900),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, places=4, min_value=-(10**9), max_value=10**9),
    st.decimals(allow_nan=False, min_value=-3, max_value=3),
)
moments = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5))])
)


def exact(number: Any) -> Any:
    """The value that a number is encoded as: a float that is not whole is its shortest decimal."""
    if isinstance(number, float) and not number.is_integer() and abs(number) != float("inf"):
        number = Decimal(repr(number))
    return number if abs(number) == Decimal("inf") else Fraction(number)


@given(numbers, numbers)
def test_numbers_of_all_types_sort_together_by_value(a: Any, b: Any) -> None:
    x, y = exact(a), exact(b)
    assert (encode_component(a) < encode_component(b)) == (x < y)
    assert (encode_component(a) == encode_component(b)) == (x == y)


@given(texts, texts)
def test_strings_sort_by_code_point(a: str, b: str) -> None:
    assert (encode_key(a) < encode_key(b)) == (a < b)
    assert (encode_key(a) == encode_key(b)) == (a == b)


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_bytes_sort_as_bytes(a: bytes, b: bytes) -> None:
    assert (encode_key(a) < encode_key(b)) == (a < b)


@given(st.lists(st.tuples(texts, st.integers(), texts), min_size=2, max_size=6))
def test_tuples_sort_component_by_component(keys: list[tuple[str, int, str]]) -> None:
    assert sorted(keys) == sorted(keys, key=encode_key)


@given(moments, moments)
def test_aware_datetimes_sort_by_instant(a: datetime, b: datetime) -> None:
    assert (encode_key(a) < encode_key(b)) == (a < b)
    assert (encode_key(a) == encode_key(b)) == (a == b)


@given(st.dates(), st.dates(), st.datetimes(), st.datetimes(), st.uuids(), st.uuids())
def test_dates_naive_datetimes_and_uuids_sort_as_themselves(
    day: date, other_day: date, time: datetime, other_time: datetime, one: UUID, two: UUID
) -> None:
    assert (encode_key(day) < encode_key(other_day)) == (day < other_day)
    assert (encode_key(time) < encode_key(other_time)) == (time < other_time)
    assert (encode_key(one) < encode_key(two)) == (one < two)


@given(texts, texts)
def test_a_prefix_encloses_exactly_the_strings_that_begin_with_it(prefix: str, text: str) -> None:
    low = encode_prefix(prefix)
    high = successor(low)
    assert high is not None
    assert (low <= encode_key(text) < high) == text.startswith(prefix)
    assert low <= encode_key((prefix + text, 1)) < high


def test_kinds_sort_in_their_documented_order() -> None:
    ladder = [
        None,
        False,
        True,
        float("-inf"),
        -(10**400),
        -1.5,
        -1,
        Decimal("-0.5"),
        0,
        5e-324,
        Decimal("0.1"),
        1,
        255,
        256,
        10**400,
        float("inf"),
        datetime(2024, 1, 1),
        datetime(2024, 1, 1, tzinfo=UTC),
        date(2024, 1, 1),
        "",
        "\0",
        "\0\0",
        "\0a",
        "a",
        "a\0",
        "ab",
        "é",
        "\U0001f600",
        b"",
        b"\0",
        b"\xff",
        UUID(int=1),
    ]
    encoded = [encode_component(value) for value in ladder]
    assert encoded == sorted(encoded)
    assert len(set(encoded)) == len(encoded)


def test_equal_numbers_of_different_types_are_one_key() -> None:
    assert encode_key(2) == encode_key(2.0) == encode_key(Decimal("2.00"))
    assert encode_key(0.1) == encode_key(Decimal("0.1"))
    assert encode_key(0) == encode_key(-0.0) == encode_key(Decimal("-0")) == encode_key(Decimal("0E+5000"))
    assert encode_key(True) != encode_key(1)


def test_an_enum_member_is_the_key_of_its_value() -> None:
    class Size(enum.Enum):
        SMALL = "s"

    class Level(enum.IntEnum):
        HIGH = 3

    assert encode_key(Size.SMALL) == encode_key("s")
    assert encode_key(Level.HIGH) == encode_key(3)


def test_a_subclass_is_the_key_of_its_base() -> None:
    class Sku(str):
        __slots__ = ()

    assert encode_key(Sku("lamp")) == encode_key("lamp")


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        Decimal("NaN"),
        Decimal("sNaN"),
        "\ud800",
        "\0\ud800",
        ["lamp"],
        {"a": 1},
        object(),
        ("a", ("b",)),
    ],
)
def test_what_has_no_order_is_refused(value: object) -> None:
    with pytest.raises(InvalidKey):
        encode_key(value)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 600,
        "é" * 300,
        ("x" * 300, "y" * 300),
        10**2000,
        b"\0" * 300,
        Decimal("1E+99999999"),
        Decimal("1E-99999999"),
    ],
)
def test_a_key_beyond_what_lmdb_holds_is_refused(value: object) -> None:
    with pytest.raises(KeyTooLong, match=r"long|at most"):
        encode_key(value)


def test_the_longest_key_fits() -> None:
    assert len(encode_key("x" * (MAX_KEY_BYTES - 2))) == MAX_KEY_BYTES


def test_only_a_string_begins_strings() -> None:
    with pytest.raises(InvalidKey, match="must be a str"):
        encode_prefix(5)


def test_bytes_that_are_all_ff_have_no_successor() -> None:
    assert successor(b"\xff\xff") is None
    assert successor(b"") is None
    assert successor(b"a\xff") == b"b"
