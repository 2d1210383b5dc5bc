"""From what a user declared to what the runtime needs: every name resolved, every mistake found and placed.

Runs once, on the thread that opens the system. The result is read by all threads and never changes.
"""

from __future__ import annotations

import inspect
import typing
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, time
from typing import Any

from actors.domain.access import Guards
from actors.domain.declarations import Declarations, Declared, MiddlewareRule
from actors.domain.field_checks import FieldChecks
from actors.domain.handler_matching import RuleMatcher
from actors.domain.instance_key_checks import check_keys
from actors.domain.middleware import Middleware
from actors.domain.personal import SubjectForgotten, declare_personal_fields
from actors.domain.problems import Problems
from actors.domain.process_manager_compiler import compile_process_managers
from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.read_model import ReadModel
from actors.domain.read_model_compiler import compile_read_models
from actors.domain.signatures import signature_problem
from actors.domain.source_location import location_of, name_of
from actors.domain.specs import CommandSpec, CompiledDomain, EventSpec, QuerySpec, StateSpec
from actors.domain.stream_names import StreamNames
from actors.domain.upcasters import Upcasters
from actors.timeouts import MOST_SECONDS
from storage.codec.canonical import CanonicalCodec
from storage.codec.codec import Codec
from storage.codec.fidelity import is_built_plainly
from storage.errors import CodecError
from storage.value_text import short_repr

FORGETTING = Declared(
    "event",
    SubjectForgotten,
    "SubjectForgotten",
    "onewriter itself",
    template="forgotten-{subject}",
    stateless=True,
)
"""The library's own event, which a domain with personal fields has."""


def compile_domain(declarations: Declarations) -> CompiledDomain:
    """Raises ``DomainError`` with every mistake found; else the runtime's view of the domain."""
    compiler = _Compiler(declarations)
    compiled = compiler.compile()
    compiler.problems.raise_any(declarations.name)
    return compiled


