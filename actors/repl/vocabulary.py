"""The names of a domain as the session knows them: its messages with their fields, types, defaults and texts.

Made once, when the session begins; read by any thread.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from actors.domain.annotations import hint_text, resolve
from actors.domain.declarations import Declared
from actors.domain.domain import Domain
from actors.repl.value_text import literal

__all__ = ["Field", "Form", "Vocabulary", "did_you_mean"]

LONGEST_NAME = 100
"""A longer name is no typing error of one of ours, and the search for a similar one would take long."""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field; `default` is its text, or None when a value has to be given."""

    name: str
    hint: Any
    type: str
    default: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A message that can be written; `fields` is empty for an Enum."""

    name: str
    kind: str
    cls: type
    fields: tuple[Field, ...]
    doc: str

    def field(self, name: str) -> Field | None:
        """The field of that name, or None."""
        return next((one for one in self.fields if one.name == name), None)

    def signature(self) -> str:
        """`ListProduct sku name category price [quantity=1]`."""
        shown = (one.name if one.default is None else f"[{one.name}={one.default}]" for one in self.fields)
        return " ".join((self.name, *shown))


class Vocabulary:
    """`forms` by registered name; `names` from classes to these."""

    def __init__(self, domain: Domain) -> None:
        declared = domain.declarations.classes
        self.names: dict[type, str] = {one.cls: one.name for one in declared}
        by_class_name = {one.cls.__name__: one.cls for one in declared}
        self.forms = {one.name: _form(one, by_class_name, self.names) for one in declared}
        self.commands = self._of("command")
        self.queries = self._of("query")

    def _of(self, kind: str) -> dict[str, Form]:
        return {name: form for name, form in self.forms.items() if form.kind == kind}

    def literal(self, value: Any) -> str:
        """The value as one would type it."""
        return literal(value, self.names)


def _form(declared: Declared, localns: Mapping[str, Any], names: Mapping[type, str]) -> Form:
    cls: Any = declared.cls
    if issubclass(cls, Enum):
        return Form(declared.name, declared.kind, cls, (), _doc(cls))
    fields = []
    for one in dataclasses.fields(cls):
        hint = _hint(cls, one, localns)
        fields.append(Field(one.name, hint, hint_text(hint), _default(one, names)))
    return Form(declared.name, declared.kind, cls, tuple(fields), _doc(cls))


def _hint(cls: type, field: dataclasses.Field[Any], localns: Mapping[str, Any]) -> Any:
    # A field that was inherited is resolved where it was written.
    for base in reversed(cls.__mro__):
        if base.__dict__.get("__dataclass_fields__", {}).get(field.name) is field:
            module = sys.modules.get(base.__module__)
            return resolve(field.type, vars(module) if module else {}, localns)
    return Any


def _default(field: dataclasses.Field[Any], names: Mapping[type, str]) -> str | None:
    if field.default is not dataclasses.MISSING:
        return literal(field.default, names)
    if field.default_factory is not dataclasses.MISSING:
        return literal(field.default_factory(), names)
    return None


def _doc(cls: type) -> str:
    doc = cls.__doc__ or ""
    # A dataclass without a text of its own gets its signature, an Enum in 3.11 a text about no enum.
    if doc.startswith(f"{cls.__name__}(") or doc == "An enumeration.":
        return ""
    return " ".join(doc.split())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when no known name is near."""
    if len(name) > LONGEST_NAME:
        return ""
    folded = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"; did you mean {folded[near[0]]}?" if near else ""
