"""The generators of the oracles make what they promise, and the plain Python beside them agrees with the
codec.
"""

from __future__ import annotations

import dataclasses
import math
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from storage.codec.codec import Codec
from storage.codec.keys import encode_key
from tests.oracle import value_forms as forms
from tests.oracle import values as oracle


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    marks: Any


CODEC = Codec()
CODEC.register(Note)


def notes(inner: oracle.Values) -> oracle.Values:
    return st.builds(Note, inner)


@given(oracle.values(notes))
def test_a_value_comes_back_as_its_stored_form(value: Any) -> None:
    back = CODEC.decode(CODEC.encode(value))
    assert forms.shown_exactly(back) == forms.shown_exactly(forms.as_stored(value))
    assert forms.shown_exactly(CODEC.own(value)) == forms.shown_exactly(back)


@given(oracle.changeable)
def test_nobody_who_spoils_a_value_spoils_what_is_stored(value: Any) -> None:
    stored = forms.as_stored(value)
    before = forms.shown_exactly(stored)
    own = CODEC.own(value)
    forms.spoil(value)
    assert forms.shown_exactly(stored) == forms.shown_exactly(own) == before


@given(st.lists(oracle.keys, min_size=2, max_size=4))
def test_keys_sort_in_the_oracle_as_on_the_disk(keys: list[Any]) -> None:
    assert [encode_key(key) for key in sorted(keys, key=forms.order)] == sorted(map(encode_key, keys))
    for one in keys:
        for other in keys:
            assert (forms.order(one) == forms.order(other)) == (encode_key(one) == encode_key(other))


@given(st.data(), st.sampled_from(sorted(oracle.KEYS)))
def test_keys_of_tuples_sort_by_their_parts(data: st.DataObject, kind: str) -> None:
    pairs = data.draw(st.lists(st.tuples(oracle.KEYS[kind], oracle.keys), min_size=2, max_size=4))
    assert [encode_key(pair) for pair in sorted(pairs, key=forms.order)] == sorted(map(encode_key, pairs))


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        (oracle.texts, lambda text: "\0" in text[1:]),
        (oracle.raws, lambda raw: b"\0\xff" in raw),
        (oracle.numbers, lambda number: number != number),
        (oracle.numbers, lambda number: isinstance(number, float) and math.copysign(1, number) < 0 == number),
        (oracle.numbers, lambda number: isinstance(number, int) and number > 2**900),
        (oracle.decimals, lambda number: number == 1 and str(number) != "1"),
        (oracle.clocks, lambda at: at.fold == 1),
        (oracle.instants, lambda at: isinstance(at.tzinfo, ZoneInfo) and at.fold == 1),
        (oracle.values(), lambda value: value in ([], {}, (), frozenset()) and isinstance(value, frozenset)),
        (oracle.values(), lambda value: isinstance(value, list) and repr(value).count("[") > 100),
        (oracle.values(notes), lambda value: isinstance(value, Note) and isinstance(value.marks, list)),
    ],
)
def test_what_hurts_is_among_them(strategy: oracle.Values, wanted: Any) -> None:
    assert wanted(find(strategy, wanted, settings=settings(max_examples=5000, database=None)))


@given(oracle.beyond)
def test_utc_has_no_date_for_what_is_beyond(at: datetime) -> None:
    with pytest.raises(OverflowError):
        at.astimezone(oracle.UTC)


def test_what_differs_to_whoever_looks_closely_is_shown_apart() -> None:
    some = [1, True, 1.0, Decimal(1), Decimal("1.0"), 0.0, -0.0, "1", b"1", bytearray(b"1"), (1,), [1]]
    shown = [forms.shown_exactly(one) for one in some]
    assert len(set(map(repr, shown))) == len(some)
    assert forms.shown_exactly(math.nan) == forms.shown_exactly(float("nan"))
