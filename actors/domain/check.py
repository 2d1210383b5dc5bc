"""What one annotation admits, and how a value that does not fit is described.

Made when a domain is compiled; used on the caller's and on the writer's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from storage.value_text import short_repr

Misfit = tuple[str, str, str]
"""Path below the message, what was expected there, what was got."""


class Check(NamedTuple):
    """What one annotation admits.

    ``ok`` decides alone; ``exact`` is a shortcut: a value of exactly that type is fine. ``outer`` are the
    types that a fitting value may have, and ``find`` gives the innermost place of a value that does not fit.
    ``plain`` says that fitting values which are equal are stored alike, as 1 and 1.0 are not. ``inside`` are
    the types of what a fitting value may hold, further in too, but for what messages hold. ``hidden`` keeps
    values out of error messages.
    """

    expected: str
    outer: tuple[type, ...]
    ok: Callable[[Any], bool]
    exact: type | None = None
    find: Callable[[Any, str], Misfit] | None = None
    plain: bool = False
    inside: frozenset[type] = frozenset()
    hidden: bool = False

    @property
    def holds(self) -> frozenset[type]:
        """The types of fitting values and of all that they may contain; ``object`` means any."""
        return self.inside.union(self.outer)

    def misfit(self, value: Any, path: str) -> Misfit:
        if self.hidden:
            return path, self.expected, f"a personal value of type {type(value).__name__}"
        if self.find is not None and type(value) in self.outer:
            return self.find(value, path)
        return path, self.expected, describe(value)


def describe(value: Any) -> str:
    """Type and shortened value, as error messages show them: ``str 'abc'``."""
    return "None" if value is None else f"{type(value).__name__} {shorten(value)}"


def shorten(value: Any) -> str:
    """The value's repr, cut to what fits in a line of an error message."""
    return short_repr(value, 60)
