"""Access control: functions that see each use of a system first, and refuse it by raising.

A guard is declared with ``@shop.guard`` and gets an `Access`. Middleware runs around a call and may change
it; guards are asked below all middleware, at every attempt, about what is really going to be done. They run
on the caller's thread or event loop, so context variables are the caller's: keep them short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from actors.domain.source_location import name_of
from actors.errors import GuardFailed
from storage.value_text import short_repr

__all__ = ["Access", "AccessKind", "Guard", "Guards"]

AccessKind = Literal["command", "query", "append", "view", "events", "process_manager"]
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Access(NamedTuple):
    """One use of a system, before anything of it is done.

    - `kind`: "command"; "query", which a watch asks at each of its runs; "append", of facts without a
      command; "view", also for `dump`; "events", for `stream`, `streams`, `tagged`, `subscribe`, `consumer`,
      `consume`, `closed_streams`, `plan_correction` and `corrected_events`; "process_manager", for the states
      of its instances
    - `message`: the command or query; None for others
    - `types`: its class; of "append" and "events" those of the events, where none means all of them
    - `names`: the read models of a "query" or "view", or the process manager
    - `stream`: of "append" and "events", where None means any of them
    - `metadata`: what the caller, or middleware, gave with the command or facts
    """

    kind: AccessKind
    message: Any = None
    types: tuple[type, ...] = ()
    names: tuple[str, ...] = ()
    stream: str | None = None
    metadata: Mapping[str, Any] = NOTHING


Guard = Callable[[Access], None]


class Guards:
    """The guards of a domain, in the order of their declaration; false if there are none."""

    __slots__ = ("_guards",)

    def __init__(self, guards: tuple[Guard, ...] = ()) -> None:
        self._guards = guards

    def __bool__(self) -> bool:
        return bool(self._guards)

    def check(self, access: Access) -> None:
        """Raise what the first guard raises that refuses it; `GuardFailed` for one that returns something."""
        for guard in self._guards:
            answer: object = guard(access)
            if answer is not None:
                raise GuardFailed(
                    f"guard {name_of(guard)} returned {short_repr(answer)} for {access.kind}; a guard raises "
                    "Forbidden to refuse, and returns nothing to allow"
                )
