"""Values in error messages: bounded, and never the reason of another error."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.value_text import short_repr

HUGE = 10**5000


class Broken:
    def __repr__(self) -> str:
        raise LookupError("no text today")


class Sly:
    def __repr__(self) -> Any:
        return 5


@dataclasses.dataclass(frozen=True)
class Note:
    name: str
    value: Any


SMALL = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-999, 999),
        st.floats(),
        st.text(max_size=3),
        st.binary(max_size=3),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.frozensets(st.integers(0, 9), max_size=2),
        st.sets(st.integers(0, 9), max_size=2),
    ),
    max_leaves=5,
)


@given(SMALL)
def test_what_is_short_is_shown_as_its_repr(value: Any) -> None:
    assert short_repr(value, 10_000) == repr(value)


@given(SMALL, st.integers(10, 60))
def test_what_is_long_is_cut(value: Any, limit: int) -> None:
    text = short_repr(value, limit)
    assert len(text) <= limit
    assert text == repr(value) or text == f"{repr(value)[: limit - 3]}..."


@pytest.mark.parametrize(
    "value",
    [
        HUGE,
        -HUGE,
        [HUGE],
        {"a": (HUGE,)},
        {HUGE},
        frozenset({HUGE}),
        Note("a", HUGE),
        [Note("a", [HUGE])],
        OrderedDict(a=HUGE),
        Broken(),
        [Broken()],
        Sly(),
        Note("a", Broken()),
        {Note("a", 1): Broken()},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_repr_is_shown_all_the_same(value: Any) -> None:
    text = short_repr(value)
    assert 0 < len(text) <= 80
    assert "\n" not in text


def test_a_message_with_such_a_field_is_told_by_the_others() -> None:
    assert short_repr(Note("ann", HUGE), 200) == "Note(name='ann', value=<an int of about 5,001 digits>)"
    assert short_repr([1, Broken()]) == "[1, <Broken, whose repr fails: LookupError>]"


def test_what_contains_itself_or_is_endlessly_deep_is_cut() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert short_repr(loop) == "<list, whose repr fails: RecursionError>"
    loop.insert(0, "x" * 100)
    assert len(short_repr(loop)) == 80


def test_no_more_is_looked_at_than_is_shown() -> None:
    looked: list[int] = []

    class Watched:
        def __repr__(self) -> str:
            looked.append(1)
            return "watched"

    assert len(short_repr([Watched() for _ in range(1000)])) == 80
    assert len(looked) < 20
    assert len(short_repr("x" * 10**6)) == 80


def test_what_ends_the_program_is_passed_on() -> None:
    class Ends:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short_repr([Ends()])