class _Compiler:
    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self.problems = Problems()
        self._look_at(declarations)
        if self.checks.personal and SubjectForgotten not in self.declared:
            declarations.classes.append(FORGETTING)
            self._look_at(declarations)
        self.naming = StreamNames(self.checks, self.problems)
        self.upcasters = Upcasters(self.declared.values(), declarations.upcasters, self.problems)
        self.states: dict[type, StateSpec] = {}
        self.commands: dict[type, CommandSpec] = {}
        self.events: dict[type, EventSpec] = {}
        self.queries: dict[type, QuerySpec] = {}
        self.rules = RuleMatcher(
            domain=declarations.name,
            problems=self.problems,
            declared=self.declared,
            localns=self.localns,
            states=self.states,
            commands=self.commands,
            events=self.events,
        )

    def _look_at(self, declarations: Declarations) -> None:
        self.declared = {one.cls: one for one in declarations.classes}
        counts = Counter(one.__name__ for one in self.declared)
        self.localns = {cls.__name__: cls for cls in self.declared if counts[cls.__name__] == 1}
        self.checks = FieldChecks(self.declared, self.localns)

    def compile(self) -> CompiledDomain:
        codec = self.codec = self._register_all()
        self.upcasters.tell(codec, self.checks)
        self._declare(codec)
        declare_personal_fields(codec, self.checks.personal, self.checks.fields, self._personal_problem)
        for cls, texts in self.checks.problems.items():
            for text in texts:
                self.problems.add(self.declared[cls].location, f"{self.declared[cls].kind} {text}")
        self._compile_states()
        for one in self.declared.values():
            if one.kind == "command":
                self._compile_command(one)
            elif one.kind == "event":
                self._compile_event(one)
        self.naming.compare(self.declared.values())
        self.rules.match(self.declarations.deciders, "decide", "command", 3)
        self.rules.match(self.declarations.evolvers, "evolve", "event", 2)
        self.rules.require_all()
        models, old_models = compile_read_models(
            self.declarations, self.rules, self.problems, self._upcast_code
        )
        process_managers = compile_process_managers(
            self.declarations.process_managers, self.events, self.commands, self.localns, self.problems
        )
        check_keys(process_managers.values(), self.events)
        self._refuse_personal_keys(process_managers.values())
        compiled = CompiledDomain(
            name=self.declarations.name,
            codec=codec,
            canonical=CanonicalCodec(codec, self.checks.plain),
            states=self.states,
            commands=self.commands,
            events=self.events,
            queries=self.queries,
            models=models,
            old_models=old_models,
            command_middleware=self._middleware(self.declarations.command_middleware),
            query_middleware=self._middleware(self.declarations.query_middleware),
            guards=self._guards(),
            process_managers=process_managers,
            upcast_code=self._upcast_code,
            versions={name: len(steps) + 1 for name, steps in self.upcasters.steps.items()},
            hints=self.checks.hints,
        )
        for one in self.declared.values():
            if one.kind == "query":
                self._compile_query(one, compiled)
        return compiled

    def _refuse_personal_keys(self, managers: Iterable[ProcessManagerSpec]) -> None:
        for manager in managers:
            for event, rule in manager.events.items():
                if rule.field is not None and rule.field in self.checks.personal.get(event, ()):
                    self.problems.add(
                        self.declared[event].location,
                        f"event {self.declared[event].name}: its personal field {rule.field!r} identifies "
                        f"the instance of process manager {manager.name!r}, and keys of instances are stored "
                        "as they are; use a field that identifies the person without saying anything of them",
                    )

    def _personal_problem(self, cls: type, text: str) -> None:
        self.problems.add(self.declared[cls].location, f"{self.declared[cls].kind} {text}")

    # -- classes ----------------------------------------------------------------------------
    def _register_all(self) -> Codec:
        codec = Codec()
        by_name: dict[str, Declared] = {}
        seen: dict[type, Declared] = {}
        for one in self.declarations.classes:
            first = by_name.setdefault(one.name, one)
            if first is not one:
                self.problems.add(
                    one.location,
                    f"{one.kind} {one.name}: the {first.kind} at {first.location} has this name too; give "
                    "one name=",
                )
                continue
            first = seen.setdefault(one.cls, one)
            if first is not one:
                self.problems.add(
                    one.location,
                    f"{one.kind} {one.name}: the class is registered at {first.location} already",
                )
                continue
            try:
                codec.register(one.cls, one.name)
            except CodecError as error:
                self.problems.add(one.location, f"{one.kind} {one.name}: {error}")
        return codec

    def _declare(self, codec: Codec) -> None:
        """Tell the codec which fields it must look at, so that messages without such fields cost nothing."""
        own = {cls for cls in self.checks.classes if not is_built_plainly(cls)}
        faithful = self.checks.doubtful({datetime, time, *own})
        shareable = self.checks.doubtful({datetime, time, list, dict, *own})
        deep = self.checks.doubtful({list, dict})
        for cls in codec.registered.values():
            if cls in shareable and cls not in own:
                times = [
                    name for name, check in self.checks.fields(cls).items() if check.exact in (datetime, time)
                ]
                codec.shareable.register(cls, shareable[cls], times)
                codec.faithful.register(cls, faithful[cls], times)
            if not deep.get(cls, True):
                codec.declare_flat(cls)

    def _compile_states(self) -> None:
        shapes: dict[str, list[type]] = {}
        for one in self.declared.values():
            if one.kind == "state" and isinstance(one.template, str):
                shapes.setdefault(one.template, []).append(one.cls)
        for cls, one in self.declared.items():
            if one.kind != "state":
                continue
            for option, least in (("snapshot_every", 0), ("snapshot_version", 1)):
                value = getattr(one, option)
                if type(value) is not int or value < least:
                    self.problems.add(
                        one.location,
                        f"state {one.name}: {option} must be an int from {least}, got {short_repr(value)}",
                    )
            template = self.naming.template(one, one.template)
            self.naming.require_fields(one, template)
            self.states[cls] = StateSpec(
                cls=cls,
                name=one.name,
                template=template,
                snapshot_every=one.snapshot_every,
                fingerprint=self.checks.fingerprint(cls, self._version(one, shapes)),
                stream_for=template.bind(one.name),
                classes=tuple(shapes.get(template.text, (cls,))),
                faithful=self._faithful(shapes.get(template.text, [cls])),
            )

    def _version(self, one: Declared, shapes: dict[str, list[type]]) -> str:
        """What a state's snapshots depend on besides its fields: upcasters, of what it is made of, too."""
        owners = shapes.get(str(one.template), [one.cls])
        folded = [
            event.cls
            for event in self.declared.values()
            if event.kind == "event" and (event.owner is None or event.owner in owners)
        ]
        upcasters = self._upcast_code((*owners, *folded))
        return f"version {one.snapshot_version}" + (f" upcasters {upcasters}" if upcasters else "")

    def _upcast_code(self, classes: Iterable[type]) -> str:
        """What changes with the upcasters of these classes and of what they hold; empty for none."""
        held = {inner for cls in classes for inner in self.checks.held(cls)}
        return self.upcasters.fingerprint(self.declared[cls].name for cls in held)

    def _faithful(self, classes: list[type]) -> Callable[[Any], bool] | None:
        faithful = self.codec.faithful
        return None if faithful.safe_types.issuperset(classes) else faithful

    def _compile_command(self, one: Declared) -> None:
        state = self.states.get(typing.cast(type, one.owner))
        if state is None:
            return
        self.naming.require_fields(one, state.template)
        self.commands[one.cls] = CommandSpec(
            cls=one.cls,
            name=one.name,
            state=state,
            stream_of=state.template.of(one.name),
            check=self.checks.checker(one.cls, one.name),
            validate=self._method(one, "validate", 1),
            deciders={},
            shareable=self.codec.shareable.check_of(one.cls),
        )

    def _compile_event(self, one: Declared) -> None:
        state = None if one.owner is None else self.states.get(one.owner)
        template = None if state is None else state.template
        if one.owner is None:
            if not one.stateless:
                self.problems.add(
                    one.location,
                    f"event {one.name} belongs to no state; write event(State), or event(state=None) for a "
                    "fact "
                    "from outside",
                )
            if one.template is not None:
                template = self.naming.template(one, one.template)
        elif one.template is not None:
            self.problems.add(
                one.location,
                f"event {one.name}: its stream is named by {name_of(one.owner)}; leave stream= out",
            )
        if template is not None:
            self.naming.require_fields(one, template)
        self.events[one.cls] = EventSpec(
            cls=one.cls,
            name=one.name,
            state=state,
            stream_of=None if template is None else template.of(one.name),
            check=self.checks.checker(one.cls, one.name),
            tags_of=self.naming.tags(one),
            evolvers=None if one.stateless else {},
            shareable=self.codec.shareable.check_of(one.cls),
        )

    def _method(self, one: Declared, name: str, count: int) -> Callable[..., Any] | None:
        """The class's own method with this many arguments, self included."""
        fn = inspect.getattr_static(one.cls, name, None)
        if fn is None:
            return None
        if not inspect.isfunction(fn):
            self.problems.add(
                one.location,
                f"{one.kind} {one.name}: {name} must be a plain method, not a field or other thing",
            )
            return None
        text = signature_problem(fn, count, count)
        if text:
            self.problems.add(location_of(fn), f"{one.kind} {one.name}: {name} {text}")
        return fn

    # -- read side --------------------------------------------------------------------------
    def _compile_query(self, one: Declared, compiled: CompiledDomain) -> None:
        reads: dict[ReadModel, None] = {}
        if not one.reads:
            self.problems.add(
                one.location, f"query {one.name} reads nothing; name its read models: query(reads=[...])"
            )
        for model in one.reads:
            newest = compiled.newest(model)
            if newest is not None:
                reads[newest] = None
            else:
                self.problems.add(
                    one.location,
                    f"query {one.name}: {short_repr(model)} is not a read model of "
                    f"{self.declarations.name!r}; name one that {self.declarations.name}.read_model(...) "
                    "returned",
                )
        if one.timeout is not None and (
            type(one.timeout) not in (int, float) or not 0 < one.timeout <= MOST_SECONDS
        ):
            self.problems.add(
                one.location,
                f"query {one.name}: timeout must be a number of seconds above 0, at most "
                f"{MOST_SECONDS:,.0f}, "
                f"got {short_repr(one.timeout)}",
            )
        if type(one.cache) is not bool:
            self.problems.add(
                one.location, f"query {one.name}: cache must be True or False, got {short_repr(one.cache)}"
            )
        if inspect.getattr_static(one.cls, "run", None) is None:
            self.problems.add(one.location, f"query {one.name} has no run; write def run(self, view)")
        else:
            self._method(one, "run", 2)
        self.queries[one.cls] = QuerySpec(
            cls=one.cls,
            name=one.name,
            models=tuple(reads),
            check=self.checks.checker(one.cls, one.name),
            validate=self._method(one, "validate", 1),
            shareable=self.codec.shareable.check_of(one.cls),
            timeout=one.timeout,
            cache=one.cache,
        )

    def _guards(self) -> Guards:
        for fn in self.declarations.guards:
            text = signature_problem(fn, 1, 1)
            if text:
                self.problems.add(location_of(fn), f"guard {name_of(fn)} {text}")
        return Guards(tuple(self.declarations.guards))

    def _middleware(self, around: list[MiddlewareRule]) -> tuple[Middleware, ...]:
        for one in around:
            what = f"middleware {name_of(one.fn)}"
            text = signature_problem(one.fn, 1, 1, generator=True)
            if text:
                self.problems.add(location_of(one.fn), f"{what} {text}")
            elif not inspect.isgeneratorfunction(inspect.unwrap(one.fn)):
                self.problems.add(
                    location_of(one.fn),
                    f"{what} must be a generator function: yield once where the call runs",
                )
        return tuple(one.fn for one in sorted(around, key=lambda one: one.order))
