"""A process manager as the runtime knows it: which handler takes which input in which state.

Made once, when the domain is compiled; read by all threads and never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

__all__ = ["Effect", "EventRule", "Handlers", "ProcessManagerSpec", "Rejection", "Start"]

C = TypeVar("C")

Start = Literal["now", "beginning"]
Handlers = dict[type | None, Callable[[Any, Any, Any], Any]]
"""Handlers of one message by the class of the instance's state, None where there is no instance."""


@dataclass(frozen=True, slots=True)
class Rejection(Generic[C]):
    """A command of a process manager that was refused: `code` and `text` are those of the `Rejected`."""

    command: C
    code: str
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)


class EventRule(NamedTuple):
    """An event that a manager handles: which instance it is for (None: for none), and the handlers.

    `field` is the one that identifies the instance, None where a function does.
    """

    key_of: Callable[[Any], str | None]
    handlers: Handlers
    field: str | None = None


class Effect(NamedTuple):
    """What delivers an effect: `send(payload, key)`; parked after `attempts` failures in a row."""

    send: Callable[[Any, str], Any]
    attempts: int


@dataclass(slots=True)
class ProcessManagerSpec:
    """A process manager without mistakes; `commands` are the domain's, which it may execute."""

    name: str
    version: int
    start: Start
    states: frozenset[type]
    events: dict[type, EventRule]
    rejections: dict[type, Handlers]
    timers: dict[type, Handlers]
    effects: dict[str, Effect]
    commands: frozenset[type]
    managers: frozenset[str] = frozenset()
    """The names of all managers of the domain, and those in their ids; complete once the store is open."""
    formerly: tuple[str, ...] = ()
    """Names that it had: what is stored of a manager of one of them is its own."""
    ids: str = ""
    """The name in the ids that it gives: its own, or once it was renamed its first one in this store."""

    def __post_init__(self) -> None:
        self.ids = self.ids or self.name
