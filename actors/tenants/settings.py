"""The settings of a folder of stores, checked before anything is opened. Callers' threads only."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.system.system import System
from actors.timeouts import MOST_SECONDS
from storage.value_text import short_repr

__all__ = ["TIMERS", "TenantSettings"]

TIMERS = ("wake", "keep", "ignore")
_OPTIONS = frozenset(inspect.signature(System.open).parameters) - {"path", "domain"}
_OF_ONE = ("replicas_path", "keys_path", "archives_path")
"""Folders that stores can't share."""

MOST_OPEN = 100_000


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """What `Systems` was given. Raises `TypeError` or `ValueError` for what is no setting."""

    max_open: int
    idle: float
    create: bool | Callable[[str], bool]
    keep_open: Callable[[str, System], bool] | None
    timers: str
    options_of: Callable[[str], Mapping[str, Any]] | None
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        most = self.max_open
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_OPEN:
            raise ValueError(
                f"max_open= must be a number of stores from 1 to {MOST_OPEN:,}, got {short_repr(most)}"
            )
        idle = self.idle
        if isinstance(idle, bool) or not isinstance(idle, int | float) or not 0 < idle <= MOST_SECONDS:
            raise ValueError(f"idle= must be a number of seconds above 0, got {short_repr(idle)}")
        if not isinstance(self.create, bool) and not callable(self.create):
            raise TypeError(
                f"create= must be True, False or a function of a name, got {short_repr(self.create)}"
            )
        for name in ("keep_open", "options_of"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise TypeError(f"{name}= must be a function, got {short_repr(value)}")
        if self.timers not in TIMERS:
            raise ValueError(f"timers= must be 'wake', 'keep' or 'ignore', got {short_repr(self.timers)}")
        _checked(self.options, "the options of all stores", _OF_ONE)

    def options_for(self, name: str) -> dict[str, Any]:
        """What `System.open` is given for a tenant. Raises what `options_of` does."""
        if self.options_of is None:
            return dict(self.options)
        own = self.options_of(name)
        if not isinstance(own, Mapping):
            raise TypeError(f"options_of({name!r}) must return a dict of options, got {short_repr(own)}")
        return {**self.options, **_checked(own, f"options_of({name!r})")}

    def may_create(self, name: str) -> bool:
        """Whether a store is made for a tenant that has none. Raises what `create` does."""
        return self.create if isinstance(self.create, bool) else bool(self.create(name))


def _checked(options: Mapping[str, Any], whose: str, shared: tuple[str, ...] = ()) -> Mapping[str, Any]:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise TypeError(
            f"System.open has no option {unknown[0]!r}; look at {whose}; it has {', '.join(sorted(_OPTIONS))}"
        )
    for name in shared:
        if options.get(name) is not None:
            raise ValueError(f"{name}= can't be one for all stores; give each its own with options_of=")
    return options
