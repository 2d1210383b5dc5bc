"""Checks the process managers of a domain: matches handlers with their messages, by annotation or by name.

Runs when a domain is compiled, on that thread; every mistake goes to `problems` with its location.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.domain.annotations import resolve, union_members
from actors.domain.problems import Problems
from actors.domain.process_manager import HandlerRule, Key, ProcessManager
from actors.domain.process_manager_spec import Effect, EventRule, Handlers, ProcessManagerSpec, Rejection
from actors.domain.signatures import signature_problem
from actors.domain.source_location import location_of, name_of
from storage.codec.annotations import annotations_of, signature_of
from storage.value_text import short_repr

__all__ = ["compile_process_managers"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,59}")
UNKNOWN: Any = object()
WORDS = {"event": "event", "rejection": "command", "timer": "timer"}
DECORATORS = {"event": "on", "rejection": "on_rejected", "timer": "on_timer"}


def compile_process_managers(
    managers: Iterable[ProcessManager],
    events: Iterable[type],
    commands: Iterable[type],
    localns: Mapping[str, Any],
    problems: Problems,
) -> dict[str, ProcessManagerSpec]:
    """The managers by name; `localns` are the domain's classes by name."""
    found: dict[str, ProcessManagerSpec] = {}
    locations: dict[str, str] = {}
    for manager in managers:
        what = f"process manager {manager.name!r}"
        if not isinstance(manager.name, str) or not NAME.fullmatch(manager.name):
            problems.add(
                manager.location, f"{what}: its name must be up to 60 letters, digits, '_', '.', '-'"
            )
        elif manager.name in found:
            problems.add(manager.location, f"{what}: there is one at {locations[manager.name]} already")
        compiler = _Compiler(manager, what, frozenset(events), frozenset(commands), localns, problems)
        found[manager.name] = compiler.compile()
        locations[manager.name] = manager.location
    taken = dict(locations)
    for manager in managers:
        for former in manager.formerly:
            what = f"process manager {manager.name!r}: formerly={short_repr(former)}"
            if not isinstance(former, str) or not NAME.fullmatch(former):
                problems.add(manager.location, f"{what} is not the name of a process manager")
            elif taken.setdefault(former, manager.location) != manager.location or former == manager.name:
                problems.add(manager.location, f"{what} is taken, at {taken[former]}; give it to one")
    for spec in found.values():
        spec.managers = frozenset(found)
    return found


