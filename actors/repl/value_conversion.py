"""From what was written to what a field declares: dates, enums, nested messages. Pure; any thread.

A bare word is read as the field's type requires; so is a text in quotes, unless the field also takes text.
Where several types fit, or any value may be given, `Decimal(1.5)` or `OrderStatus(PLACED)` says which is
meant.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

from actors.cli.errors import SHOWN, UsageError, short
from actors.domain.annotations import hint_text, unaliased, union_members
from actors.errors import InvalidMessage
from actors.repl.ast import CallNode, DictNode, ListNode, Node, TextNode, WordNode
from actors.repl.scalars import READERS, natural
from actors.repl.vocabulary import Field, Form, did_you_mean

__all__ = ["Converter"]

_CONSTRUCTORS = {kind.__name__: kind for kind in READERS if kind not in (str, int, bool)}
_CONTAINERS = (list, tuple, frozenset)


class _Misfit(Exception):
    """A value that does not fit its hint: (path, expected, got)."""


class Converter:
    """Makes messages of `forms`, which are looked up by their registered names."""

    def __init__(self, forms: Mapping[str, Form]) -> None:
        self._forms = forms
        self._by_class = {form.cls: form for form in forms.values()}

    def message(self, form: Form, positional: Sequence[Node], named: Mapping[str, Node]) -> Any:
        """The message. Raises `UsageError` for fields that do not fit, `InvalidMessage` for wrong values."""
        try:
            return self._message(form, positional, named, "")
        except _Misfit as misfit:
            raise InvalidMessage.of(form.name, *misfit.args) from None

    def value(self, hint: Any, value: Node, name: str) -> Any:
        """One value outside a message, as an option has it. Raises `UsageError`, which calls it `name`."""
        try:
            return self._value(hint, value, name)
        except _Misfit as misfit:
            path, expected, got = misfit.args
            raise UsageError(f"{path} must be {expected}, got {got}") from None

    # -- messages ----------------------------------------------------------------------------
    def _message(self, form: Form, positional: Sequence[Node], named: Mapping[str, Node], path: str) -> Any:
        if len(positional) > len(form.fields):
            raise UsageError(
                f"{form.name} takes {_values(len(form.fields))}, {len(positional)} "
                f"{'was' if len(positional) == 1 else 'were'} given: {form.signature()}"
            )
        given: dict[str, Node] = {
            field.name: value for field, value in zip(form.fields, positional, strict=False)
        }
        for name, value in named.items():
            if form.field(name) is None:
                known = [one.name for one in form.fields]
                meant = did_you_mean(name, known) or "."
                raise UsageError(
                    f"{form.name} has no field {short(name)}{meant} It is written: {form.signature()}"
                )
            if name in given:
                raise UsageError(f"{form.name}.{name} is given twice, by its place and by its name")
            given[name] = value
        missing = [one for one in form.fields if one.default is None and one.name not in given]
        if missing:
            texts = ", ".join(f"{one.name} ({one.type})" for one in missing)
            raise UsageError(f"{form.name} needs {texts}")
        return form.cls(**{name: self._field(form, name, value, path) for name, value in given.items()})

    def _field(self, form: Form, name: str, value: Node, path: str) -> Any:
        field = typing.cast(Field, form.field(name))
        return self._value(field.hint, value, f"{path}.{name}" if path else name)

    # -- values ------------------------------------------------------------------------------
    def _value(self, hint: Any, value: Node, path: str) -> Any:
        hint = unaliased(hint)
        if hint is Any:
            return self._any(value, path)
        members = union_members(hint)
        if len(members) > 1:
            return self._union(hint, members, value, path)
        if hint is types.NoneType or hint is None:
            if isinstance(value, WordNode) and value.text.lower() == "none":
                return None
            raise _Misfit(path, "none", shown(value))
        origin = typing.get_origin(hint) or hint
        if origin is typing.Literal:
            return self._literal(hint, value, path)
        if origin in _CONTAINERS:
            return self._container(hint, origin, value, path)
        if origin is dict:
            return self._mapping(hint, value, path)
        if isinstance(value, CallNode):
            return self._called(hint, value, path)
        if hint in READERS:
            return _scalar(hint, value, path)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _member(hint, value, path)
        return self._nested(hint, value, path)

    def _union(self, hint: Any, members: Sequence[Any], value: Node, path: str) -> Any:
        plain = [unaliased(member) for member in members]
        if isinstance(value, TextNode) and str in plain:
            return value.text
        misfits = []
        for member in sorted(plain, key=lambda member: _rank(member, value)):
            try:
                return self._value(member, value, path)
            except _Misfit as misfit:
                misfits.append(misfit)
        # A misfit further inside tells more than that no alternative fits.
        deepest = max(misfits, key=lambda misfit: len(misfit.args[0]))
        if len(deepest.args[0]) > len(path):
            raise deepest
        raise _Misfit(path, hint_text(hint), shown(value))

    def _literal(self, hint: Any, value: Node, path: str) -> Any:
        for choice in typing.get_args(hint):
            try:
                if self._value(type(choice), value, path) == choice:
                    return choice
            except _Misfit:
                pass
        raise _Misfit(path, hint_text(hint), shown(value))

    def _container(self, hint: Any, origin: Any, value: Node, path: str) -> Any:
        if isinstance(value, CallNode) and value.name == "frozenset" and origin is frozenset:
            value = value.positional[0] if len(value.positional) == 1 and not value.named else value
        if not isinstance(value, ListNode):
            raise _Misfit(path, f"{hint_text(hint)}, written [...]", shown(value))
        hints = typing.get_args(hint)
        if origin is tuple and hints and hints[-1] is not Ellipsis:
            if len(hints) != len(value.items) and hints != ((),):
                raise _Misfit(path, hint_text(hint), _values(len(value.items)))
        else:
            hints = (hints[0] if hints else Any,) * len(value.items)
        items = [
            self._value(one, item, f"{path}[{number}]")
            for number, (one, item) in enumerate(zip(hints, value.items, strict=False))
        ]
        try:
            return origin(items)
        except TypeError:
            raise _Misfit(path, "frozenset of values that can't change", shown(value)) from None

    def _mapping(self, hint: Any, value: Node, path: str) -> dict[Any, Any]:
        if not isinstance(value, DictNode):
            raise _Misfit(path, f"{hint_text(hint)}, written {{key: value}}", shown(value))
        key_hint, value_hint = typing.get_args(hint) or (Any, Any)
        made = {}
        for written, item in value.items:
            key = self._value(key_hint, written, f"{path} key")
            try:
                made[key] = self._value(value_hint, item, f"{path}[{shown(written)}]")
            except TypeError:
                raise _Misfit(f"{path} key", "a value that can't change", shown(written)) from None
        return made

    def _called(self, hint: Any, value: CallNode, path: str) -> Any:
        """`Name(...)`, which has to be of the hint's class."""
        made = self._constructed(value, path)
        if type(made) is not hint and not (hint is float and type(made) is int):
            raise _Misfit(path, hint_text(hint), shown(value))
        return made

    def _nested(self, hint: Any, value: Node, path: str) -> Any:
        form = self._by_class.get(hint)
        if form is not None and isinstance(value, DictNode):
            named = {key.text: item for key, item in value.items if isinstance(key, WordNode | TextNode)}
            if len(named) == len(value.items):
                return self._message(form, (), named, path)
        name = form.signature() if form is not None else hint_text(hint)
        raise _Misfit(path, f"{hint_text(hint)}, written {name.replace(' ', '(', 1)})", shown(value))

    def _any(self, value: Node, path: str) -> Any:
        match value:
            case WordNode(text):
                return natural(text)
            case TextNode(text):
                return text
            case ListNode():
                return self._container(Any, list if value.bracket == "[" else tuple, value, path)
            case DictNode():
                return self._mapping(dict, value, path)
            case CallNode(name="frozenset"):
                return self._container(frozenset, frozenset, value, path)
            case _:
                return self._constructed(value, path)

    def _constructed(self, value: CallNode, path: str) -> Any:
        kind: Any = _CONSTRUCTORS.get(value.name)
        form = self._forms.get(value.name)
        if form is not None and form.fields:
            return self._message(form, value.positional, value.named, path)
        if form is not None and not issubclass(form.cls, Enum):
            return self._message(form, value.positional, value.named, path)
        kind = form.cls if form is not None else kind
        if kind is None:
            known = [*self._forms, *_CONSTRUCTORS]
            raise _Misfit(
                path, "a value", f"{shown(value)}, which is no known name{did_you_mean(value.name, known)}"
            )
        if len(value.positional) != 1 or value.named or isinstance(value.positional[0], CallNode):
            raise _Misfit(path, f"{kind.__name__}(...) with one value", shown(value))
        if kind in READERS:
            return _scalar(kind, value.positional[0], path)
        return _member(kind, value.positional[0], path)


