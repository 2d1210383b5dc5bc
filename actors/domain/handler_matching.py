"""Matches deciders, evolvers and projections with the messages they are for, by decorator or by annotation.

Runs when a domain is compiled, on that thread.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.domain.annotations import resolve, union_members
from actors.domain.declarations import UNSET, Declared, Rule
from actors.domain.problems import Problems
from actors.domain.read_model import Handler, ReadModel
from actors.domain.signatures import signature_problem
from actors.domain.source_location import location_of, name_of
from actors.domain.specs import CommandSpec, Decider, EventSpec, StateKey, StateSpec
from storage.codec.annotations import annotations_of, signature_of


class _Unresolved(Exception):
    """An annotation that could not be evaluated."""


@dataclass(slots=True)
class RuleMatcher:
    """Fills the ``deciders`` and ``evolvers`` of the specs it is given; mistakes go to ``problems``.

    ``localns`` are the domain's classes by name, for annotations of classes made inside functions.
    """

    domain: str
    problems: Problems
    declared: Mapping[type, Declared]
    localns: Mapping[str, Any]
    states: dict[type, StateSpec]
    commands: dict[type, CommandSpec]
    events: dict[type, EventSpec]
    _ruled: set[type] = field(default_factory=set)

    def match(self, rules: Iterable[Rule], verb: str, kind: str, most: int) -> None:
        """Add each rule to the spec of its message; ``verb`` is the decorator, ``kind`` what its message must
        be.
        """
        for rule in rules:
            fn, location = rule.fn, location_of(rule.fn)
            what = f"@{self.domain}.{verb} {name_of(fn)}"
            text = signature_problem(fn, 2, most, generator=verb == "decide")
            if text:
                self.problems.add(location, f"{what} {text}")
                continue
            parameters = list(signature_of(fn).parameters.values())
            try:
                messages = self._messages(rule.messages, fn, parameters[1].name)
                keys = self._state_keys(rule, fn, parameters[0].name)
            except _Unresolved as error:
                advice = f"@{self.domain}.{verb}({kind.capitalize()}, state=State)"
                self.problems.add(location, f"{what}: {error}; name the classes in the decorator: {advice}")
                continue
            for message in messages:
                self._add_rule(rule, what, location, kind, message, keys, len(parameters) == 3)

    def _messages(self, given: tuple[Any, ...], fn: Callable[..., Any], parameter: str) -> list[Any]:
        hints = given or (self._hint(fn, parameter),)
        if hints == (UNSET,):
            raise _Unresolved(f"parameter {parameter!r} has no annotation")
        return [member for hint in hints for member in union_members(hint)]

    def _state_keys(self, rule: Rule, fn: Callable[..., Any], parameter: str) -> list[Any] | None:
        """The state classes (None for no state yet), or None for whatever the stream may hold."""
        hint = rule.state
        if hint is UNSET:
            try:
                hint = self._hint(fn, parameter)
            except _Unresolved:
                if not rule.messages:
                    raise
        if hint is UNSET or hint is Any:
            return None
        return [None if member in (None, types.NoneType) else member for member in union_members(hint)]

    def _hint(self, fn: Callable[..., Any], parameter: str) -> Any:
        plain: Any = inspect.unwrap(fn)
        try:
            annotations = annotations_of(plain)
            if parameter not in annotations:
                return UNSET
            return resolve(annotations[parameter], getattr(plain, "__globals__", {}), self.localns)
        except Exception as error:
            raise _Unresolved(f"the annotation of {parameter!r} can't be resolved ({error})") from error

    def _add_rule(
        self,
        rule: Rule,
        what: str,
        location: str,
        kind: str,
        message: Any,
        keys: list[Any] | None,
        third: bool,
    ) -> None:
        spec: CommandSpec | EventSpec | None
        spec = self.commands.get(message) if kind == "command" else self.events.get(message)
        if spec is None:
            self.problems.add(
                location,
                f"{what}: {name_of(message)} is not {'an' if kind == 'event' else 'a'} {kind} of domain "
                f"{self.domain!r}",
            )
            return
        if spec.state is None or (isinstance(spec, EventSpec) and spec.evolvers is None):
            self.problems.add(
                location, f"{what}: event {spec.name} says state=None; leave one of the two out"
            )
            return
        self._ruled.add(spec.cls)
        allowed = (*spec.state.classes, None)
        for key in allowed if keys is None else keys:
            if key not in allowed:
                why = (
                    f"belongs to streams {self.states[key].template.text!r}, {spec.name} to "
                    f"{spec.state.template.text!r}"
                    if key in self.states
                    else f"is not a state of domain {self.domain!r}"
                )
                self.problems.add(location, f"{what}: {name_of(key)} {why}")
                continue
            table: Any = spec.deciders if isinstance(spec, CommandSpec) else spec.evolvers
            entry = Decider(rule.fn, third) if isinstance(spec, CommandSpec) else rule.fn
            self._claim(table, key, entry, what, location, spec.name)

    def _claim(
        self, table: dict[StateKey, Any], key: StateKey, entry: Any, what: str, location: str, name: str
    ) -> None:
        if key not in table:
            table[key] = entry
            return
        first = table[key].fn if isinstance(table[key], Decider) else table[key]
        on = "for a stream without a state" if key is None else f"for state {key.__name__}"
        self.problems.add(
            location, f"{what}: {name_of(first)} at {location_of(first)} has {name} {on} already"
        )

    def require_all(self) -> None:
        """A command that no one decides, or an event that no one evolves, is a mistake."""
        for cls, command in self.commands.items():
            if not command.deciders and cls not in self._ruled:
                self.problems.add(
                    self.declared[cls].location,
                    f"command {command.name} has no decider; write @{self.domain}.decide "
                    f"def ...(state: {command.state.cls.__name__} | None, command: {cls.__name__})",
                )
        for cls, event in self.events.items():
            if event.state is not None and event.evolvers == {} and cls not in self._ruled:
                self.problems.add(
                    self.declared[cls].location,
                    f"event {event.name} is evolved by no one; write @{self.domain}.evolve "
                    f"def ...(state: {event.state.cls.__name__}, event: {cls.__name__}), or event(..., "
                    "state=None) "
                    "if it has no effect on the state",
                )

    def handlers(self, model: ReadModel) -> dict[type, Handler]:
        """The model's projections by the class of their event."""
        handlers: dict[type, Handler] = {}
        for projection in model.projections:
            fn, location = projection.fn, location_of(projection.fn)
            what = f"projection {name_of(fn)} of read model {model.name!r}"
            text = signature_problem(fn, 2, 3)
            if text:
                self.problems.add(location, f"{what} {text}")
                continue
            parameters = list(signature_of(fn).parameters.values())
            try:
                events = self._messages(projection.events, fn, parameters[0].name)
            except _Unresolved as error:
                self.problems.add(
                    location, f"{what}: {error}; name the events in the decorator: @{model.name}.on(Event)"
                )
                continue
            for event in events:
                if event not in self.events:
                    self.problems.add(
                        location, f"{what}: {name_of(event)} is not an event of domain {self.domain!r}"
                    )
                elif event in handlers:
                    first = handlers[event].fn
                    self.problems.add(
                        location,
                        f"{what}: {name_of(first)} at {location_of(first)} handles {name_of(event)} already",
                    )
                else:
                    handlers[event] = Handler(fn, len(parameters) == 3)
        return handlers
