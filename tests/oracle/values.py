"""Values that hurt, for every oracle of this folder.

An oracle runs a random program twice: through the library, and over dictionaries by brute force, which are
too simple to be wrong. So nothing here and in `value_forms.py` imports `actors` or `storage`. How to use it:

    from tests.oracle.value_forms import as_stored, order, shown_exactly
    from tests.oracle.values import KEYS, texts, values

    @given(st.lists(st.tuples(texts, values())))
    def test_rows_hold_against_a_dictionary(...): ...

- Strategies: `texts` and `raws` (NUL and FF, each with those that begin with it), `numbers`, `decimals`
  (equal ones with other exponents), `whens` (naive and aware, zones, fold, the first and the last ones),
  `leaves` (all that holds no other value), `zoned` (whose zones are lost when they are stored) and
  `values(wrap)` (leaves and containers, empty and nested up to the limits; `wrap` makes a strategy of a
  domain's value classes from one of what is in them). `changeable` are values that somebody might go on
  changing.
- `KEYS` has a strategy for each kind of key, by its name, and `keys` is any of them. `pools(kind)` are small
  lists of keys for a program to draw from, so that it meets them again. `without_nan` is `values` without
  what is not equal to itself.
- How they sort and what becomes of them when they are stored is in `value_forms.py`.

A test here is of hypothesis, by `@given` or a state machine, with `max_examples` as a share of `settings()`,
so that `make test` takes few examples, `make soak` many, and a failure comes smaller, with a line that has it
run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.oracle.value_forms import BERLIN

Values = st.SearchStrategy[Any]

MOST_LEVELS = 32
"""Tuples, frozensets and value classes that may be inside one another."""
MOST_CONTAINERS = 128
"""Lists and dicts that may be."""

ZONES: list[tzinfo] = [
    UTC,
    BERLIN,
    ZoneInfo("UTC"),
    timezone(timedelta(hours=5)),
    timezone(timedelta(hours=-7), "MST"),
    timezone(timedelta(hours=-5, minutes=-30, seconds=-7)),
]
"""Zones that are their offset, and zones that are more."""

# -- strategies: what holds no other value -------------------------------------------------------------------
_LETTERS = "ab\0\x01\xff\u0100\uffff\U0010ffff"
_BYTES = [b"\0", b"\1", b"\xfe", b"\xff", b"a"]

texts: st.SearchStrategy[str] = st.one_of(
    st.sampled_from(["", "a", "a\0", "a\0\0", "a\0b", "a\0\xff", "a\x01", "ab", "\0", "\xff", "Ä", "ä b"]),
    st.text(st.sampled_from(_LETTERS), max_size=5),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
raws: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from(
        [b"", b"\1", b"\1\0", b"\1\0\2", b"\1\0\xff", b"\1\0\xff\2", b"\1\1", b"\0", b"\xff", b"\xff\xff"]
    ),
    st.lists(st.sampled_from(_BYTES), max_size=5).map(b"".join),
)
_EDGES = [2**7, 2**8, 2**16, 2**31, 2**32, 2**63, 2**64, 2**1000, 2**1008]
integers: st.SearchStrategy[int] = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([sign * (edge + off) for edge in _EDGES for off in (-1, 0, 1) for sign in (1, -1)]),
    st.integers(-(2**70), 2**70),
)
floats: st.SearchStrategy[float] = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 0.1, 0.5, -0.5, 1.0, 5e-324, 1e300, -1e300, 2.0**53, math.inf, -math.inf, math.nan]
    ),
    st.floats(),
)
decimals: st.SearchStrategy[Decimal] = st.one_of(
    st.sampled_from(
        [
            Decimal(text)
            for text in ("1", "1.0", "1.00", "0.10", "0.1", "0.5", "0.50", "-0.5", "-1.00", "1E-30")
        ]
    ),
    st.sampled_from([Decimal(text) for text in ("1E+2", "100", "100.0", "0", "-0", "0E+5", "0E-5", "1E+40")]),
    st.sampled_from([Decimal("Infinity"), Decimal("-Infinity"), Decimal("NaN")]),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9),
)
numbers: Values = st.one_of(integers, floats, decimals)

# Around the hours that Berlin skips and repeats, and at the ends of the calendar.
_CLOCKS = [
    datetime(2026, 3, 29, 1, 59, 59, 999999),
    datetime(2026, 3, 29, 2, 30),
    datetime(2026, 10, 25, 2, 30),
    datetime(2026, 10, 25, 2, 30, fold=1),
    datetime(2026, 10, 25, 0, 30),
    datetime(2026, 3, 28, 12),
    datetime(1970, 1, 1),
    datetime(1969, 12, 31, 23, 59, 59, 999999),
]
clocks: st.SearchStrategy[datetime] = st.one_of(
    st.sampled_from([*_CLOCKS, datetime.min, datetime.max]), st.datetimes()
)
"""Naive datetimes."""
instants: st.SearchStrategy[datetime] = st.builds(
    lambda at, zone: at.replace(tzinfo=zone),
    st.sampled_from(_CLOCKS) | st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    st.sampled_from(ZONES),
)
"""Aware datetimes, all within what UTC has a date for."""
zoned: st.SearchStrategy[datetime] = st.builds(
    lambda at, zone: at.replace(tzinfo=zone), st.sampled_from(_CLOCKS), st.sampled_from([BERLIN, ZONES[4]])
)
"""Aware datetimes whose zones are more than their offsets: a day later by the clock of Berlin may be another
instant.
"""
_AHEAD = st.integers(1, 23 * 60).map(lambda minutes: timedelta(minutes=minutes))
_ONE = st.sampled_from([timedelta(0), timedelta(microseconds=7)])
beyond: st.SearchStrategy[datetime] = st.one_of(
    st.builds(lambda ahead, one: datetime.max.replace(tzinfo=timezone(-ahead)) - one, _AHEAD, _ONE),
    st.builds(lambda ahead, one: datetime.min.replace(tzinfo=timezone(ahead)) + one, _AHEAD, _ONE),
)
"""Aware datetimes that UTC has no date for: "for ever" in local time."""
days: st.SearchStrategy[date] = st.one_of(
    st.sampled_from([date.min, date.max, date(2024, 2, 29)]), st.dates()
)
uuids: st.SearchStrategy[UUID] = st.one_of(
    st.sampled_from([UUID(int=0), UUID(int=1), UUID(int=2**128 - 1), UUID(bytes=b"\xff" * 15 + b"\0")]),
    st.uuids(),
)
times: st.SearchStrategy[time] = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
    st.sampled_from([time.min, time.max, time(2, 30)]) | st.times(),
    st.none() | st.sampled_from([zone for zone in ZONES if zone.utcoffset(None) is not None]),
    st.sampled_from([0, 1]),
)
spans: st.SearchStrategy[timedelta] = st.one_of(
    st.sampled_from([timedelta.min, timedelta.max, timedelta(0), timedelta(microseconds=-1)]), st.timedeltas()
)
whens: Values = st.one_of(clocks, instants, days, times, spans)
leaves: Values = st.one_of(st.none(), st.booleans(), texts, raws, numbers, whens, uuids)

# -- strategies: containers ----------------------------------------------------------------------------------
hashables: Values = st.recursive(
    leaves.filter(lambda value: value == value),
    lambda some: st.one_of(st.lists(some, max_size=3).map(tuple), st.frozensets(some, max_size=3)),
    max_leaves=4,
)
"""Values that may be in a frozenset or the key of a dict; without NaN."""


def values(wrap: Callable[[Values], Values] | None = None, leaf: Values = leaves) -> Values:
    """Leaves, and containers of them: lists, dicts, tuples, frozensets, and what `wrap` makes of a
    strategy.
    """

    def containers(some: Values) -> Values:
        kinds = [
            st.lists(some, max_size=3),
            st.dictionaries(texts | integers | days, some, max_size=3),
            st.lists(some, max_size=3).map(tuple),
            st.frozensets(hashables, max_size=3),
        ]
        return st.one_of(*kinds, *([] if wrap is None else [wrap(some)]))

    return st.one_of(leaf, st.recursive(leaf, containers, max_leaves=5), deep)


deep: Values = st.one_of(
    st.integers(1, MOST_LEVELS - 2).map(lambda levels: _nested(levels, lambda inner: (inner,), ())),
    st.integers(1, MOST_CONTAINERS - 3).map(lambda levels: _nested(levels, lambda inner: [inner], [])),
    st.integers(1, MOST_CONTAINERS - 3).map(lambda levels: _nested(levels, lambda inner: {"in": inner}, {})),
)
"""Containers in containers, nearly as deep as may be; a row or a message around them has room still."""


def _nested(levels: int, around: Callable[[Any], Any], inner: Any) -> Any:
    for _ in range(levels - 1):
        inner = around(inner)
    return inner


changeable: Values = st.one_of(
    st.lists(leaves, max_size=3),
    st.dictionaries(texts, st.lists(leaves, max_size=2), max_size=2),
    st.lists(st.lists(leaves, max_size=2), max_size=2).map(tuple),
    raws.map(bytearray),
    raws.map(lambda raw: [bytearray(raw)]),
    raws.map(lambda raw: memoryview(bytearray(raw))),
    instants,
    st.lists(instants, min_size=1, max_size=2),
)
"""Values that whoever made them can go on changing, or that come back from the disk as others."""


def without_nan(strategy: Values) -> Values:
    """The values of a strategy in which nothing is NaN, so that `==` tells what is equal."""
    return strategy.filter(lambda value: "nan" not in repr(value).lower())


# -- keys ----------------------------------------------------------------------------------------------------
KEYS: dict[str, Values] = {
    "none": st.none(),
    "bool": st.booleans(),
    "text": texts,
    "bytes": raws,
    "number": without_nan(numbers),
    "clock": clocks,
    "instant": instants | beyond,
    "day": days,
    "uuid": uuids,
}
"""A strategy for each kind of key."""
keys: Values = st.one_of(*KEYS.values())


_GO_ON = ["\0", "\0\0", "\0b", "\0\xff", "\x01", "\xff", "b"]


def _goes_on(kind: type) -> Values:
    """A text or bytes, and some that begin with it."""
    more: Values = st.sampled_from(_GO_ON)
    first: Values = st.sampled_from(["", "a", "\0", "\xff"])
    if kind is bytes:
        more, first = (some.map(lambda text: text.encode("latin-1")) for some in (more, first))
    return st.builds(
        lambda one, all_more: [one, *(one + some for some in all_more)],
        first,
        st.lists(more, min_size=1, max_size=4),
    )


def pools(kind: str) -> Values:
    """Lists of a few keys of a kind in `KEYS`, which are near each other: a program that draws from one meets
    them again.
    """
    near = {"text": _goes_on(str), "bytes": _goes_on(bytes)}
    some = st.lists(KEYS[kind], min_size=2, max_size=6)
    return near[kind] | some if kind in near else some
