"""Which values are shareable: they cannot be changed, and decoding their bytes gives the same value again.

Only shareable values may have several holders, or be kept after they were stored. Of any other value each
holder gets its own copy, made by decoding. Lists, dicts and values that contain one are not shareable. Nor
are values that are accepted but decoded as something else:

- a datetime or time whose zone is more than its offset: a `ZoneInfo`, a zone with a name, or an aware one
  with fold=1;
- a bytearray or a memoryview;
- a message whose class has its own code that runs when it is built.

Any thread, once all classes are registered. A frozenset is shareable, though it may give its items in another
order the next time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from storage.codec.generated import define

__all__ = ["Fidelity", "is_built_plainly"]

Check = Callable[[Any], bool]

_SAFE = (NoneType, bool, int, float, str, bytes, Decimal, date, timedelta, UUID)


class Fidelity:
    """Checks whether a value would be decoded as it was; such a value passes. Call it with any value.

    A value that cannot be encoded does not pass.
    """

    __slots__ = ("_checks", "_passes", "doubtful_fields", "safe_types")

    def __init__(self, *, mutable: bool = False) -> None:
        """Without `mutable`, lists and dicts do not pass: then it says whether a value is shareable."""
        self.safe_types: set[type] = set(_SAFE)
        """The types whose values all pass; a live set, to be read only."""
        self.doubtful_fields: dict[type, tuple[str, ...]] = {}
        """For each class that is built plainly, the fields that may hold values that do not pass."""
        checks: dict[type, Check] = {datetime: _comes_back, time: _comes_back}
        safe = self.safe_types

        def passes(value: Any) -> bool:
            kind = type(value)
            if kind in safe:
                return True
            check = checks.get(kind)
            return check is not None and check(value)

        def all_pass(items: Iterable[Any]) -> bool:
            return safe.issuperset(map(type, items)) or all(map(passes, items))

        checks[tuple] = checks[frozenset] = all_pass
        if mutable:
            checks[list] = all_pass
            checks[dict] = lambda value: all_pass(value) and all_pass(value.values())
        self._checks = checks
        self._passes = passes

    def __call__(self, value: Any) -> bool:
        """Whether the value passes."""
        try:
            return self._passes(value)
        except RecursionError:
            return False

    def register(self, cls: type, fields: Iterable[str] | None = None, times: Collection[str] = ()) -> None:
        """Add a class: a dataclass with the fields whose values may not pass, an Enum with none.

        None means a dataclass that is not built plainly. `times` are the fields that hold only datetimes or
        times.
        """
        self.safe_types.discard(cls)
        self.doubtful_fields.pop(cls, None)
        if fields is None:
            self._checks[cls] = _never
            return
        names = tuple(fields)
        if not names:
            self._checks.pop(cls, None)
            self.safe_types.add(cls)
            return
        # Compiled, as it runs for every message of the class. A value too deep for it is too deep to be
        # encoded.
        self.doubtful_fields[cls] = names
        space: dict[str, Any] = {"passes": self._passes, "comes_back": _comes_back}
        checks = " and ".join(
            f"{'comes_back' if name in times else 'passes'}(message.{name})" for name in names
        )
        text = f"def check(message):\n try:\n  return {checks}\n except RecursionError:\n  return False"
        self._checks[cls] = define("check", text, space)

    def check_of(self, cls: type) -> Check | None:
        """The check for a value of exactly this class; None if all its values pass."""
        return None if cls in self.safe_types else self._checks.get(cls, _never)


def is_built_plainly(cls: type) -> bool:
    """Whether a dataclass stores the values that it is given, and does nothing else."""
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
    except AttributeError:  # a message whose fields were never checked
        return False
    if zone is None:
        return True
    if value.fold:
        return False
    # Only the offset of a zone is stored; a `timezone` without a name has nothing else.
    if zone is UTC:
        return True
    return type(zone) is timezone and len(zone.__getinitargs__()) == 1  # type: ignore[attr-defined]
