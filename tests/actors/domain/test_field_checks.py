from __future__ import annotations

import collections.abc
import dataclasses
import typing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NewType, Optional
from uuid import UUID

import pytest

from actors.domain.field_checks import FieldChecks
from actors.errors import InvalidMessage
from tests.helpers import case_id

Sku = NewType("Sku", str)


class Colour(Enum):
    RED = "red"


class Shape(Enum):
    ROUND = "round"


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Gift(Line):
    note: str


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    children: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True)
class Stranger:
    x: int


REGISTERED = (Line, Gift, Tree, Colour)


def message_of(annotation: Any) -> type:
    return dataclasses.make_dataclass(
        "Message", [("value", annotation)], frozen=True, namespace={"__module__": __name__}
    )


def check(annotation: Any, value: Any) -> None:
    cls = message_of(annotation)
    checks = FieldChecks((*REGISTERED, cls), {})
    assert checks.problems == {}
    checks.checker(cls, "Message")(cls(value))


def problem(annotation: Any) -> str:
    cls = message_of(annotation)
    (text,) = FieldChecks((*REGISTERED, cls), {}).problems[cls]
    return text


FITTING = [
    (str, "a"),
    (Sku, "a"),
    (int, 1 << 80),
    (float, 1.5),
    (float, 1),
    (bool, True),
    (bytes, b"x"),
    (None, None),
    (Decimal, Decimal("1.10")),
    (datetime, datetime(2024, 1, 1)),
    (date, date(2024, 1, 1)),
    (time, time(1, 2)),
    (timedelta, timedelta(1)),
    (UUID, UUID(int=1)),
    (Colour, Colour.RED),
    (Line, Line("a", 1)),
    (Line, Gift("a", 1, "for you")),
    (Tree, Tree("a", (Tree("b"), Tree("c", (Tree("d"),))))),
    (list[int], [1, 2]),
    (list, ["anything", 1]),
    (list[Line], [Line("a", 1)]),
    (dict[str, int], {"a": 1}),
    (dict[str, list[int | None]], {"a": [1, None]}),
    (dict, {1: "a"}),
    (tuple[int, ...], (1, 2, 3)),
    (tuple[int, ...], ()),
    (tuple[int, str], (1, "a")),
    (tuple[()], ()),
    (tuple, (1, "a")),
    (frozenset[str], frozenset("ab")),
    (int | None, None),
    (Optional[int], 1),  # noqa: UP045
    (int | str, "a"),
    (float | None, 1),
    (list[int] | dict[str, int], {"a": 1}),
    (Literal["a", 1], 1),
    (typing.Annotated[int, "cents"], 1),
    (Any, object()),
    ("list[Line] | None", None),
    ("datetime", datetime(2024, 1, 1)),
]

MISFITS = [
    (str, 1, "value must be str, got int 1"),
    (str, None, "value must be str, got None"),
    (int, True, "value must be int, got bool True"),
    (int, "abc", "value must be int, got str 'abc'"),
    (float, True, "value must be float, got bool True"),
    (float, "1", "value must be float, got str '1'"),
    (bool, 1, "value must be bool, got int 1"),
    (bytes, bytearray(b"x"), "value must be bytes, got bytearray"),
    (None, 0, "value must be None, got int 0"),
    (date, datetime(2024, 1, 1), "value must be date, got datetime"),
    (datetime, date(2024, 1, 1), "value must be datetime, got date"),
    (Decimal, 1.0, "value must be Decimal, got float 1.0"),
    (Colour, "red", "value must be Colour, got str 'red'"),
    (Colour, Shape.ROUND, "value must be Colour, got Shape"),
    (Line, {"sku": "a"}, "value must be Line, got dict"),
    (Line, Stranger(1), "value must be Line, got Stranger"),
    (Line, Line("a", "2"), "value.quantity must be int, got str '2'"),
    (Line, Gift("a", 1, 2), "value.note must be str, got int 2"),
    (Line | None, Line(1, 1), "value.sku must be str, got int 1"),
    (
        Tree,
        Tree("a", (Tree("b", (Tree(3),)),)),
        r"value.children\[0\].children\[0\].name must be str, got int 3",
    ),
    (list[int], (1,), r"value must be list\[int\], got tuple"),
    (list[int], [1, "a"], r"value\[1\] must be int, got str 'a'"),
    (list[Line], [Line("a", 1), Line("b", None)], r"value\[1\].quantity must be int, got None"),
    (dict[str, int], {"a": "b"}, r"value\['a'\] must be int, got str 'b'"),
    (dict[str, int], {1: 1}, "value key must be str, got int 1"),
    (tuple[int, str], (1, 2), r"value\[1\] must be str, got int 2"),
    (tuple[int, str], (1,), r"value must be tuple\[int, str\], got tuple \(1,\)"),
    (tuple[int, ...], [1], r"value must be tuple\[int, ...\], got list"),
    (frozenset[str], {"a"}, r"value must be frozenset\[str\], got set"),
    (int | None, "a", r"value must be int \| None, got str 'a'"),
    (int | str, True, r"value must be int \| str, got bool True"),
    (Literal["a", 1], True, "value must be 'a' or 1, got bool True"),
    (Literal["a", 1], "b", "value must be 'a' or 1, got str 'b'"),
]


