"""Canonical bytes: the same for messages that are equal, different for all that are not."""

from __future__ import annotations

import dataclasses
import enum
import itertools
import math
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.codec.canonical import CanonicalCodec, digest_of
from storage.codec.codec import Codec
from storage.errors import CodecError, MessageTooLarge, UnencodableValue, UnregisteredType


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    sku: str
    note: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    content: Any


def canonical(*classes: type, plain: dict[type, set[str]] | None = None, codec: Codec | None = None) -> Any:
    codec = codec or Codec()
    for cls in classes or (Colour, Line, Box):
        codec.register(cls)
    return CanonicalCodec(codec, lambda cls: (plain or {}).get(cls, set()))


def release(name: str, **fields: Any) -> type:
    """A class as one release has it: fields by name, each a type or a `field` with a default."""
    made = [
        (field, Any, value) if isinstance(value, dataclasses.Field) else (field, Any)
        for field, value in fields.items()
    ]
    return dataclasses.make_dataclass(name, made, frozen=True, slots=True, kw_only=True)


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
PLUS_2 = timezone(timedelta(hours=2))
EQUAL = [
    [1, 1.0, True, Decimal(1), Decimal("1.00"), Decimal("1E+0")],
    [0, 0.0, -0.0, False, Decimal("-0.0")],
    [0.5, Decimal("0.5"), Decimal("0.50")],
    [Decimal("0.1"), Decimal("0.10"), Decimal("1E-1")],
    [Decimal("0.05"), Decimal("0.0500")],
    [Decimal("1E-9"), Decimal("1.0E-9"), Decimal("0.0000000010")],
    [100, Decimal("1E+2"), 1e2],
    [2**60, float(2**60), Decimal(2**60)],
    [2**53 + 1, Decimal(2**53 + 1)],
    [10**300 + 1, Decimal(10**300 + 1)],
    [math.inf, Decimal("Infinity")],
    [Decimal("1E+999"), Decimal("1.0E+999")],
    [{"a": 1, "b": {1: 2.0, "x": None}}, {"b": {"x": None, True: 2}, "a": Decimal("1.0")}],
    [frozenset({1, (2, 0.0)}), frozenset({1.0, (2, -0.0)})],
    [NOON, NOON.astimezone(PLUS_2)],
    [datetime(2024, 5, 1, 12), datetime(2024, 5, 1, 12, fold=1)],
    [time(10, tzinfo=UTC), time(12, tzinfo=PLUS_2)],
    [time(10), time(10, fold=1)],
    [[1, [2.0]], [True, [2]]],
    [(Line("a", 1.0),), (Line("a", 1),)],
    [{(1, "a"): 1, (0, "b"): 2}, {(0.0, "b"): 2, (1.0, "a"): 1}],
    [b"a", bytearray(b"a")],
]
DIFFERENT = [
    *(group[0] for group in EQUAL),
    2**53,
    0.1,
    Decimal("-0.1"),
    Decimal("0.01"),
    "1",
    [1],
    (1,),
    {1: 1},
    frozenset({1}),
    Colour.RED,
    None,
    time(0, 30, tzinfo=PLUS_2),
    time(22, 30, tzinfo=UTC),
    timedelta(hours=10),
    math.nan,
    Decimal("NaN"),
    -math.inf,
    Line("a", None),
    Line("a", "x"),
]


@pytest.mark.parametrize("group", EQUAL, ids=repr)
def test_what_is_equal_has_the_same_bytes(group: list[Any]) -> None:
    codec = canonical()
    assert all(one == group[0] for one in group)
    assert len({codec.encode(Box(one)) for one in group}) == 1


def test_what_is_not_equal_has_other_bytes() -> None:
    codec = canonical()
    for one, other in itertools.combinations(DIFFERENT, 2):
        assert codec.encode(Box(one)) != codec.encode(Box(other)), (one, other)


def test_nan_is_the_same_as_nan() -> None:
    codec = canonical()
    # float("nan") twice: two objects, neither of which is equal even to itself.
    assert codec.encode(Box([float("nan")])) == codec.encode(Box([-float("nan")]))
    two = {float("nan"): 1, -float("nan"): 2}
    assert codec.encode(Box(two)) != codec.encode(Box({math.nan: 1}))


numbers = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.integers(2**53 - 4, 2**53 + 4),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 0.5, 1.5, 2.0**53, 2.0**80]),
    st.decimals(allow_nan=False),
    st.decimals(-2, 2, places=2),
)


@given(numbers, numbers)
def test_two_numbers_have_the_same_bytes_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    codec = canonical()
    assert (codec.pack(Box(one)) == codec.pack(Box(other))) == (one == other)


values = st.recursive(
    st.one_of(st.none(), numbers, st.text(max_size=3), st.just(Colour.RED), st.times(), st.datetimes()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(
            st.one_of(st.text(max_size=2), st.integers(0, 3), st.floats(0, 3)), inner, max_size=4
        ),
        st.builds(Line, st.text(max_size=2), inner),
    ),
    max_leaves=12,
)


