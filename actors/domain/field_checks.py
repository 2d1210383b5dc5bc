"""Checks of message fields against their annotations, compiled once per class.

Types are exact: an ``int`` field takes no ``bool``, a ``date`` field no ``datetime``, a ``str`` field no
subclass of ``str``, since that is what reading the stored message gives back. A ``float`` field also takes an
``int``. Compiled when a domain is compiled; the compiled checks run on the caller's and on the writer's
thread.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from actors.domain.annotations import hint_text, resolve, unaliased, without_extras, written
from actors.domain.check import Check, Misfit, describe
from actors.domain.container_checks import check_fixed, check_many, check_mapping, check_union
from actors.domain.personal import MisplacedPersonal, Personal, concealed, personal_of
from actors.errors import InvalidMessage
from storage.codec.generated import define

_EXACT = (str, int, bool, bytes, Decimal, datetime, date, time, timedelta, UUID)
_INSTEAD = {
    set: "frozenset[...]",
    bytearray: "bytes",
    object: "Any",
    complex: "two floats",
}


class UncheckableType(Exception):
    """A field annotation that can't be checked or stored; the text says why and what to write instead."""


Field = tuple[str, type | None, Callable[[Any], bool], Check]


class FieldChecks:
    """Compiles the checks of all classes of one domain; they may refer to one another, and to themselves."""

    def __init__(self, registered: Iterable[type], localns: Mapping[str, Any]) -> None:
        self._registered = tuple(registered)
        self._localns = localns
        self._fields: dict[type, list[Field]] = {}
        self._refs: dict[type, set[type]] = {}
        self.hints: dict[type, dict[str, Any]] = {cls: {} for cls in self._registered}
        """The resolved annotation of each field, by class and name."""
        self.personal: dict[type, dict[str, Personal]] = {}
        """The personal fields of each class that has some."""
        self.problems: dict[type, list[str]] = {}
        for cls in self._registered:
            if dataclasses.is_dataclass(cls):
                self._fields[cls] = []
        for cls in self._fields:
            self._compile(cls)

    @property
    def classes(self) -> Collection[type]:
        """The registered dataclasses."""
        return self._fields.keys()

    def fields(self, cls: type) -> dict[str, Check]:
        """The checks of a registered class by field name, without the fields that are in ``problems``."""
        return {name: check for name, _, _, check in self._fields[cls]}

    def plain(self, cls: type) -> frozenset[str]:
        """The fields of a registered class whose values, if equal, are stored alike."""
        return frozenset(name for name, _, _, check in self._fields[cls] if check.plain)

    def doubtful(self, kinds: Collection[type]) -> dict[type, list[str]]:
        """By class, the fields that may hold a value of one of these types, or of any; further in, too."""
        doubted = {object, *kinds}
        while True:
            found = {
                cls: [name for name, _, _, check in fields if not doubted.isdisjoint(check.holds)]
                for cls, fields in self._fields.items()
            }
            more = {cls for cls, names in found.items() if names} - doubted
            if not more:
                return found
            # Classes may hold one another, and themselves.
            doubted |= more

    def checker(self, cls: type, name: str) -> Callable[[Any], None]:
        """A function that raises ``InvalidMessage`` when a message's fields do not fit; ``name`` is shown."""
        fields = tuple(self._fields[cls])

        def find(message: Any) -> None:
            try:
                for field, exact, ok, rule in fields:
                    value = getattr(message, field)
                    if type(value) is not exact and not ok(value):
                        raise InvalidMessage.of(name, *rule.misfit(value, field))
            except RecursionError:
                raise InvalidMessage(f"{name} is nested too deeply to be stored", message=name) from None

        return _quick(fields, find)

    def held(self, cls: type) -> list[type]:
        """The class and all that its fields may hold, further in, too."""
        seen: dict[type, None] = {}
        waiting = [cls]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen[one] = None
                waiting.extend(sorted(self._refs.get(one, ()), key=lambda ref: ref.__qualname__))
        return list(seen)

    def fingerprint(self, cls: type, extra: str) -> str:
        """Changes when a field, its type, or that of a class it holds changes, or ``extra`` does."""
        lines = [extra, *(self._outline(one) for one in self.held(cls))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def _outline(self, cls: type) -> str:
        if issubclass(cls, Enum):
            return f"{cls.__name__}: {', '.join(cls.__members__)}"
        return f"{cls.__name__}: " + ", ".join(
            f"{name} {rule.expected}" for name, _, _, rule in self._fields[cls]
        )

    def _compile(self, cls: type) -> None:
        refs = self._refs.setdefault(cls, set())
        for field in dataclasses.fields(cls):
            try:
                if not field.init:
                    raise UncheckableType("field(init=False) can't be rebuilt from what is stored")
                full = self._hint(cls, field)
                hint = self.hints[cls][field.name] = without_extras(full)
                rule = self._check(hint, refs)
                personal = personal_of(full)
                if personal is not None:
                    self.personal.setdefault(cls, {})[field.name] = personal
                    rule = concealed(rule)
            except (UncheckableType, MisplacedPersonal) as error:
                self.problems.setdefault(cls, []).append(f"{cls.__name__}.{field.name}: {error}")
            else:
                self._fields[cls].append((field.name, rule.exact, rule.ok, rule))

    def _hint(self, cls: type, field: dataclasses.Field[Any]) -> Any:
        """The annotation, resolved, with what is in `Annotated` besides the type."""
        declarer = cls
        for base in cls.__mro__:
            if base.__dict__.get("__dataclass_fields__", {}).get(field.name) is field:
                declarer = base
        module = sys.modules.get(declarer.__module__)
        try:
            return resolve(field.type, vars(module) if module else {}, self._localns, extras=True)
        except Exception as error:
            raise UncheckableType(
                f"its annotation {written(field.type)!r} can't be resolved ({error}); register the class "
                "with @value, "
                "or define or import the name at the top of the module"
            ) from error

    def _check(self, hint: Any, refs: set[type]) -> Check:
        hint = unaliased(hint)
        if hint is Any:
            return Check("Any", (object,), _anything)
        if hint is None or hint is types.NoneType:
            return Check("None", (types.NoneType,), lambda value: value is None, types.NoneType, plain=True)
        if hint is float:
            return Check("float", (float, int), lambda value: type(value) in (float, int), float)
        if hint in (list, dict, tuple, frozenset):
            return self._container(hint, hint, (), refs)
        if isinstance(hint, type) and typing.get_origin(hint) is None:
            return self._class(hint, refs)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return check_union([self._check(member, refs) for member in arguments])
        if origin is typing.Literal:
            return self._literal(arguments, refs)
        if origin in (list, dict, tuple, frozenset):
            return self._container(hint, origin, arguments, refs)
        raise UncheckableType(_no_check(hint, origin))

    def _class(self, cls: type, refs: set[type]) -> Check:
        if cls in _EXACT:
            return Check(cls.__name__, (cls,), lambda value: type(value) is cls, cls, plain=True)
        if issubclass(cls, Enum):
            if cls not in self._registered:
                raise UncheckableType(f"Enum {cls.__name__} is not registered; register it with @value")
            refs.add(cls)
            return Check(cls.__name__, (cls,), lambda value: type(value) is cls, cls, plain=True)
        if cls in self._fields:
            refs.add(cls)
            return self._dataclass(cls)
        if dataclasses.is_dataclass(cls):
            raise UncheckableType(f"dataclass {cls.__name__} is not registered; register it with @value")
        raise UncheckableType(_no_check(cls, cls))

    def _dataclass(self, cls: type) -> Check:
        # The lists are shared and filled later, so that classes may hold one another.
        by_type = {one: fields for one, fields in self._fields.items() if issubclass(one, cls)}

        def ok(value: Any) -> bool:
            fields = by_type.get(type(value))
            if fields is None:
                return False
            for name, exact, good, _ in fields:
                inner = getattr(value, name)
                if type(inner) is not exact and not good(inner):
                    return False
            return True

        def find(value: Any, path: str) -> Misfit:
            for name, _, good, rule in by_type[type(value)]:
                inner = getattr(value, name)
                if not good(inner):
                    return rule.misfit(inner, f"{path}.{name}")
            return path, cls.__name__, describe(value)

        return Check(cls.__name__, tuple(by_type), ok, None, find, plain=True)

    def _literal(self, arguments: tuple[Any, ...], refs: set[type]) -> Check:
        for value in arguments:
            self._check(type(value), refs)
        kinds = tuple(dict.fromkeys(type(value) for value in arguments))
        allowed = frozenset((type(value), value) for value in arguments)
        expected = " or ".join(repr(value) for value in arguments)
        return Check(
            expected,
            kinds,
            lambda value: type(value) in kinds and (type(value), value) in allowed,
            plain=len(set(arguments)) == len(arguments),
        )

    def _container(self, hint: Any, origin: Any, arguments: tuple[Any, ...], refs: set[type]) -> Check:
        expected = hint_text(hint)
        if origin is dict:
            keys, values = (self._check(one, refs) for one in arguments or (Any, Any))
            return check_mapping(expected, keys, values)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return check_fixed(expected, [self._check(one, refs) for one in arguments])
        if origin is tuple and hint is not tuple and not arguments:
            return check_fixed(expected, [])
        return check_many(expected, origin, self._check(arguments[0] if arguments else Any, refs))


def _quick(fields: Iterable[Field], find: Callable[[Any], None]) -> Callable[[Any], None]:
    """`find`, called only where a field is not of exactly its type: in most messages there is nothing to
    find.
    """
    names: dict[str, Any] = {"find": find}
    doubts = []
    for number, (field, exact, _, _) in enumerate(fields):
        if exact is None:
            return find
        names[f"exact{number}"] = exact
        doubts.append(f"type(message.{field}) is not exact{number}")
    if not doubts:
        return find
    text = f"def check(message):\n    if {' or '.join(doubts)}:\n        find(message)"
    return define("check", text, names)


def _anything(_value: Any) -> bool:
    return True


def _no_check(hint: Any, origin: Any) -> str:
    instead = _INSTEAD.get(origin) or _INSTEAD.get(hint)
    if instead is None and getattr(origin, "__module__", "") in ("collections.abc", "collections"):
        instead = "list[...], tuple[..., ...], dict[..., ...] or frozenset[...]"
    advice = f"; write {instead}" if instead else "; register a dataclass or Enum of your own with @value"
    return f"values of type {hint_text(hint)} can't be checked and stored{advice}"