@pytest.mark.parametrize(("annotation", "value"), FITTING, ids=case_id)
def test_a_fitting_value_is_let_through(annotation, value):
    check(annotation, value)


@pytest.mark.parametrize(("annotation", "value", "text"), MISFITS, ids=str)
def test_a_misfit_is_refused_with_its_innermost_place(annotation, value, text):
    with pytest.raises(InvalidMessage, match=rf"^Message\.{text}"):
        check(annotation, value)


def test_the_error_carries_message_field_expected_and_got():
    with pytest.raises(InvalidMessage) as caught:
        check(list[int], [1, "abc"])
    error = caught.value
    assert (error.message, error.field, error.expected, error.got) == (
        "Message",
        "value[1]",
        "int",
        "str 'abc'",
    )


def test_a_huge_value_is_shortened_in_the_error():
    with pytest.raises(InvalidMessage) as caught:
        check(int, "x" * 10_000_000)
    assert len(str(caught.value)) < 200


def test_a_message_nested_without_end_is_refused_and_not_a_crash():
    tree = Tree("leaf")
    for _ in range(100_000):
        tree = Tree("branch", (tree,))
    try:
        with pytest.raises(InvalidMessage, match="nested too deeply"):
            check(Tree, tree)
    finally:
        while tree.children:
            (tree,) = tree.children


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Stranger, "dataclass Stranger is not registered; register it with @value"),
        (list[Stranger], "dataclass Stranger is not registered"),
        (Shape, "Enum Shape is not registered"),
        (Literal[Shape.ROUND], "Enum Shape is not registered"),
        (set[int], "write frozenset"),
        (set, "write frozenset"),
        (object, "write Any"),
        (bytearray, "write bytes"),
        (
            collections.abc.Sequence[int],
            r"values of type Sequence\[int\] can't be checked and stored; write list",
        ),
        (type, "can't be checked and stored"),
        (typing.Callable[[], int], "can't be checked and stored"),
        (typing.TypeVar("T"), "can't be checked and stored"),
        ("Missing", "'Missing' can't be resolved"),
        ("list[", "can't be resolved"),
    ],
    ids=str,
)
def test_an_annotation_that_can_not_be_checked_is_a_problem(annotation, text):
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(problem(annotation))


def test_a_field_that_is_not_given_to_init_is_a_problem():
    @dataclass(frozen=True)
    class Message:
        value: int = dataclasses.field(init=False, default=1)

    assert "init=False" in FieldChecks((Message,), {}).problems[Message][0]


def test_an_inherited_field_is_resolved_where_it_was_written():
    @dataclass(frozen=True)
    class Below(Line):
        extra: int

    Below.__module__ = "no.such.module"
    checks = FieldChecks((Below,), {"int": int})
    assert checks.fields(Below)["sku"].expected == "str"


def test_class_variables_are_no_fields():
    @dataclass(frozen=True)
    class Message:
        LIMIT: typing.ClassVar[set[int]] = set()
        value: int

    checks = FieldChecks((Message,), {})
    assert checks.problems == {}
    assert list(checks.fields(Message)) == ["value"]


def fingerprint(
    *fields: tuple[str, Any], extra: str = "version 1", registered: tuple[type, ...] = REGISTERED
) -> str:
    cls = dataclasses.make_dataclass("State", fields, frozen=True, namespace={"__module__": __name__})
    return FieldChecks((*registered, cls), {}).fingerprint(cls, extra)


def test_a_fingerprint_stays_the_same_for_the_same_fields():
    assert fingerprint(("a", int), ("b", list[Line])) == fingerprint(("a", int), ("b", list[Line]))


def test_a_fingerprint_changes_with_a_name_a_type_the_version_and_a_class_it_holds():
    @dataclass(frozen=True)
    class Line:
        sku: str
        quantity: float

    other_line = Line
    texts = {
        fingerprint(("a", int)),
        fingerprint(("b", int)),
        fingerprint(("a", str)),
        fingerprint(("a", int), extra="version 2"),
        fingerprint(("a", REGISTERED[0])),
        fingerprint(("a", tuple[REGISTERED[0], ...])),
        fingerprint(("a", tuple[other_line, ...]), registered=(other_line,)),
        fingerprint(("a", Colour)),
    }
    assert len(texts) == 8
