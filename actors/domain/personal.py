"""Personal fields: what a user declares of them, and what is read once a person is forgotten.

Runs when a domain is compiled, on that thread.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from actors.domain.annotations import unaliased
from actors.domain.check import Check
from storage.codec.codec import Codec
from storage.codec.personal_fields import PersonalField
from storage.errors import CodecError
from storage.value_text import short_repr

__all__ = [
    "MisplacedPersonal",
    "Personal",
    "SubjectForgotten",
    "concealed",
    "declare_personal_fields",
    "personal_of",
]

FORGOTTEN = "[forgotten]"
SUBJECT_TYPES = (str, int, UUID)
UNSAID: Any = object()
_REDACTED: Mapping[type, Any] = {
    str: FORGOTTEN,
    int: 0,
    float: 0.0,
    bool: False,
    bytes: b"",
    Decimal: Decimal(0),
    list: [],
    tuple: (),
    dict: {},
    frozenset: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Personal:
    """Says in `Annotated[str, Personal(subject="customer_id")]` that a field is about a person.

    `subject` is the field of the same class that identifies the person: a str, an int or a UUID, which is not
    personal itself. The value is stored encrypted with a key of that person. `redacted` is what is read once
    the person is forgotten, of the field's type: unless given, None where the type allows it, "[forgotten]",
    0, False, or something empty.
    """

    subject: str
    redacted: Any = UNSAID


@dataclass(frozen=True, slots=True)
class SubjectForgotten:
    """The event that a person was forgotten. Every domain with personal fields has it.

    Its stream is `forgotten-` and the subject. Read models and process managers may handle it.
    """

    subject: str


class MisplacedPersonal(Exception):
    """A `Personal` at a place where it would have no effect; the text says what to write."""


def personal_of(hint: Any) -> Personal | None:
    """The `Personal` of an annotation with all its extras. Raises `MisplacedPersonal`."""
    hint = unaliased(hint)
    found = None
    if typing.get_origin(hint) is typing.Annotated:
        for one in hint.__metadata__:
            if one is Personal:
                raise MisplacedPersonal('Personal needs a subject: Personal(subject="customer_id")')
            if isinstance(one, Personal):
                found = one
        hint = hint.__origin__
    if _holds_personal(hint):
        raise MisplacedPersonal(
            "Personal has an effect only around the whole type: write Annotated[str | None, Personal(...)], "
            "or Annotated[list[str], Personal(...)]"
        )
    return found


def _holds_personal(hint: Any) -> bool:
    hint = unaliased(hint)
    if typing.get_origin(hint) is typing.Annotated:
        if any(one is Personal or isinstance(one, Personal) for one in hint.__metadata__):
            return True
        hint = hint.__origin__
    return any(map(_holds_personal, typing.get_args(hint)))


def concealed(rule: Check) -> Check:
    """The check of a personal field: its errors tell the types of values, not the values."""
    return rule._replace(hidden=True)


def declare_personal_fields(
    codec: Codec,
    personal: Mapping[type, Mapping[str, Personal]],
    fields_of: Callable[[type], Mapping[str, Check]],
    problem: Callable[[type, str], None],
) -> None:
    """Tell the codec the personal fields of all classes; mistakes go to `problem`."""
    found: dict[type, dict[str, PersonalField]] = {}
    for cls, fields in personal.items():
        checks = fields_of(cls)
        for name, one in fields.items():
            why = _subject_problem(one.subject, checks, fields)
            if why:
                problem(cls, f"{cls.__name__}.{name}: Personal(subject={short_repr(one.subject)}): {why}")
                continue
            redacted = _default(checks[name]) if one.redacted is UNSAID else one.redacted
            if redacted is UNSAID:
                problem(
                    cls,
                    f"{cls.__name__}.{name}: nothing says what is read of it once its subject is forgotten; "
                    f"give Personal(redacted=...) a value of type {checks[name].expected}",
                )
                continue
            try:
                packed = codec.encode(redacted)
                fits = checks[name].ok(redacted) and len(packed) < 1 << 16
            except CodecError:
                fits = False
            if not fits:
                problem(
                    cls,
                    f"{cls.__name__}.{name}: Personal(redacted={short_repr(redacted)}) is no value of type "
                    f"{checks[name].expected}",
                )
                continue
            found.setdefault(cls, {})[name] = PersonalField(one.subject, packed)
    codec.declare_personal(found)


def _subject_problem(subject: Any, checks: Mapping[str, Check], personal: Iterable[str]) -> str:
    if not isinstance(subject, str) or subject not in checks:
        return "it is not a field of the class; name the one that identifies the person"
    if subject in personal:
        return "that field is personal itself; name one that stays, such as an id"
    if checks[subject].exact not in SUBJECT_TYPES:
        return f"that field is of type {checks[subject].expected}; it must be str, int or UUID"
    return ""


def _default(check: Check) -> Any:
    if NoneType in check.outer and check.ok(None):
        return None
    for kind, value in _REDACTED.items():
        if kind in check.outer and check.ok(value):
            return value
    return UNSAID
