"""Stream and tag names from templates over fields: ``"product-{sku}"``.

A template with one field writes its value as it is. With several fields two different pairs of values must
never give one name, so in each value ``%`` and the first character of every literal between two fields are
written as ``%XX`` (their UTF-8 bytes): ``stock-{place}-{sku}`` with ``a-b`` and ``c`` is ``stock-a%2Db-c``.
Read from the left, such a name has one reading only. Pure; runs on the caller's and on the writer's thread.
"""

from __future__ import annotations

import operator
import string
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime
from enum import Enum
from types import NoneType
from typing import Any
from uuid import UUID

from actors.domain.check import Check, describe
from actors.errors import InvalidMessage
from storage.value_text import short_repr

EXPECTED = "a non-empty str, an int, UUID, Enum or date (it names the stream)"


class Template:
    """One parsed template. Raises ``ValueError`` when it has no single reading."""

    __slots__ = ("_escapes", "_literals", "fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        literals, fields = [""], []
        for literal, field, spec, conversion in string.Formatter().parse(text):
            literals[-1] += literal
            if field is None:
                continue
            if not field.isidentifier() or spec or conversion:
                raise ValueError(f"{{{field}}} must be a field's name alone, as in 'product-{{sku}}'")
            if field in fields:
                raise ValueError(f"{{{field}}} is there twice")
            fields.append(field)
            literals.append("")
        for left, right, between in zip(fields, fields[1:], literals[1:], strict=False):
            if not between or between[0] == "%":
                raise ValueError(
                    f"between {{{left}}} and {{{right}}} there must be a separator other than '%'"
                )
        self.fields = tuple(fields)
        self._literals = tuple(literals)
        special = {"%", *(between[0] for between in literals[1:-1])} if len(fields) > 1 else set()
        self._escapes = str.maketrans({char: "".join(f"%{b:02X}" for b in char.encode()) for char in special})

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    @property
    def prefix(self) -> str:
        """The text before the first field; the whole text if there is none."""
        return self._literals[0]

    def may_name_the_same_as(self, other: Template) -> bool:
        """Whether some values could give both templates one name."""
        if not self.fields or not other.fields:
            fixed, open_ = (self, other) if not self.fields else (other, self)
            return (
                fixed._literals[0] == open_._literals[0] if not open_.fields else open_._may_be(fixed.prefix)
            )
        mine, yours = self._literals, other._literals
        starts = mine[0].startswith(yours[0]) or yours[0].startswith(mine[0])
        return starts and (mine[-1].endswith(yours[-1]) or yours[-1].endswith(mine[-1]))

    def _may_be(self, name: str) -> bool:
        literals = self._literals
        return (
            name.startswith(literals[0])
            and name.endswith(literals[-1])
            and len(name) > sum(map(len, literals))
        )

    def fill(self, owner: str, values: Collection[Any]) -> str:
        """The name for values in the order of the fields; ``owner`` is named in ``InvalidMessage``."""
        parts = [self._literals[0]]
        for field, value, literal in zip(self.fields, values, self._literals[1:], strict=True):
            text = _text(owner, field, value)
            parts.append(text.translate(self._escapes) if self._escapes else text)
            parts.append(literal)
        return "".join(parts)

    def of(self, owner: str) -> Callable[[Any], str]:
        """A function from a message to its name; raises ``InvalidMessage`` for a value that can't be part of
        one.
        """
        if not self.fields:
            whole = self._literals[0]
            return lambda _message: whole
        if len(self.fields) == 1:
            return self._of_one(owner)
        get = operator.attrgetter(*self.fields)
        return lambda message: self.fill(owner, get(message))

    def _of_one(self, owner: str) -> Callable[[Any], str]:
        (field,) = self.fields
        get = operator.attrgetter(field)
        prefix, suffix = self._literals

        def name(message: Any) -> str:
            value = get(message)
            if type(value) is str and value:
                return prefix + value + suffix
            return prefix + _text(owner, field, value) + suffix

        return name

    def bind(self, owner: str) -> Callable[..., str]:
        """A function from values, positional in the order of the fields or by field name, to the name.

        It raises ``TypeError`` for missing and unknown fields.
        """

        def stream_for(*args: Any, **kwargs: Any) -> str:
            names = self.fields[: len(args)]
            values = dict(zip(names, args, strict=False), **kwargs)
            if (
                len(args) > len(self.fields)
                or len(values) < len(args) + len(kwargs)
                or set(values) != set(self.fields)
            ):
                given = ", ".join(
                    [*map(short_repr, args), *(f"{key}={short_repr(value)}" for key, value in kwargs.items())]
                )
                raise TypeError(
                    f"{owner} is found by ({', '.join(self.fields)}) of {self.text!r}, got ({given})"
                )
            return self.fill(owner, [values[field] for field in self.fields])

        return stream_for


def misfit(check: Check, *, optional: bool = False) -> str | None:
    """Why a field of this type can't be part of a template, or None; ``optional`` lets the field be None."""
    kinds = [kind for kind in check.outer if not (optional and kind is NoneType)]
    if kinds == [object]:
        return None
    if len(kinds) != 1:
        return (
            f"is {check.expected}; one type alone may stand in a template, since 1 and '1' would be one name"
        )
    (kind,) = kinds
    if issubclass(kind, Enum):
        odd = [member.name for member in kind if type(member.value) not in (str, int) or member.value == ""]
        return f"is Enum {kind.__name__}, whose {odd[0]} has no str or int value" if odd else None
    if kind not in (str, int, UUID, date):
        return f"is {check.expected}; only str, int, UUID, Enum and date may stand in a template"
    return None


def called_tags(name: str, fn: Callable[[Any], Iterable[str]]) -> Callable[[Any], tuple[str, ...]]:
    """A user's function, its tags checked and each kept once; a single str is one tag."""

    def tags_of(event: Any) -> tuple[str, ...]:
        given = fn(event)
        tags = (given,) if isinstance(given, str) else tuple(given)
        for tag in tags:
            if type(tag) is not str or not tag:
                raise InvalidMessage.of(name, "tags", "non-empty strs", describe(tag))
        return tuple(dict.fromkeys(tags))

    return tags_of


def template_tags(name: str, templates: Sequence[Template]) -> Callable[[Any], tuple[str, ...]]:
    """One tag for each template, none for one with a field that is None."""
    makers = [(template.fields, template.of(name)) for template in templates]

    def tags_of(event: Any) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(
                make(event)
                for fields, make in makers
                if all(getattr(event, field) is not None for field in fields)
            )
        )

    return tags_of


def _text(owner: str, field: str, value: Any) -> str:
    text = None
    inner = value.value if isinstance(value, Enum) else value
    if isinstance(inner, str):
        text = str.__str__(inner)
    elif isinstance(inner, int) and not isinstance(inner, bool):
        try:
            text = int.__repr__(inner)
        except ValueError as error:  # of more digits than Python writes out
            raise InvalidMessage.of(owner, field, EXPECTED, f"{describe(value)} ({error})") from None
    elif isinstance(inner, UUID):
        text = str(inner)
    elif isinstance(inner, date) and not isinstance(inner, datetime):
        text = inner.isoformat()
    if not text:
        raise InvalidMessage.of(owner, field, EXPECTED, describe(value))
    return text
