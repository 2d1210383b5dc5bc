"""Values that hurt, for every oracle of this folder, and the plain Python that says what becomes of them.

An oracle runs a random program twice: through the library, and over dictionaries by brute force, which are
too simple to be wrong. So nothing here imports `actors` or `storage`. How to use it:

    from tests.oracle.values import KEYS, as_stored, order, shown_exactly, texts, values

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
- `order(key)` sorts as keys do; equal keys have equal orders. `begins(text, prefix)` is what a prefix search
  asks.
- `as_stored(value)` is the value that everybody gets once it is stored; `shown_exactly(value)` is a form to
  compare by `==` in which 1 and True, 0.0 and -0.0, 1.0 and Decimal("1.00"), a zone and its offset are told
  apart, and NaN is equal to itself. `spoil(value)` changes all that can be changed in it, and `fresh(value)`
  makes the same value anew.

A test here is of hypothesis, by `@given` or a state machine, with `max_examples` as a share of `settings()`,
so that `make test` takes few examples, `make soak` many, and a failure comes smaller, with a line that has it
run again.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

Values = st.SearchStrategy[Any]

MOST_LEVELS = 32
"""Tuples, frozensets and value classes that may be inside one another."""
MOST_CONTAINERS = 128
"""Lists and dicts that may be."""

BERLIN = ZoneInfo("Europe/Berlin")
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


def order(key: Any) -> tuple[Any, ...]:
    """What sorts as a key does; a tuple of keys by its parts. Equal keys have equal orders."""
    if isinstance(key, tuple):
        return tuple(map(order, key))
    if isinstance(key, enum.Enum):
        return order(key.value)
    if key is None:
        return (0,)
    if isinstance(key, bool):
        return (1, key)
    if isinstance(key, (int, float, Decimal)):
        return (2, _size(key))
    if isinstance(key, datetime):
        if key.tzinfo is None:
            return (3, key.replace(fold=0))
        return (4, key - datetime(1970, 1, 1, tzinfo=UTC))
    for rank, kind in enumerate((date, str, bytes, UUID), 5):
        if isinstance(key, kind):
            return (rank, key)
    raise TypeError(f"{key!r} is no key")


def _size(number: Any) -> Any:
    if isinstance(number, float) and not number.is_integer():
        number = Decimal(repr(number))  # a float is the decimal that it is written as
    if isinstance(number, Decimal) and not number.is_finite():
        return float(number)
    return Fraction(number)


def begins(value: Any, prefix: str) -> bool:
    """Whether a prefix search finds it."""
    return isinstance(value, str) and value.startswith(prefix)


# -- what becomes of a value ---------------------------------------------------------------------------------
def as_stored(value: Any) -> Any:
    """What everybody gets once the value is stored, a new object wherever it can be changed."""
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (datetime, time)):
        offset = value.utcoffset()
        return value if offset is None else value.replace(tzinfo=timezone(offset), fold=0)
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(map(as_stored, value))
    if isinstance(value, dict):
        return {as_stored(key): as_stored(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{field.name: as_stored(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def shown_exactly(value: Any) -> Any:
    """A form of the value that is equal to another one's only if they are the same to whoever looks
    closely.
    """
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        return (kind, *map(shown_exactly, value))
    if isinstance(value, dict):
        return (kind, *((shown_exactly(key), shown_exactly(one)) for key, one in value.items()))
    if isinstance(value, (set, frozenset)):
        return (kind, *sorted(map(shown_exactly, value), key=repr))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return (kind, *(shown_exactly(getattr(value, field.name)) for field in dataclasses.fields(value)))
    if isinstance(value, (datetime, time)):
        return (kind, value.isoformat(), value.fold, type(value.tzinfo).__name__, str(value.tzinfo))
    if isinstance(value, int):
        return (kind, hex(value))  # of any size
    if isinstance(value, memoryview):
        return (kind, bytes(value))
    return (kind, repr(value))


def fresh(value: Any) -> Any:
    """The same value in new objects, as whoever makes it again has it; nothing of it is shared."""
    if isinstance(value, memoryview):
        return memoryview(bytearray(value))
    if isinstance(value, bytearray):
        return bytearray(value)
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(map(fresh, value))
    if isinstance(value, dict):
        return {fresh(key): fresh(one) for key, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(
            **{field.name: fresh(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def spoil(value: Any) -> None:
    """Change all that can be changed in a value, as somebody does who takes it for a copy."""
    if isinstance(value, memoryview):
        if not value.readonly and len(value):
            value[0] ^= 255
    elif isinstance(value, bytearray):
        value += b"spoilt"
    elif isinstance(value, (list, tuple, frozenset)):
        for one in value:
            spoil(one)
        if isinstance(value, list):
            value.append("spoilt")
    elif isinstance(value, dict):
        for one in value.values():
            spoil(one)
        value["spoilt"] = True
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            spoil(getattr(value, field.name))
