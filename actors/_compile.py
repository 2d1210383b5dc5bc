"""From what a user declared to what the runtime needs: every name resolved, every mistake found and placed.

Runs once, on the thread that opens the system. The result is read by all threads and never changes.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actors._fieldcheck import FieldChecks, resolve, union_members
from actors._templates import Template, called_tags, misfit, template_tags
from actors.domain import UNSET, Around, Declared, Domain, Rule
from actors.errors import DomainError
from actors.middleware import Middleware
from actors.read_model import Handler, ReadModel, name_of, place_of
from storage.codec import Codec
from storage.errors import CodecError

StateKey = type | None


@dataclass(frozen=True, slots=True)
class Decider:
    """A decider function; with ``wants_read`` it takes ``read`` as its third argument."""

    fn: Callable[..., Any]
    wants_read: bool


@dataclass(slots=True)
class StateSpec:
    """A state class; ``classes`` are all that share its template, ``snapshot_every`` 0 means never."""

    cls: type
    name: str
    template: Template
    snapshot_every: int
    fingerprint: str
    stream_for: Callable[..., str]
    classes: tuple[type, ...]


@dataclass(slots=True)
class CommandSpec:
    """A command class; ``deciders`` by the class of the current state, None for a stream without one."""

    cls: type
    name: str
    state: StateSpec
    stream_of: Callable[[Any], str]
    check: Callable[[Any], None]
    validate: Callable[[Any], None] | None
    deciders: dict[StateKey, Decider]


@dataclass(slots=True)
class EventSpec:
    """An event class; ``evolvers`` is None when it has no effect on a state, ``stream_of`` when it has no stream
    of its own, ``state`` when no state owns it."""

    cls: type
    name: str
    state: StateSpec | None
    stream_of: Callable[[Any], str] | None
    check: Callable[[Any], None]
    tags_of: Callable[[Any], tuple[str, ...]] | None
    evolvers: dict[StateKey, Callable[[Any, Any], Any]] | None


@dataclass(slots=True)
class QuerySpec:
    """A query class and the read models that it may touch."""

    cls: type
    name: str
    models: tuple[ReadModel, ...]
    check: Callable[[Any], None]
    validate: Callable[[Any], None] | None


@dataclass(slots=True)
class CompiledDomain:
    """A domain without mistakes. ``codec`` knows every registered class under its stored name."""

    name: str
    codec: Codec
    states: dict[type, StateSpec]
    commands: dict[type, CommandSpec]
    events: dict[type, EventSpec]
    queries: dict[type, QuerySpec]
    models: dict[str, ReadModel]
    commands_by_name: dict[str, type]
    queries_by_name: dict[str, type]
    command_middleware: tuple[Middleware, ...]
    query_middleware: tuple[Middleware, ...]


def compile_domain(domain: Domain) -> CompiledDomain:
    """Raises ``DomainError`` with every mistake found; else the runtime's view of the domain."""
    compiler = _Compiler(domain)
    compiled = compiler.compile()
    problems = compiler.problems
    if problems:
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise DomainError(
            f"domain {domain.name!r} has {count}:\n" + "\n".join(f"  {p}" for p in problems), problems
        )
    return compiled


class _Unresolved(Exception):
    """An annotation that could not be evaluated."""