class _Compiler:
    def __init__(
        self,
        manager: ProcessManager,
        what: str,
        events: frozenset[type],
        commands: frozenset[type],
        localns: Mapping[str, Any],
        problems: Problems,
    ) -> None:
        self.manager = manager
        self.what = what
        self.events = events
        self.commands = commands
        self.localns = localns
        self.problems = problems
        self.rules: dict[type, EventRule] = {}
        self.keys: dict[type, Key | None] = {}
        self.rejections: dict[type, Handlers] = {}
        self.timers: dict[type, Handlers] = {cls: {} for cls in manager.timers}

    def compile(self) -> ProcessManagerSpec:
        manager = self.manager
        if manager.start not in ("now", "beginning"):
            self._add(
                'say where it begins: start="beginning" handles every event that there is, start="now" '
                "those from "
                f"its first opening on; got {short_repr(manager.start)}"
            )
        if type(manager.version) is not int or manager.version < 1:
            self._add(f"version must be an int from 1, got {short_repr(manager.version)}")
        if not manager.states:
            self._add(f"it has no state; write @{manager.name}.state above a class of what it remembers")
        for rule in manager.rules:
            self._match(rule)
        for cls, handlers in self.timers.items():
            if not handlers:
                self._add(
                    f"timer {cls.__name__} has no handler; write @{manager.name}.on_timer "
                    f"def ...(state, timer: {cls.__name__}, do)"
                )
        if not self.rules:
            self._add(f"it handles no event; write @{manager.name}.on def ...(state, event, do)")
        return ProcessManagerSpec(
            name=manager.name,
            version=manager.version,
            start="now" if manager.start == "now" else "beginning",
            states=frozenset(manager.states),
            events=self.rules,
            rejections=self.rejections,
            timers=self.timers,
            effects=self._effects(),
            commands=self.commands,
            formerly=manager.formerly,
        )

    def _add(self, text: str) -> None:
        self.problems.add(self.manager.location, f"{self.what}: {text}")

    def _match(self, rule: HandlerRule) -> None:
        fn, location = rule.fn, location_of(rule.fn)
        what = f"@{self.manager.name}.{DECORATORS[rule.kind]} {name_of(fn)}"
        text = signature_problem(fn, 3, 3)
        if text:
            self.problems.add(location, f"{what} {text}: state, {WORDS[rule.kind]}, do")
            return
        parameters = list(signature_of(fn).parameters)
        try:
            messages = self._messages(rule, parameters[1])
            keys = self._states(fn, parameters[0])
        except NameError as error:
            self.problems.add(location, f"{what}: {error}; name the classes in the decorator")
            return
        known = {"event": self.events, "rejection": self.commands, "timer": frozenset(self.timers)}[rule.kind]
        for key in keys:
            if key is not None and key not in self.manager.states:
                self.problems.add(
                    location,
                    f"{what}: {name_of(key)} is not a state of it; write @{self.manager.name}.state there",
                )
                return
        for message in messages:
            if message not in known:
                word = WORDS[rule.kind]
                article = "an" if word == "event" else "a"
                self.problems.add(
                    location, f"{what}: {name_of(message)} is not {article} {word} of this domain or manager"
                )
                continue
            self._claim(self._handlers(rule, message, what, location), keys, fn, what, location, message)

    def _handlers(self, rule: HandlerRule, message: type, what: str, location: str) -> Handlers:
        if rule.kind == "timer":
            return self.timers[message]
        if rule.kind == "rejection":
            return self.rejections.setdefault(message, {})
        key = self.manager.key if rule.key is None else rule.key
        key_of = self._key_of(message, key, what, location)
        known = self.rules.setdefault(message, EventRule(key_of, {}, key if isinstance(key, str) else None))
        if self.keys.setdefault(message, key) != key:
            self.problems.add(
                location,
                f"{what}: another handler tells the instances of {message.__name__} by "
                f"{self.keys[message]!r}; "
                "an event is for one instance",
            )
        return known.handlers

    def _claim(
        self, handlers: Handlers, keys: list[type | None], fn: Any, what: str, location: str, message: type
    ) -> None:
        for key in keys:
            if key in handlers:
                first = handlers[key]
                on = "where there is no instance" if key is None else f"in state {key.__name__}"
                self.problems.add(
                    location,
                    f"{what}: {name_of(first)} at {location_of(first)} has {name_of(message)} {on} already",
                )
            else:
                handlers[key] = fn

    def _key_of(self, event: type, key: Key | None, what: str, location: str) -> Callable[[Any], str | None]:
        if callable(key):
            return key
        names = [field.name for field in dataclasses.fields(event)]
        if key is None:
            self.problems.add(
                location,
                f"{what}: say which instance an event is for, by a field or a function: on(key={names[:1]})",
            )
        elif key not in names:
            self.problems.add(
                location,
                f"{what}: {event.__name__} has no field {short_repr(key)} to tell the instance by; "
                f"it has {names}",
            )
        return _field_reader(str(key))

    # -- annotations ------------------------------------------------------------------------
    def _messages(self, rule: HandlerRule, parameter: str) -> list[Any]:
        hints = rule.messages or (self._hint(rule.fn, parameter),)
        found: list[Any] = []
        for hint in hints:
            for member in union_members(hint):
                if member is UNKNOWN or (member is Rejection and not rule.messages):
                    raise NameError(
                        f"parameter {parameter!r} does not say which {WORDS[rule.kind]} it is for"
                    )
                if typing.get_origin(member) is Rejection:
                    found += union_members(typing.get_args(member)[0])
                else:
                    found.append(member)
        return found

    def _states(self, fn: Callable[..., Any], parameter: str) -> list[type | None]:
        hint = self._hint(fn, parameter)
        if hint is UNKNOWN or hint is Any:
            return [*self.manager.states, None]
        return [None if member in (None, types.NoneType) else member for member in union_members(hint)]

    def _hint(self, fn: Callable[..., Any], parameter: str) -> Any:
        plain: Any = inspect.unwrap(fn)
        annotations = annotations_of(plain)
        if parameter not in annotations:
            return UNKNOWN
        try:
            return resolve(annotations[parameter], getattr(plain, "__globals__", {}), self.localns)
        except Exception as error:
            raise NameError(f"the annotation of {parameter!r} can't be resolved ({error})") from error

    def _effects(self) -> dict[str, Effect]:
        found: dict[str, Effect] = {}
        for one in self.manager.effects:
            what = f"@{self.manager.name}.effect({one.name!r}) {name_of(one.fn)}"
            text = signature_problem(one.fn, 2, 2)
            if text:
                self.problems.add(one.location, f"{what} {text}: payload, key")
            if not isinstance(one.name, str) or not one.name:
                self.problems.add(one.location, f"{what}: its name must be a str that is not empty")
            elif one.name in found:
                self.problems.add(
                    one.location, f"{what}: {name_of(found[one.name].send)} delivers that already"
                )
            if type(one.attempts) is not int or one.attempts < 1:
                self.problems.add(
                    one.location, f"{what}: attempts must be an int from 1, got {short_repr(one.attempts)}"
                )
            found[one.name] = Effect(one.fn, one.attempts)
        return found


def _field_reader(name: str) -> Callable[[Any], str | None]:
    def key_of(event: Any) -> str | None:
        value = getattr(event, name)
        if value is None or isinstance(value, str):
            return value
        try:
            return str(value)
        except (
            ValueError
        ):  # An int of more digits than Python writes: too long for a key, but one all the same.
            return hex(value)

    return key_of
