"""Which values last: nobody can change them, and they come back from their bytes as what they are.

Only those may be shared by several holders, or outlive the moment at which they were stored. Of what does not last, each
holder has a copy of its own: what decoding gives. Lists and dicts do not last, nor what holds one. Nor does what is
accepted and comes back as something else: a datetime or time whose zone is more than its offset (a `ZoneInfo`, a zone
with a name, an aware one with fold=1), a bytearray or a memoryview, and a message whose class has code of its own that
runs when it is built. Any thread; registering comes first.

A frozenset lasts, though the order in which it gives its items may be another one next time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

__all__ = ["Lasting", "is_built_plainly"]

Check = Callable[[Any], bool]

_SURE = (NoneType, bool, int, float, str, bytes, Decimal, date, timedelta, UUID)


class Lasting:
    """Tells whether a value lasts. Call it with any value that can be encoded; others never do."""

    __slots__ = ("_checks", "_lasts", "doubtful", "sure")

    def __init__(self, *, changeable: bool = False) -> None:
        """With `changeable`, lists and dicts count as what is in them: tells whether a value comes back as it is."""
        self.sure: set[type] = set(_SURE)
        """The types whose values last, all of them; a live set, to be read only."""
        self.doubtful: dict[type, tuple[str, ...]] = {}
        """The fields of a message class that may hold what does not last, where the class is built plainly."""
        checks: dict[type, Check] = {datetime: _comes_back, time: _comes_back}
        sure = self.sure

        def lasts(value: Any) -> bool:
            kind = type(value)
            if kind in sure:
                return True
            check = checks.get(kind)
            return check is not None and check(value)

        def all_last(items: Iterable[Any]) -> bool:
            return sure.issuperset(map(type, items)) or all(map(lasts, items))

        checks[tuple] = checks[frozenset] = all_last
        if changeable:
            checks[list] = all_last
            checks[dict] = lambda value: all_last(value) and all_last(value.values())
        self._checks = checks
        self._lasts = lasts

    def __call__(self, value: Any) -> bool:
        """Whether the value lasts."""
        try:
            return self._lasts(value)
        except RecursionError:
            return False

    def register(self, cls: type, fields: Iterable[str] | None = None, times: Collection[str] = ()) -> None:
        """Know a class: a dataclass by the fields that may hold what does not last, an Enum by none of them.

        None stands for a dataclass that is not built plainly. `times` are those that hold nothing but datetimes or times.
        """
        self.sure.discard(cls)
        self.doubtful.pop(cls, None)
        if fields is None:
            self._checks[cls] = _never
            return
        names = tuple(fields)
        if not names:
            self._checks.pop(cls, None)
            self.sure.add(cls)
            return
        # Compiled: it is asked of every message of the class. What is too deep for it is too deep to be encoded.
        self.doubtful[cls] = names
        space: dict[str, Any] = {"lasts": self._lasts, "comes_back": _comes_back}
        checks = " and ".join(
            f"{'comes_back' if name in times else 'lasts'}(message.{name})" for name in names
        )
        exec(
            f"def check(message):\n try:\n  return {checks}\n except RecursionError:\n  return False",
            space,
        )
        self._checks[cls] = space["check"]

    def of(self, cls: type) -> Check | None:
        """What tells whether a value of exactly this class lasts; None where all of them do."""
        return None if cls in self.sure else self._checks.get(cls, _never)


def is_built_plainly(cls: type) -> bool:
    """Whether a dataclass keeps the values that it is given, and nothing else."""
    dataclass: Any = cls
    return (
        bool(dataclass.__dataclass_params__.init)
        and dataclass.__new__ is object.__new__
        and not hasattr(cls, "__post_init__")
        and all(field.init for field in dataclasses.fields(dataclass))
    )


def _never(_value: Any) -> bool:
    return False


def _comes_back(value: datetime | time) -> bool:
    try:
        zone = value.tzinfo
    except AttributeError:  # a message that was never checked
        return False
    if zone is None:
        return True
    if value.fold:
        return False
    # Of a zone the offset is stored, which is all of a `timezone` that has no name.
    return zone is UTC or (type(zone) is timezone and len(zone.__getinitargs__()) == 1)  # type: ignore[attr-defined]