class _Compiler:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.problems: list[str] = []
        self.declared = {one.cls: one for one in domain.declared}
        counts = Counter(one.__name__ for one in self.declared)
        self.localns = {cls.__name__: cls for cls in self.declared if counts[cls.__name__] == 1}
        self.checks = FieldChecks(self.declared, self.localns)
        self.states: dict[type, StateSpec] = {}
        self.commands: dict[type, CommandSpec] = {}
        self.events: dict[type, EventSpec] = {}
        self.queries: dict[type, QuerySpec] = {}
        self._ruled: set[type] = set()

    def compile(self) -> CompiledDomain:
        codec = self._register_all()
        for cls, texts in self.checks.problems.items():
            for text in texts:
                self._problem(self.declared[cls].place, f"{self.declared[cls].kind} {text}")
        self._compile_states()
        for one in self.declared.values():
            if one.kind == "command":
                self._compile_command(one)
            elif one.kind == "event":
                self._compile_event(one)
        self._compare_templates()
        self._compile_rules(self.domain.deciders, "decide", "command", 3)
        self._compile_rules(self.domain.evolvers, "evolve", "event", 2)
        self._require_rules()
        models = self._compile_models()
        for one in self.declared.values():
            if one.kind == "query":
                self._compile_query(one, models)
        return CompiledDomain(
            name=self.domain.name,
            codec=codec,
            states=self.states,
            commands=self.commands,
            events=self.events,
            queries=self.queries,
            models=models,
            commands_by_name={spec.name: cls for cls, spec in self.commands.items()},
            queries_by_name={spec.name: cls for cls, spec in self.queries.items()},
            command_middleware=self._middleware(self.domain.around_commands),
            query_middleware=self._middleware(self.domain.around_queries),
        )

    def _problem(self, place: str, text: str) -> None:
        self.problems.append(f"{place}: {text}")

    # -- classes ----------------------------------------------------------------------------
    def _register_all(self) -> Codec:
        codec = Codec()
        by_name: dict[str, Declared] = {}
        seen: dict[type, Declared] = {}
        for one in self.domain.declared:
            first = by_name.setdefault(one.name, one)
            if first is not one:
                self._problem(
                    one.place,
                    f"{one.kind} {one.name}: the {first.kind} at {first.place} has this name too; give one name=",
                )
                continue
            first = seen.setdefault(one.cls, one)
            if first is not one:
                self._problem(
                    one.place, f"{one.kind} {one.name}: the class is registered at {first.place} already"
                )
                continue
            try:
                codec.register(one.cls, one.name)
            except CodecError as error:
                self._problem(one.place, f"{one.kind} {one.name}: {error}")
        return codec

    def _compile_states(self) -> None:
        shapes: dict[str, list[type]] = {}
        for one in self.declared.values():
            if one.kind == "state" and one.template is not None:
                shapes.setdefault(one.template, []).append(one.cls)
        for cls, one in self.declared.items():
            if one.kind != "state":
                continue
            for option, least in (("snapshot_every", 0), ("snapshot_version", 1)):
                value = getattr(one, option)
                if type(value) is not int or value < least:
                    self._problem(
                        one.place, f"state {one.name}: {option} must be an int from {least}, got {value!r}"
                    )
            template = self._template(one, one.template)
            self._fits(one, template)
            self.states[cls] = StateSpec(
                cls=cls,
                name=one.name,
                template=template,
                snapshot_every=one.snapshot_every,
                fingerprint=self.checks.fingerprint(cls, f"version {one.snapshot_version}"),
                stream_for=template.bind(one.name),
                classes=tuple(shapes.get(one.template or "", (cls,))),
            )

    def _template(self, one: Declared, text: Any, what: str = "stream") -> Template:
        try:
            if not isinstance(text, str) or not text:
                raise ValueError("it must be a str that is not empty")
            return Template(text)
        except ValueError as error:
            self._problem(one.place, f"{one.kind} {one.name}: {what} template {text!r}: {error}")
            return Template("broken")

    def _fits(self, one: Declared, template: Template, *, tag: bool = False) -> None:
        """Whether the class has the template's fields, of types that can stand in a name."""
        if not hasattr(one.cls, "__dataclass_fields__"):
            return
        checks = self.checks.fields(one.cls)
        what = "tag template" if tag else "stream template"
        for field in template.fields:
            if field not in one.cls.__dataclass_fields__:
                self._problem(
                    one.place,
                    f"{one.kind} {one.name}: {what} {template.text!r} names {field!r}, which it does not have",
                )
            elif field in checks and (why := misfit(checks[field], optional=tag)):
                self._problem(one.place, f"{one.kind} {one.name}: {what} {template.text!r}: {field} {why}")

    def _compile_command(self, one: Declared) -> None:
        state = self.states.get(typing.cast(type, one.owner))
        if state is None:
            return
        self._fits(one, state.template)
        self.commands[one.cls] = CommandSpec(
            cls=one.cls,
            name=one.name,
            state=state,
            stream_of=state.template.of(one.name),
            check=self.checks.checker(one.cls, one.name),
            validate=self._method(one, "validate", 1),
            deciders={},
        )

    def _compile_event(self, one: Declared) -> None:
        state = None if one.owner is None else self.states.get(one.owner)
        template = None if state is None else state.template
        if one.owner is None:
            if not one.stateless:
                self._problem(
                    one.place,
                    f"event {one.name} belongs to no state; write event(State), or event(state=None) for a fact "
                    "from outside",
                )
            if one.template is not None:
                template = self._template(one, one.template)
        elif one.template is not None:
            self._problem(
                one.place, f"event {one.name}: its stream is named by {name_of(one.owner)}; leave stream= out"
            )
        if template is not None:
            self._fits(one, template)
        self.events[one.cls] = EventSpec(
            cls=one.cls,
            name=one.name,
            state=state,
            stream_of=None if template is None else template.of(one.name),
            check=self.checks.checker(one.cls, one.name),
            tags_of=self._tags(one),
            evolvers=None if one.stateless else {},
        )

    def _tags(self, one: Declared) -> Callable[[Any], tuple[str, ...]] | None:
        given = one.tags
        if given is None:
            return None
        if callable(given):
            return called_tags(one.name, given)
        templates = []
        for text in [given] if isinstance(given, str) else given:
            template = self._template(one, text, "tag")
            self._fits(one, template, tag=True)
            templates.append(template)
        return template_tags(one.name, templates)

    def _compare_templates(self) -> None:
        """Two templates that may give one name would mix the events of two aggregates in one stream."""
        seen: dict[str, tuple[Template, Declared]] = {}
        for one in self.declared.values():
            if not one.template or one.template in seen:
                continue
            try:
                template = Template(one.template)
            except ValueError:
                continue
            for other, first in seen.values():
                if template.may_name_the_same_as(other):
                    self._problem(
                        one.place,
                        f"{one.kind} {one.name}: streams of {template.text!r} may be named like those of "
                        f"{other.text!r} ({first.kind} {first.name} at {first.place}); begin them differently",
                    )
            seen[one.template] = (template, one)

    def _method(self, one: Declared, name: str, count: int) -> Callable[..., Any] | None:
        """The class's own method with this many arguments, self included."""
        fn = inspect.getattr_static(one.cls, name, None)
        if fn is None:
            return None
        if not inspect.isfunction(fn):
            self._problem(
                one.place, f"{one.kind} {one.name}: {name} must be a plain method, not a field or other thing"
            )
            return None
        text = _signature_problem(fn, count, count)
        if text:
            self._problem(place_of(fn), f"{one.kind} {one.name}: {name} {text}")
        return fn

    # -- deciders and evolvers --------------------------------------------------------------
    def _compile_rules(self, rules: Iterable[Rule], verb: str, kind: str, most: int) -> None:
        for rule in rules:
            fn, place = rule.fn, place_of(rule.fn)
            what = f"@{self.domain.name}.{verb} {name_of(fn)}"
            text = _signature_problem(fn, 2, most, generator=verb == "decide")
            if text:
                self._problem(place, f"{what} {text}")
                continue
            parameters = list(inspect.signature(fn).parameters.values())
            try:
                messages = self._messages(rule.messages, fn, parameters[1].name)
                keys = self._state_keys(rule, fn, parameters[0].name)
            except _Unresolved as error:
                advice = f"@{self.domain.name}.{verb}({kind.capitalize()}, state=State)"
                self._problem(place, f"{what}: {error}; name the classes in the decorator: {advice}")
                continue
            for message in messages:
                self._add_rule(rule, what, place, kind, message, keys, len(parameters) == 3)

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
            annotations = plain.__annotations__
            if parameter not in annotations:
                return UNSET
            return resolve(annotations[parameter], getattr(plain, "__globals__", {}), self.localns)
        except AttributeError:
            return UNSET
        except Exception as error:
            raise _Unresolved(f"the annotation of {parameter!r} can't be resolved ({error})") from error

    def _add_rule(
        self, rule: Rule, what: str, place: str, kind: str, message: Any, keys: list[Any] | None, third: bool
    ) -> None:
        spec: CommandSpec | EventSpec | None
        spec = self.commands.get(message) if kind == "command" else self.events.get(message)
        if spec is None:
            self._problem(
                place,
                f"{what}: {name_of(message)} is not {'an' if kind == 'event' else 'a'} {kind} of domain {self.domain.name!r}",
            )
            return
        if spec.state is None or (isinstance(spec, EventSpec) and spec.evolvers is None):
            self._problem(place, f"{what}: event {spec.name} says state=None; leave one of the two out")
            return
        self._ruled.add(spec.cls)
        allowed = (*spec.state.classes, None)
        for key in allowed if keys is None else keys:
            if key not in allowed:
                why = (
                    f"belongs to streams {self.states[key].template.text!r}, {spec.name} to {spec.state.template.text!r}"
                    if key in self.states
                    else f"is not a state of domain {self.domain.name!r}"
                )
                self._problem(place, f"{what}: {name_of(key)} {why}")
                continue
            table: Any = spec.deciders if isinstance(spec, CommandSpec) else spec.evolvers
            entry = Decider(rule.fn, third) if isinstance(spec, CommandSpec) else rule.fn
            self._claim(table, key, entry, what, place, spec.name)

    def _claim(
        self, table: dict[StateKey, Any], key: StateKey, entry: Any, what: str, place: str, name: str
    ) -> None:
        if key not in table:
            table[key] = entry
            return
        first = table[key].fn if isinstance(table[key], Decider) else table[key]
        on = "for a stream without a state" if key is None else f"for state {key.__name__}"
        self._problem(place, f"{what}: {name_of(first)} at {place_of(first)} has {name} {on} already")

    def _require_rules(self) -> None:
        for cls, command in self.commands.items():
            if not command.deciders and cls not in self._ruled:
                self._problem(
                    self.declared[cls].place,
                    f"command {command.name} has no decider; write @{self.domain.name}.decide "
                    f"def ...(state: {command.state.cls.__name__} | None, command: {cls.__name__})",
                )
        for cls, event in self.events.items():
            if event.state is not None and event.evolvers == {} and cls not in self._ruled:
                self._problem(
                    self.declared[cls].place,
                    f"event {event.name} is evolved by no one; write @{self.domain.name}.evolve "
                    f"def ...(state: {event.state.cls.__name__}, event: {cls.__name__}), or event(..., state=None) "
                    "if it has no effect on the state",
                )

    # -- read side --------------------------------------------------------------------------
    def _compile_models(self) -> dict[str, ReadModel]:
        models: dict[str, ReadModel] = {}
        for model in self.domain.models:
            first = models.setdefault(model.name, model)
            if first is not model:
                self._problem(
                    model.place, f"read model {model.name!r}: there is one at {first.place} already"
                )
                continue
            self.problems.extend(model.mistakes)
            model.handlers = self._handlers(model)
        return models

    def _handlers(self, model: ReadModel) -> dict[type, Handler]:
        handlers: dict[type, Handler] = {}
        for projection in model.projections:
            fn, place = projection.fn, place_of(projection.fn)
            what = f"projection {name_of(fn)} of read model {model.name!r}"
            text = _signature_problem(fn, 2, 3)
            if text:
                self._problem(place, f"{what} {text}")
                continue
            parameters = list(inspect.signature(fn).parameters.values())
            try:
                events = self._messages(projection.events, fn, parameters[0].name)
            except _Unresolved as error:
                self._problem(
                    place, f"{what}: {error}; name the events in the decorator: @{model.name}.on(Event)"
                )
                continue
            for event in events:
                if event not in self.events:
                    self._problem(
                        place, f"{what}: {name_of(event)} is not an event of domain {self.domain.name!r}"
                    )
                elif event in handlers:
                    first = handlers[event].fn
                    self._problem(
                        place,
                        f"{what}: {name_of(first)} at {place_of(first)} handles {name_of(event)} already",
                    )
                else:
                    handlers[event] = Handler(fn, len(parameters) == 3)
        return handlers

    def _compile_query(self, one: Declared, models: Mapping[str, ReadModel]) -> None:
        reads = tuple(dict.fromkeys(one.reads))
        if not reads:
            self._problem(
                one.place, f"query {one.name} reads nothing; name its read models: query(reads=[...])"
            )
        for model in reads:
            if not isinstance(model, ReadModel) or models.get(model.name) is not model:
                self._problem(
                    one.place, f"query {one.name}: {model!r} is not a read model of {self.domain.name!r}"
                )
        if inspect.getattr_static(one.cls, "run", None) is None:
            self._problem(one.place, f"query {one.name} has no run; write def run(self, view)")
        else:
            self._method(one, "run", 2)
        self.queries[one.cls] = QuerySpec(
            cls=one.cls,
            name=one.name,
            models=reads,
            check=self.checks.checker(one.cls, one.name),
            validate=self._method(one, "validate", 1),
        )

    def _middleware(self, around: list[Around]) -> tuple[Middleware, ...]:
        for one in around:
            what = f"middleware {name_of(one.fn)}"
            text = _signature_problem(one.fn, 1, 1, generator=True)
            if text:
                self._problem(place_of(one.fn), f"{what} {text}")
            elif not inspect.isgeneratorfunction(inspect.unwrap(one.fn)):
                self._problem(
                    place_of(one.fn), f"{what} must be a generator function: yield once where the call runs"
                )
        return tuple(one.fn for one in sorted(around, key=lambda one: one.order))


def _signature_problem(fn: Any, least: int, most: int, *, generator: bool = False) -> str | None:
    """Why the runtime can't call this function with ``least`` to ``most`` positional arguments, or None."""
    plain = inspect.unwrap(fn) if callable(fn) else fn
    if isinstance(fn, type) or not callable(fn):
        return "must be a function"
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        return "must not be async: no event loop runs there"
    if inspect.isgeneratorfunction(plain) and not generator:
        return "must not yield: its body would never run"
    parameters = inspect.signature(fn).parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(positional) != len(parameters) or not least <= len(positional) <= most:
        count = str(least) if least == most else f"{least} or {most}"
        return f"must take {count} positional parameter{'' if count == '1' else 's'}, has {inspect.signature(fn)}"
    return None
