"""The difference between expected and actual values: a unified diff, with a line for each field."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from difflib import unified_diff
from typing import Any

__all__ = ["compare"]

WIDTH = 90
"""Characters up to which a value stays on one line."""


def compare(what: str, expected: Iterable[Any], actual: Iterable[Any]) -> None:
    """Raise `AssertionError` with the difference unless both have equal values of equal classes, in order."""
    expected, actual = list(expected), list(actual)
    if len(expected) == len(actual) and all(map(_same, expected, actual)):
        return
    short = all(len(repr(value)) <= WIDTH for value in expected + actual)
    shown = unified_diff(
        _lines(expected, short), _lines(actual, short), "expected", "actual", n=1_000, lineterm=""
    )
    raise AssertionError(f"{what}:\n" + "\n".join(shown))


def _same(one: Any, other: Any) -> bool:
    # 1 == True and 1 == 1.0, which a log and a table keep apart.
    return type(one) is type(other) and bool(one == other)


def _lines(values: list[Any], short: bool) -> list[str]:
    if not values:
        return ["(nothing)"]
    return [line for value in values for line in ([repr(value)] if short else _spread(value))]


def _spread(value: Any) -> list[str]:
    """A value over several lines, in the same way for any length, so that equal fields have equal lines."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f"    {one.name}={getattr(value, one.name)!r}," for one in dataclasses.fields(value)]
        return [f"{type(value).__name__}(", *fields, ")"]
    if isinstance(value, dict):
        return ["{", *(f"    {key!r}: {item!r}," for key, item in value.items()), "}"]
    return [repr(value)]
