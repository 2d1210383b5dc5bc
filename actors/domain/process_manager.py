"""Process managers as a user declares them. Only a definition; it is checked when the domain is compiled.

Declare on one thread, normally at import. Handlers run on the manager's thread and must be pure: they say
what is to be done through `do`, and the manager does it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import UnionType
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform, overload

from actors.domain.process_manager_spec import Start
from actors.domain.source_location import caller_location
from actors.domain.specs import CompiledDomain

__all__ = ["EffectRule", "HandlerRule", "Key", "ProcessManager"]

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])
Key = str | Callable[[Any], str | None]
DeclareValue = Callable[[Any, str | None, str, str | Sequence[str]], Any]
"""Registers a class that messages hold, under a name, with its source location and the names that it had;
returns it as a frozen dataclass.
"""


class HandlerRule(NamedTuple):
    """A handler as it was registered; `kind` is event, rejection or timer. The rest is in its annotations."""

    kind: str
    fn: Callable[..., Any]
    messages: tuple[Any, ...]
    key: Key | None


class EffectRule(NamedTuple):
    """What delivers an effect, and how often it is tried before the effect is parked."""

    name: Any
    fn: Callable[..., Any]
    attempts: Any
    location: str


class Compilable(Protocol):
    """What a manager is declared in: a `Domain`."""

    def compile(self) -> CompiledDomain: ...


class ProcessManager:
    """Events in, commands out. Made by `Domain.process_manager`."""

    def __init__(
        self,
        domain: Compilable,
        declare_value: DeclareValue,
        name: str,
        *,
        key: Key | None,
        start: Start | None,
        version: int,
        location: str,
        formerly: tuple[Any, ...] = (),
    ) -> None:
        """For `Domain.process_manager`."""
        self.name = name
        self.key = key
        self.start = start
        self.version = version
        self.location = location
        self.formerly = formerly
        self.states: list[type] = []
        self.timers: list[type] = []
        self.rules: list[HandlerRule] = []
        self.effects: list[EffectRule] = []
        self.domain = domain
        self._declare_value = declare_value

    def __repr__(self) -> str:
        return f"<ProcessManager {self.name} version {self.version}>"

    # -- classes ----------------------------------------------------------------------------
    @overload
    def state(self, cls: C, /) -> C: ...
    @overload
    def state(
        self, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Callable[[C], C]: ...
    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def state(
        self, cls: Any = None, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Any:
        """Register what an instance remembers, as a frozen dataclass. Several: the phases of an instance.

        Raise the manager's `version` when its fields change. `formerly` is the name, or names, under which
        older programs stored the class.
        """
        return self._register(self.states, cls, name, caller_location(), formerly)

    @overload
    def timer(self, cls: C, /) -> C: ...
    @overload
    def timer(
        self, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Callable[[C], C]: ...
    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def timer(
        self, cls: Any = None, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Any:
        """Register the message that a timer gives to its instance when it fires, as a frozen dataclass.

        `formerly`: see `state`.
        """
        return self._register(self.timers, cls, name, caller_location(), formerly)

    def _register(
        self, classes: list[type], cls: Any, name: str | None, location: str, formerly: str | Sequence[str]
    ) -> Any:
        def register(cls: C) -> C:
            made: C = self._declare_value(cls, name, location, formerly)
            classes.append(made)
            return made

        return register if cls is None else register(cls)

    # -- handlers ---------------------------------------------------------------------------
    @overload
    def on(
        self, event: type | UnionType, /, *events: type | UnionType, key: Key | None = None
    ) -> Callable[[F], F]: ...
    @overload
    def on(self, *, key: Key) -> Callable[[F], F]: ...
    @overload
    def on(self, fn: F, /) -> F: ...
    def on(self, *events: Any, key: Key | None = None) -> Any:
        """Register a handler of events: `def fn(state: Fulfilment | None, event: OrderPlaced, do)`.

        It returns the instance's new state, or None to leave it as it is. `None` as state is for an event
        that begins an instance, `T` for one that has begun, `T | None` for both; an event that finds no
        handler for its instance's state is passed over. `key` (else the manager's): the field of the event
        that says which instance it is for, or a function from the event to that, None for none. `do` is a
        `Do`.
        """
        return self._rule("event", events, key)

    @overload
    def on_rejected(self, command: type | UnionType, /, *commands: type | UnionType) -> Callable[[F], F]: ...
    @overload
    def on_rejected(self, fn: F, /) -> F: ...
    def on_rejected(self, *commands: Any) -> Any:
        """Register a compensation: `def fn(state: Fulfilment, rejection: Rejection[RequestPayment], do)`."""
        return self._rule("rejection", commands, None)

    @overload
    def on_timer(self, timer: type | UnionType, /, *timers: type | UnionType) -> Callable[[F], F]: ...
    @overload
    def on_timer(self, fn: F, /) -> F: ...
    def on_timer(self, *timers: Any) -> Any:
        """Register a handler of timers: `def fn(state: Fulfilment, timer: PaymentOverdue, do)`."""
        return self._rule("timer", timers, None)

    def _rule(self, kind: str, given: tuple[Any, ...], key: Key | None) -> Any:
        if (
            len(given) == 1
            and key is None
            and callable(given[0])
            and not isinstance(given[0], type | UnionType)
        ):
            self.rules.append(HandlerRule(kind, given[0], (), None))
            return given[0]

        def register(fn: F) -> F:
            self.rules.append(HandlerRule(kind, fn, given, key))
            return fn

        return register

    def effect(self, name: str, *, attempts: int = 10) -> Callable[[F], F]:
        """Register what delivers the effect `name`: `def send(payload, key)`, called in a delivery thread.

        It may run more than once for one effect, always with the same `key`, by which the receiver can detect
        repetitions. What it returns, a command or a list of them, is executed once. If it raises, it is
        retried with backoff; the effect is parked after `attempts`.
        """
        location = caller_location()

        def register(fn: F) -> F:
            self.effects.append(EffectRule(name, fn, attempts, location))
            return fn

        return register