def shown(value: Node) -> str:
    """How an error names what was written."""
    match value:
        case WordNode(text) | TextNode(text):
            return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."
        case ListNode():
            return f"{_values(len(value.items))} in brackets"
        case DictNode():
            return "{...}"
        case _:
            return f"{short(value.name)}(...)"


def _values(count: int) -> str:
    return f"{count or 'no'} value{'s' if count != 1 else ''}"


def _rank(member: Any, value: Node) -> int:
    """The rank of an alternative of a union: the lower, the earlier it is tried."""
    if isinstance(value, ListNode):
        return (typing.get_origin(member) or member) is not (list if value.bracket == "[" else tuple)
    # Every word is a text, so text comes last; and a date is also a datetime, at midnight.
    return 2 if member is str else 1 if member is datetime else 0


def _scalar(hint: type, value: Node, path: str) -> Any:
    read, such_as = READERS[hint]
    if isinstance(value, WordNode | TextNode):
        try:
            return read(value.text)
        except (ValueError, OverflowError):
            pass
    raise _Misfit(path, f"{hint.__name__}{', ' if such_as else ''}{such_as}", shown(value))


def _member(hint: type[Enum], value: Node, path: str) -> Enum:
    if isinstance(value, WordNode | TextNode):
        text = value.text.removeprefix(f"{hint.__name__}.")
        if text in hint.__members__:
            return hint[text]
        for name, member in hint.__members__.items():
            if text.casefold() in (name.casefold(), str(member.value).casefold()):
                return member
    raise _Misfit(path, " or ".join(hint.__members__), shown(value))
