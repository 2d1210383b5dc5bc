"""When a result counts as another one: by what it is, NaN included."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from actors.subscriptions.result_comparison import trace_of
from storage.codec.codec import Codec


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    amount: Any


@dataclasses.dataclass
class Unknown:
    """No codec knows it."""

    value: Any


class Plain:
    """Equal to others by its own `__eq__`, which fails for some."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if self.value == "broken":
            raise RuntimeError("can't be compared")
        return isinstance(other, Plain) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


Pair = namedtuple("Pair", "one other")

codec = Codec()
codec.register(Price)

NAN = math.nan
OTHER_NAN = float("nan")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def trace(result: Any) -> Any:
    return trace_of(result, codec.pack)


SAME = [
    (NAN, OTHER_NAN),
    ([NAN], [OTHER_NAN]),
    ((1, NAN), (1, OTHER_NAN)),
    ([{"v": NAN}], [{"v": OTHER_NAN}]),
    (Price(NAN), Price(OTHER_NAN)),
    ({"p": (Price([NAN]),)}, {"p": (Price([OTHER_NAN]),)}),
    (Unknown(NAN), Unknown(OTHER_NAN)),
    ([Unknown({"a": NAN}), Plain(1)], [Unknown({"a": OTHER_NAN}), Plain(1)]),
    (Pair(NAN, 1), Pair(OTHER_NAN, 1)),
    (OrderedDict(a=NAN), OrderedDict(a=OTHER_NAN)),
    ({1, 2}, {2, 1}),
    (frozenset({1, 2}), frozenset({2, 1})),
    (None, None),
]
VALUES = [
    0,
    0.0,
    -0.0,
    1,
    1.0,
    True,
    "1",
    Decimal("1.0"),
    Decimal("1.00"),
    NAN,
    None,
    NOON,
    NOON.astimezone(timezone(timedelta(hours=2))),
]
WRAPPED = [
    lambda value: value,
    lambda value: [value],
    lambda value: {"v": value},
    lambda value: [{"v": (value,)}],
    lambda value: Price(value),
    lambda value: Unknown(value),
    lambda value: [object, Unknown([value])],
    lambda value: Pair(value, 1),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_results_are_the_same_and_nan_is_nan(one: Any, other: Any) -> None:
    assert trace(one) == trace(other)


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_another_type_another_form_and_another_offset_are_changes(wrapped: Any) -> None:
    traces = [trace(wrapped(value)) for value in VALUES]
    for one, other in itertools.combinations(traces, 2):
        assert one != other


def test_a_container_of_another_kind_is_a_change() -> None:
    for one, other in itertools.combinations(
        [[1], (1,), {1: 1}, Pair(1, 1), OrderedDict({1: 1}), [1, 1], Price(1), Unknown(1), frozenset({1})], 2
    ):
        assert trace(one) != trace(other)


def test_what_can_not_be_compared_differs_and_what_contains_itself_is_compared_somehow() -> None:
    assert trace(Plain("broken")) != trace(Plain("broken"))
    loop: list[Any] = [1]
    loop.append(loop)
    assert trace(loop) != trace([1])


def test_what_the_reader_does_to_a_result_changes_no_trace() -> None:
    for result in ([1, [2]], [Unknown([1]), {"a": [1]}], {"s": {1, 2}}):
        before, kept = trace(result), trace(result)
        result.clear()
        assert before == kept
        assert trace(result) != kept
