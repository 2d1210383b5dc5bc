"""Values are read as their fields declare them, errors name the field, and literals can be typed again."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Domain, InvalidMessage
from actors.cli.errors import ParseError, UsageError
from actors.repl.parser import parse
from actors.repl.value_conversion import Converter
from actors.repl.value_text import literal
from actors.repl.vocabulary import Vocabulary

garage = Domain("garage")
cars = garage.read_model("cars")


@garage.value
class Colour(Enum):
    RED = "signal red"
    BLUE = 2


@garage.value
class Part:
    """A thing inside a car."""

    name: str
    count: int = 1


@garage.value
class Wheel:
    size: int


@garage.value
class Nothing:
    pass


@garage.query(reads=[cars])
class Everything:
    text: str = ""
    number: int = 0
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    yes: bool = False
    blob: bytes = b""
    at: datetime = datetime(2024, 1, 1)
    day: date = date(2024, 1, 1)
    hour: time = time(0)
    span: timedelta = timedelta(0)
    ident: UUID = UUID(int=0)
    colour: Colour = Colour.RED
    part: Part | None = None
    parts: tuple[Part, ...] = ()
    pair: tuple[int, str] = (0, "")
    names: frozenset[str] = frozenset()
    levels: list[int | None] | None = None
    counts: dict[str, Decimal] | None = None
    mode: Literal["fast", "slow", 3] = "fast"
    either: int | str | None = None
    anything: Any = None


vocabulary = Vocabulary(garage)
converter = Converter(vocabulary.forms)


def read(text: str) -> Any:
    call = parse(text)
    assert call is not None
    return converter.message(vocabulary.forms[call.name], call.positional, call.named)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("text=1999", "1999"),
        ("text=none", "none"),
        ("number=1_999", 1999),
        ("number=-0x1f", -31),
        ("number='7'", 7),
        ("ratio=2", 2.0),
        ("ratio=-1.5e3", -1500.0),
        ("price=12.50", Decimal("12.50")),
        ("yes=TRUE", True),
        ("blob=00ff", b"\x00\xff"),
        ("at=2024-05-01T10:30", datetime(2024, 5, 1, 10, 30)),
        ("at='2024-05-01 10:30+00:00'", datetime(2024, 5, 1, 10, 30, tzinfo=UTC)),
        ("day=2024-05-01", date(2024, 5, 1)),
        ("hour=10:30", time(10, 30)),
        ("span=1d2h3m4.5s", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("span=-90s", timedelta(seconds=-90)),
        ("ident=12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        ("colour=blue", Colour.BLUE),
        ("colour='signal red'", Colour.RED),
        ("colour=Colour.BLUE", Colour.BLUE),
        ("part=Part(door)", Part("door")),
        ("part={name: door, count: 4}", Part("door", 4)),
        ("part=none", None),
        ("parts=[Part(door, 4), Part(name=seat)]", (Part("door", 4), Part("seat"))),
        ("pair=(1, x)", (1, "x")),
        ("names=[a, b, a]", frozenset({"a", "b"})),
        ("levels=[1, none]", [1, None]),
        ("counts={a: 1.5}", {"a": Decimal("1.5")}),
        ("mode=slow", "slow"),
        ("mode=3", 3),
        ("either=5", 5),
        ("either='5'", "5"),
        ("either=none", None),
        ("either='none'", "none"),
        ("anything=[1, 2.5, true, none, x, '1', Decimal(1.50), Colour(RED)]",
         [1, 2.5, True, None, "x", "1", Decimal("1.50"), Colour.RED]),
        ("anything={1: (a, b)}", {1: ("a", "b")}),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_field_declares_it(text: str, value: Any) -> None:
    field = text.partition("=")[0]
    got = getattr(read(f"Everything {text}"), field)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("number=abc", r"Everything.number must be int, such as 1999, got 'abc'"),
        ("number=1.5", r"Everything.number must be int.*got '1.5'"),
        ("number=" + "9" * 5000, r"Everything.number must be int.*got '999"),
        ("ratio=1e999", r"Everything.ratio must be float"),
        ("yes=1", r"Everything.yes must be bool, true or false, got '1'"),
        ("blob=xyz", r"Everything.blob must be bytes, in hexadecimals"),
        ("at=yesterday", r"Everything.at must be datetime, such as 2024-05-01T10:30"),
        ("day=2024-02-30", r"Everything.day must be date.*got '2024-02-30'"),
        ("span=soon", r"Everything.span must be timedelta"),
        ("ident=1", r"Everything.ident must be UUID"),
        ("price=cheap", r"Everything.price must be Decimal"),
        ("colour=green", r"Everything.colour must be RED or BLUE, got 'green'"),
        ("part=door", r"Everything.part must be Part \| None, got 'door'"),
        ("part=Part(door, many)", r"Everything.part.count must be int.*got 'many'"),
        (
            "parts=[Part(door), 3]",
            r"Everything.parts\[1\] must be Part, written Part\(name \[count=1\]\), got '3'",
        ),
        (
            "parts=Part(door)",
            r"Everything.parts must be tuple\[Part, ...\], written \[...\], got Part\(...\)",
        ),
        ("pair=(1, 2, 3)", r"Everything.pair must be tuple\[int, str\], got 3 values"),
        ("names=[a, [b]]", r"Everything.names\[1\] must be str"),
        ("counts={a: x}", r"Everything.counts\['a'\] must be Decimal"),
        ("mode=other", r"Everything.mode must be 'fast' or 'slow' or 3"),
        ("anything=Nope(1)", r"Everything.anything must be a value, got Nope\(...\), which is no known name"),
        ("anything={[a]: 1}", r"Everything.anything key must be a value that can't change"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_field(text: str, message: str) -> None:
    with pytest.raises(InvalidMessage, match=message):
        read(f"Everything {text}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Part", r"Part needs name \(str\)"),
        ("Part nam=x", r"Part has no field nam; did you mean name\? It is written: Part name \[count=1\]$"),
        ("Part colour=x", r"Part has no field colour\. It is written: Part name"),
        ("Part a 2 3", "Part takes 2 values, 3 were given: Part name"),
        ("Wheel a b", "Wheel takes 1 value, 2 were given: Wheel size"),
        ("Nothing a", "Nothing takes no values, 1 was given: Nothing$"),
        ("Part a name=b", "Part.name is given twice"),
        ("Everything part=Part(count=2)", r"Part needs name \(str\)"),
    ],
)
def test_missing_and_unknown_fields_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(text)


# -- there and back -----------------------------------------------------------------------
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=8),
    st.decimals(allow_nan=False),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.dates(),
    st.times(),
    st.timedeltas(timedelta(days=-99_999_999), timedelta(days=99_999_999)),
    st.uuids(),
    st.sampled_from(Colour),
    st.builds(Part, st.text(), st.integers()),
)
hashable = plain | st.lists(plain, max_size=2).map(tuple)
anything = st.recursive(
    hashable,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.frozensets(hashable, max_size=3)
    ),
    max_leaves=6,
)
messages = st.builds(
    Everything,
    text=st.text(),
    number=st.integers(-(10**2000), 10**2000),
    ratio=st.floats(allow_nan=False),
    price=st.decimals(allow_nan=False),
    yes=st.booleans(),
    blob=st.binary(max_size=8),
    at=st.datetimes(timezones=st.none() | st.just(UTC)),
    span=st.timedeltas(timedelta(days=-99_999_999), timedelta(days=99_999_999)),
    colour=st.sampled_from(Colour),
    parts=st.lists(st.builds(Part, st.text(), st.integers()), max_size=2).map(tuple),
    names=st.frozensets(st.text(), max_size=3),
    levels=st.none() | st.lists(st.none() | st.integers(), max_size=3),
    counts=st.none() | st.dictionaries(st.text(), st.decimals(allow_nan=False), max_size=2),
    mode=st.sampled_from(["fast", "slow", 3]),
    either=st.none() | st.integers() | st.text(),
    anything=anything,
)


@given(messages)
def test_what_is_shown_can_be_typed_again(message: Everything) -> None:
    assert read(literal(message)) == message


def test_numbers_too_long_for_decimals_are_shown_in_hexadecimals() -> None:
    message = Everything(number=-(10**6000))
    assert "number=-0x" in literal(message)
    assert read(literal(message)) == message


@given(st.text(max_size=40))
def test_nonsense_for_a_field_is_refused_in_order(text: str) -> None:
    for one in Everything.__dataclass_fields__:  # type: ignore[attr-defined]
        # Any other error fails the test.
        with suppress(ParseError, UsageError, InvalidMessage):
            read(f"Everything {one}={text}")
