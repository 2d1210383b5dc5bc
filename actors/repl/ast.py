"""What a parsed line is made of: a call, and the values that it holds as they were written. Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Call", "Pairs", "Row", "Text", "Value", "Word"]


@dataclass(frozen=True, slots=True)
class Word:
    """Text without quotes: a number, true, none, a date, or just text; the field decides."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Text in quotes, without them and with its escapes resolved."""

    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """Values in brackets, round or square."""

    items: tuple[Value, ...]
    bracket: Literal["(", "["] = "["


@dataclass(frozen=True, slots=True)
class Pairs:
    """`{key: value, ...}`, in the order written."""

    items: tuple[tuple[Value, Value], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A name with arguments: a whole statement, or a message inside one. `options` only a statement has.

    The name of a meta command keeps its colon. An option without a value is None.
    """

    name: str
    positional: tuple[Value, ...] = ()
    named: dict[str, Value] = field(default_factory=dict)
    options: dict[str, Value | None] = field(default_factory=dict)


Value = Word | Text | Row | Pairs | Call
