"""Types as text: read back as they were, and which admit the values of others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Any, Literal, NewType

import pytest

from actors.schema.field_type import FieldType, admits, field_type, parse_type


class Size(Enum):
    small = 1
    big = 2


class Money:
    pass


Sku = NewType("Sku", str)
NAMES: Callable[[type], str] = {Size: "Size", Money: "old money"}.__getitem__

HINTS: list[tuple[Any, str]] = [
    (int, "int"),
    (date, "date"),
    (Any, "Any"),
    (None, "None"),
    (Sku, "str"),
    (Money, "'old money'"),
    (int | None, "int | None"),
    (list, "list[Any]"),
    (dict[str, list[Size]], "dict[str, list[Size]]"),
    (tuple, "tuple[Any, ...]"),
    (tuple[int, str], "tuple[int, str]"),
    (tuple[int, ...], "tuple[int, ...]"),
    (tuple[()], "tuple[()]"),
    (frozenset[Money | None], "frozenset['old money' | None]"),
    (Literal["a", 1, True, None, Size.big], "Literal['a', 1, True, None, Size.big]"),
]


@pytest.mark.parametrize(("hint", "text"), HINTS, ids=[text for _, text in HINTS])
def test_a_type_reads_back_from_its_text(hint: Any, text: str) -> None:
    found = field_type(hint, NAMES)
    assert str(found) == text
    assert parse_type(text) == found


@pytest.mark.parametrize("text", ["", "list[", "1 + 2", "f(x)", "a.b"])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the type of a field"):
        parse_type(text)


WIDER = [
    ("int", "int | None"),
    ("int", "float"),
    ("int", "Any"),
    ("int | str", "str | int"),
    ("list[int]", "list[int | None]"),
    ("list[int]", "list[float]"),
    ("dict[str, int]", "dict[str, float]"),
    ("tuple[int, int]", "tuple[int, ...]"),
    ("tuple[int, ...]", "tuple[float, ...]"),
    ("tuple[()]", "tuple[int, ...]"),
    ("tuple[int, str]", "tuple[int, str | None]"),
    ("Literal['a']", "Literal['a', 'b']"),
    ("Literal['a']", "str"),
    ("Literal[Size.big]", "Size"),
    ("Cat", "Animal"),
    ("list[Cat] | None", "list[Animal] | None"),
]


@pytest.mark.parametrize(("old", "new"), WIDER)
def test_a_wider_type_admits_what_was_stored_and_not_the_other_way_round(old: str, new: str) -> None:
    bases = {"Cat": ("Animal",)}
    assert admits(parse_type(new), parse_type(old), bases)
    if {*parse_type(old).members} != {*parse_type(new).members}:
        assert not admits(parse_type(old), parse_type(new), bases)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("date", "int"),
        ("bool", "int"),
        ("list[int]", "tuple[int, ...]"),
        ("tuple[int, int]", "tuple[int]"),
        ("Literal[1]", "str"),
        ("Literal['a']", "bytes"),
        ("dict[str, int]", "dict[int, int]"),
        ("Cat", "Dog"),
    ],
)
def test_another_type_admits_nothing_of_it(old: str, new: str) -> None:
    assert not admits(parse_type(new), parse_type(old), {"Cat": ("Animal",)})


def test_the_names_in_a_type_are_those_of_classes_and_enums() -> None:
    found = parse_type("dict[str, list['old money']] | Literal[Size.big, 'x']")
    assert set(found.names()) == {"dict", "str", "list", "old money", "Size"}
    assert str(found.renamed(lambda name: {"old money": "Money", "Size": "Extent"}.get(name, name))) == (
        "dict[str, list[Money]] | Literal[Extent.big, 'x']"
    )
    assert FieldType("int").members == (FieldType("int"),)
