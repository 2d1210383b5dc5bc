"""Which values are shareable: those that cannot be changed and are decoded as they were."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from storage.codec.codec import Codec
from storage.errors import UnencodableValue
from tests.helpers import case_id


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    one: Any
    other: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Trimmed:
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text.strip())


CODEC = Codec()
for cls in (Colour, Pair, Trimmed):
    CODEC.register(cls)

HOUR = timedelta(hours=1)
LASTING = [
    None,
    True,
    1 << 80,
    1.5,
    "text",
    b"bytes",
    Decimal("1.50"),
    date(2026, 1, 1),
    HOUR,
    UUID(int=1),
    Colour.RED,
    datetime(2026, 1, 1),
    datetime(2026, 10, 25, 2, 30, fold=1),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=timezone(HOUR)),
    time(1),
    time(1, tzinfo=timezone(-HOUR)),
    (1, ("a", Pair(2))),
    frozenset([1, (2,)]),
    Pair(1, (Pair("x"),)),
]
NOT_LASTING = [
    [],
    {},
    ([],),
    Pair({}),
    (Pair(1, Pair([])),),
    bytearray(b"x"),
    memoryview(b"x"),
    datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")),
    datetime(2026, 1, 1, tzinfo=timezone(HOUR, "CET")),
    datetime(2026, 1, 1, tzinfo=timezone(HOUR), fold=1),
    time(1, tzinfo=timezone(HOUR, "CET")),
    frozenset([datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))]),
    Trimmed("x"),
    (Trimmed("x"),),
]


def zone_of(value: Any) -> Any:
    return repr(value), getattr(value, "fold", None), repr(getattr(value, "tzinfo", None))


@pytest.mark.parametrize("value", LASTING, ids=repr)
def test_what_lasts_is_shared(value: Any) -> None:
    assert CODEC.shareable(value)
    assert CODEC.faithful(value)
    assert CODEC.own(value) is value
    assert zone_of(CODEC.decode(CODEC.encode(value))) == zone_of(value)


@pytest.mark.parametrize("value", NOT_LASTING, ids=case_id)
def test_of_what_does_not_last_each_has_an_own_copy_as_decoding_gives_it(value: Any) -> None:
    assert not CODEC.shareable(value)
    own, again = CODEC.own(value), CODEC.own(value)
    assert own is not value
    assert zone_of(own) == zone_of(again) == zone_of(CODEC.decode(CODEC.encode(value)))


@pytest.mark.parametrize(
    "value", [[], {"k": [1, (2,)]}, Pair([datetime(2026, 1, 1, tzinfo=UTC)]), [{}] * 3], ids=repr
)
def test_lists_and_dicts_come_back_as_they_are(value: Any) -> None:
    assert CODEC.faithful(value)
    assert CODEC.own(value) == value


@pytest.mark.parametrize(
    "value", [[bytearray()], {"k": [Trimmed("x")]}, {ZoneInfo("UTC"): 1}, [{1, 2}]], ids=repr
)
def test_lists_and_dicts_of_what_comes_back_as_something_else_do_not(value: Any) -> None:
    assert not CODEC.faithful(value)


def test_a_copy_of_a_list_or_dict_is_no_part_of_it() -> None:
    for value in ([1, 2], {"k": 1}, [[1]], {"k": [1]}):
        own = CODEC.own(value)
        assert own == value
        assert own is not value
    deep = {"k": [1]}
    CODEC.own(deep)["k"].append(2)
    assert deep == {"k": [1]}


def test_only_the_fields_that_are_named_are_looked_at() -> None:
    codec = Codec()
    codec.register(Pair)
    codec.shareable.register(Pair, ["other"])
    assert codec.shareable(Pair([], 1))
    assert not codec.shareable(Pair(1, []))
    codec.shareable.register(Pair, [])
    assert codec.shareable.check_of(Pair) is None
    assert codec.shareable(([], Pair([]))[1])


def test_what_is_too_deep_to_be_looked_at_does_not_last() -> None:
    value: Any = ()
    for _ in range(5000):
        value = (value,)
    assert not CODEC.shareable(value)
    assert not CODEC.shareable(Pair(value))
    pairs = Pair([])
    for _ in range(5000):
        pairs = Pair(pairs)
    for deep in (value, Pair(value), pairs):
        with pytest.raises(UnencodableValue, match="nested too deeply"):
            CODEC.own(deep)
