"""The syntax tree of a statement: a call, with its arguments as they were written. Pure; any thread.

`parser` makes it from text, `value_conversion` makes values of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CallNode", "DictNode", "ListNode", "TextNode", "Node", "WordNode"]


@dataclass(frozen=True, slots=True)
class WordNode:
    """Text without quotes: a number, true, none, a date, or just text; the field decides."""

    text: str


@dataclass(frozen=True, slots=True)
class TextNode:
    """Text in quotes, without them and with its escapes resolved."""

    text: str


@dataclass(frozen=True, slots=True)
class ListNode:
    """Values in brackets, round or square."""

    items: tuple[Node, ...]
    bracket: Literal["(", "["] = "["


@dataclass(frozen=True, slots=True)
class DictNode:
    """`{key: value, ...}`, in the order written."""

    items: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class CallNode:
    """A name with arguments: a whole statement, or a message inside one. `options` only a statement has.

    The name of a meta command keeps its colon. An option without a value is None.
    """

    name: str
    positional: tuple[Node, ...] = ()
    named: dict[str, Node] = field(default_factory=dict)
    options: dict[str, Node | None] = field(default_factory=dict)


Node = WordNode | TextNode | ListNode | DictNode | CallNode