def another_form(value: Any, draw: Any) -> Any:
    """An equal value, written in another way."""
    if type(value) is dict:
        items = [(another_form(key, draw), another_form(one, draw)) for key, one in value.items()]
        return dict(draw(st.permutations(items)))
    if type(value) in (list, tuple):
        return type(value)(another_form(one, draw) for one in value)
    if type(value) is Line:
        return Line(value.sku, another_form(value.note, draw))
    if type(value) in (int, bool, float):
        forms = [value]
        if value == value and abs(value) < 2**200 and int(value) == value:
            forms += [int(value), Decimal(int(value)), Decimal(int(value)) * Decimal("1.00")]
        return draw(st.sampled_from([form for form in forms if form == value]))
    return value


@given(values, st.data())
def test_a_value_in_another_form_has_the_same_bytes(value: Any, data: Any) -> None:
    codec = canonical()
    other = another_form(value, data.draw)
    assert other == value
    assert codec.pack(Box(value)) == codec.pack(Box(other))


# -- classes that change -------------------------------------------------------------------------------------
def field(**options: Any) -> Any:
    return dataclasses.field(**options)


def test_a_field_that_has_its_default_changes_nothing() -> None:
    before, after = (
        release("Order", sku=Any),
        release(
            "Order",
            sku=Any,
            desk=field(default="main"),
            count=field(default=1),
            gifts=field(default_factory=list),
            extras=field(default_factory=dict),
            line=field(default=Line("a")),
            weight=field(default=math.nan),
        ),
    )
    first = canonical(before)
    plain = {after: {"sku", "desk", "count", "line"}}
    for second in (canonical(Line, after), canonical(Line, after, plain=plain)):
        assert second.encode(after(sku="x")) == first.encode(before(sku="x"))
        assert second.encode(
            after(sku="x", count=1, gifts=[], extras={}, line=Line("a", None), weight=-float("nan"))
        ) == first.encode(before(sku="x"))
        others = [after(sku="x", **{name: "other"}) for name in ("desk", "count", "gifts", "line", "weight")]
        others += [after(sku="x", gifts={}), after(sku="x", extras=[]), after(sku="x", gifts=[[]])]
        assert len({second.encode(one) for one in [after(sku="x"), *others]}) == 9


def test_a_field_of_a_value_inside_that_has_its_default_changes_nothing() -> None:
    bytes_of = []
    for fields in ({"sku": Any}, {"sku": Any, "gift": field(default=False)}):
        line = release("Line", **fields)
        codec = canonical(line, Box)
        bytes_of.append(codec.encode(Box([(line(sku="x"),), {"k": line(sku="y")}])))
    assert bytes_of[0] == bytes_of[1]


def test_a_field_that_gains_or_loses_a_default_goes_on_counting() -> None:
    required, optional = release("Order", b=Any, a=Any), release("Order", a=field(default=1), b=Any)
    assert canonical(required).encode(required(a=2, b=3)) == canonical(optional).encode(optional(a=2, b=3))


def test_the_order_of_the_fields_is_of_no_matter() -> None:
    one, other = release("Order", a=Any, b=Any), release("Order", b=Any, a=Any)
    assert canonical(one).encode(one(a=1, b=2)) == canonical(other).encode(other(b=2, a=1))


def test_a_default_that_is_new_each_time_is_never_left_out() -> None:
    count = itertools.count()

    def broken() -> Any:
        raise KeyError("no default today")

    order = release(
        "Order", id=field(default_factory=lambda: next(count)), other=field(default_factory=broken)
    )
    codec = canonical(order)
    assert len({codec.encode(order(id=number, other=1)) for number in range(10)}) == 10


def test_what_the_codec_refuses_is_refused_in_the_same_words() -> None:
    codec = Codec(max_bytes=1000)
    strict = canonical(codec=codec)
    for value in (object(), {1, 2}, "\ud800", {"a": [object()]}, release("Other", a=Any)(a=1)):
        with pytest.raises(CodecError) as plain:
            codec.encode(Box([value]))
        with pytest.raises(type(plain.value)) as refused:
            strict.encode(Box([value]))
        assert str(refused.value) == str(plain.value)
    for deeper in (lambda inner: frozenset({(inner,)}), lambda inner: (inner,), lambda inner: {"a": [inner]}):
        deep: Any = 1.5
        for _ in range(129):
            deep = deeper(deep)
        for each in (codec, strict):
            with pytest.raises(UnencodableValue, match="nested"):
                each.encode(Box(deep))
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnencodableValue):
        strict.encode(Box(loop))
    with pytest.raises(MessageTooLarge):
        strict.encode(Box("x" * 1000))
    with pytest.raises(UnregisteredType):
        strict.encode(Box(release("Unknown", a=Any)(a=1)))


def test_a_digest_of_the_stored_bytes_is_known_with_and_without_new_fields() -> None:
    before, after = (
        release("Order", b=Any, a=Any),
        release("Order", b=Any, a=Any, c=field(default=1), d=field(default=2)),
    )
    codec = Codec()
    codec.register(before)
    old = digest_of(codec.encode(before(a=1, b={"y": 1, "x": 2})))
    strict = canonical(after)
    assert strict.had_digest(after(a=1, b={"y": 1, "x": 2}), old)
    assert strict.had_digest(after(a=1, b={"y": 1, "x": 2}, c=1, d=2), old)
    assert not strict.had_digest(after(a=1, b={"y": 1, "x": 2}, c=5), old)
    assert not strict.had_digest(after(a=2, b={"y": 1, "x": 2}), old)
    assert not strict.had_digest(["stream", after(a=1, b=2)], old)
