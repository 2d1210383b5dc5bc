"""The type of a stored field as text, with classes under their stored names, and which types admit others.

`list[Money] | None` reads as Python does. A stored name that is no identifier is quoted. Pure; any thread.
"""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from actors.domain.annotations import unaliased

__all__ = ["FieldType", "admits", "field_type", "parse_type"]

_BARE = {list: 1, frozenset: 1, dict: 2}
_PLAIN = (str, int, bool, bytes, float, Decimal, datetime, date, time, timedelta, UUID)


class FieldType(NamedTuple):
    """`name` is a type's stored name, `|` for a union, `Literal`, or `()` for the empty tuple's contents.

    `args` are the types inside; those of a `Literal` have values as names, as Python writes them.
    """

    name: str
    args: tuple[FieldType, ...] = ()

    def __str__(self) -> str:
        if self.name == "|":
            return " | ".join(map(str, self.args))
        name = self.name if self.name.isidentifier() or self.name in ("...", "()") else repr(self.name)
        if not self.args:
            return name
        inner = (one.name if self.name == "Literal" else str(one) for one in self.args)
        return f"{name}[{', '.join(inner)}]"

    @property
    def members(self) -> tuple[FieldType, ...]:
        """The alternatives of a union, or the type alone."""
        return self.args if self.name == "|" else (self,)

    def renamed(self, present: Callable[[str], str]) -> FieldType:
        """The same with the present names of types for their former ones."""
        if self.name == "Literal":
            parts = [one.name.rpartition(".") for one in self.args]
            return FieldType(
                self.name,
                tuple(
                    FieldType(f"{present(enum)}.{member}") if enum.isidentifier() else one
                    for (enum, _, member), one in zip(parts, self.args, strict=True)
                ),
            )
        return FieldType(present(self.name), tuple(one.renamed(present) for one in self.args))

    def names(self) -> Iterator[str]:
        """The names of all types in it; an enum's for its members in a `Literal`."""
        if self.name == "Literal":
            yield from (_kind_of_literal(one.name) for one in self.args)
            return
        if self.name != "|":
            yield self.name
        for one in self.args:
            yield from one.names()


def field_type(hint: Any, name_of: Callable[[type], str]) -> FieldType:
    """The type of a resolved annotation; `name_of` gives the stored name of a registered class."""
    hint = unaliased(hint)
    if hint is Any:
        return FieldType("Any")
    if hint is None or hint is types.NoneType:
        return FieldType("None")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        members = [inner for one in arguments for inner in field_type(one, name_of).members]
        return FieldType("|", tuple(dict.fromkeys(members)))
    if origin is typing.Literal:
        return FieldType("Literal", tuple(FieldType(_literal(one, name_of)) for one in arguments))
    kind = origin or hint
    if kind in _BARE:
        given = arguments or (Any,) * _BARE[kind]
        return FieldType(kind.__name__, tuple(field_type(one, name_of) for one in given))
    if kind is tuple:
        if hint is tuple:
            arguments = (Any, ...)
        inner = tuple(FieldType("...") if one is ... else field_type(one, name_of) for one in arguments)
        return FieldType("tuple", inner or (FieldType("()"),))
    return FieldType(kind.__name__ if kind in _PLAIN else name_of(kind))


def parse_type(text: str) -> FieldType:
    """The type that this is the text of. Raises `ValueError` for a text that is none."""
    try:
        return _parsed(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError) as error:
        raise ValueError(f"{text!r} is not the type of a field") from error


def admits(new: FieldType, old: FieldType, bases: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether each value of the type `old` is one of the type `new`, too.

    `bases` has the names of the classes that a class inherits from.
    """
    return all(any(_admits(one, each, bases) for one in new.members) for each in old.members)


def _admits(new: FieldType, old: FieldType, bases: Mapping[str, tuple[str, ...]]) -> bool:
    if new.name == "Any" or new == old:
        return True
    if old.name == "Literal":
        if new.name == "Literal":
            return set(old.args) <= set(new.args)
        return {_kind_of_literal(one.name) for one in old.args} <= {new.name}
    if (new.name, old.name) == ("float", "int"):
        return True
    if not old.args and not new.args:
        return new.name in bases.get(old.name, ())
    if new.name != old.name:
        return False
    if new.name == "tuple":
        return _admits_tuple(new.args, old.args, bases)
    return all(admits(one, each, bases) for one, each in zip(new.args, old.args, strict=True))


def _admits_tuple(
    new: tuple[FieldType, ...], old: tuple[FieldType, ...], bases: Mapping[str, tuple[str, ...]]
) -> bool:
    old_many, new_many = old[-1].name == "...", new[-1].name == "..."
    if new_many:
        inside = () if old[0].name == "()" else old[:-1] if old_many else old
        return all(admits(new[0], one, bases) for one in inside)
    return (
        not old_many
        and len(new) == len(old)
        and all(admits(one, each, bases) for one, each in zip(new, old, strict=True))
    )


def _literal(value: Any, name_of: Callable[[type], str]) -> str:
    if isinstance(value, Enum):
        return f"{FieldType(name_of(type(value)))}.{value.name}"
    return repr(value)


def _kind_of_literal(text: str) -> str:
    value = ast.parse(text, mode="eval").body
    if isinstance(value, ast.Attribute):
        return _parsed(value.value).name
    found = ast.literal_eval(value)
    return "None" if found is None else type(found).__name__


def _parsed(node: ast.expr) -> FieldType:
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return FieldType("|", (*_parsed(left).members, *_parsed(right).members))
        case ast.Name(id=name):
            return FieldType(name)
        case ast.Constant(value=None):
            return FieldType("None")
        case ast.Constant(value=str(name)):
            return FieldType(name)
        case ast.Constant(value=value) if value is ...:
            return FieldType("...")
        case ast.Tuple(elts=[]):
            return FieldType("()")
        case ast.Subscript(value=ast.Name(id=name), slice=inside):
            parts = inside.elts if isinstance(inside, ast.Tuple) and inside.elts else [inside]
            if name == "Literal":
                return FieldType(name, tuple(FieldType(ast.unparse(one)) for one in parts))
            return FieldType(name, tuple(map(_parsed, parts)))
    raise ValueError(f"{ast.unparse(node)!r} is not the type of a field")
