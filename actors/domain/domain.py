"""The domain as a user declares it: states, events, commands, queries, rules and read models.

Declaring only writes down what was said and where; ``compile`` checks all of it at once, which
``System.open`` does. Nothing here knows a thread or a file. Declare on one thread, normally at import.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from types import UnionType
from typing import Any, TypeVar, dataclass_transform, overload

from actors.domain.access import Guard
from actors.domain.compiler import compile_domain
from actors.domain.declarations import (
    UNSET,
    Declarations,
    Declared,
    MiddlewareRule,
    Rule,
    Tags,
    Unset,
    UpcastRule,
    as_frozen_dataclass,
)
from actors.domain.decorator_misuse import require_keywords
from actors.domain.middleware import Middleware
from actors.domain.process_manager import Key, ProcessManager
from actors.domain.process_manager_spec import Start
from actors.domain.read_model import ReadModel
from actors.domain.source_location import caller_location, name_of
from actors.domain.specs import CompiledDomain
from actors.domain.upcasters import former_names
from actors.errors import DomainError
from storage.value_text import short_repr

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=type[Enum])
F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Middleware)
G = TypeVar("G", bound=Guard)


class Domain:
    """Everything that one system runs. See the README for a whole program."""

    def __init__(self, name: str) -> None:
        """``name`` is what error messages call it. Raises ``DomainError`` for what is no name."""
        if not isinstance(name, str) or not name:
            raise DomainError(
                f"{caller_location()}: a domain's name must be a str that is not empty, as in "
                'Domain("shop"), '
                f"got {short_repr(name)}"
            )
        self.name = name
        self.declarations = Declarations(name)
        """All that was declared. Read it freely; only this class adds to it."""

    def __repr__(self) -> str:
        return f"<Domain {self.name}>"

    def compile(self) -> CompiledDomain:
        """Check the whole definition. Raises ``DomainError`` that lists every mistake with its place."""
        return compile_domain(self.declarations)

    # -- messages ---------------------------------------------------------------------------
    @require_keywords('stream="product-{sku}"')
    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def state(
        self,
        *,
        stream: str,
        name: str | None = None,
        formerly: str | Sequence[str] = (),
        snapshot_every: int = 100,
        snapshot_version: int = 1,
    ) -> Callable[[C], C]:
        """Register a state; ``stream`` names its stream by its fields: ``"product-{sku}"``.

        States with the same template are the shapes that one aggregate may have. After ``snapshot_every``
        events (0: never) a snapshot is written; raise ``snapshot_version`` when evolvers change what they
        compute, so that older snapshots are not used. ``formerly``: see `event`.
        """
        location = caller_location(3)

        def register(cls: C) -> C:
            return self._register(
                "state",
                cls,
                name,
                location,
                template=stream,
                formerly=former_names(formerly),
                snapshot_every=snapshot_every,
                snapshot_version=snapshot_version,
            )

        return register

    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def event(
        self,
        owner: type | None = None,
        *,
        name: str | None = None,
        formerly: str | Sequence[str] = (),
        tags: Tags | None = None,
        state: Unset | None = UNSET,
        stream: str | None = None,
    ) -> Callable[[C], C]:
        """Register an event of the state ``owner``, whose template its fields fill.

        ``state=None`` says that it has no effect on the state and needs no evolver. Without an owner it is a
        fact from outside (``state=None`` is required): ``stream`` may name its stream, else ``append`` does.
        ``tags``: a template (``"customer-{customer}"``), several, or a function from the event to its tags;
        a template with a field that is None gives no tag. ``formerly``: the name or names under which older
        programs stored this class; what they wrote is read as this class.
        """
        location = caller_location()
        self._require_state("event", owner, location)

        def register(cls: C) -> C:
            return self._register(
                "event",
                cls,
                name,
                location,
                owner=owner,
                template=stream,
                tags=tags,
                stateless=state is None,
                formerly=former_names(formerly),
            )

        return register

    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def command(
        self, owner: type, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Callable[[C], C]:
        """Register a command to the state ``owner``; its fields fill that state's template.

        A method ``validate(self)`` may raise ``Rejected``; it runs on the caller's thread, and on the
        writer's for commands that do not come from a caller. ``formerly``: see `event`.
        """
        location = caller_location()
        self._require_state("command", owner, location)
        former = former_names(formerly)
        return lambda cls: self._register("command", cls, name, location, owner=owner, formerly=former)

    @require_keywords("reads=[model]")
    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def query(
        self,
        *,
        reads: ReadModel | Sequence[ReadModel],
        name: str | None = None,
        timeout: float | None = None,
        cache: bool = False,
    ) -> Callable[[C], C]:
        """Register a query: its parameters are its fields, ``run(self, view)`` answers it from ``reads``.

        ``reads`` is a read model or several. ``timeout``: seconds that a caller waits who says nothing else,
        10 unless given. ``cache=True`` keeps results for as long as the tables that they came from do not
        change; not for a query that also depends on the clock, on chance or on anything outside its view.
        """
        location = caller_location(3)
        given: Any = reads
        models = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        return lambda cls: self._register(
            "query", cls, name, location, reads=models, timeout=timeout, cache=cache
        )

    @overload
    def value(self, cls: C, /) -> C: ...
    @overload
    def value(
        self, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Callable[[C], C]: ...
    @dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
    def value(
        self, cls: Any = None, /, *, name: str | None = None, formerly: str | Sequence[str] = ()
    ) -> Any:
        """Register a class that messages hold: a dataclass, or an Enum, which stays one (see `enum`).

        ``formerly``: see `event`.
        """
        location = caller_location()
        former = former_names(formerly)
        if cls is not None:
            return self._register("value", cls, name, location, formerly=former)
        return lambda cls: self._register("value", cls, name, location, formerly=former)

    @overload
    def enum(self, cls: E, /) -> E: ...
    @overload
    def enum(self, /, *, name: str | None = None, formerly: str | Sequence[str] = ()) -> Callable[[E], E]: ...
    def enum(self, cls: Any = None, /, *, name: str | None = None, formerly: str | Sequence[str] = ()) -> Any:
        """Register an Enum that messages hold; it stays one.

        `value` does the same, but pyright takes a class below that for a dataclass: it has no `Size("small")`
        there. ``formerly``: see `event`.
        """
        location = caller_location()
        former = former_names(formerly)

        def register(cls: E) -> E:
            if isinstance(cls, type) and not issubclass(cls, Enum):
                raise DomainError(
                    f"{location}: @{self.name}.enum takes an Enum, and {cls.__name__} is none; register it "
                    "with @value"
                )
            return self._register("value", cls, name, location, formerly=former)

        return register if cls is None else register(cls)

    # -- rules ------------------------------------------------------------------------------
    @overload
    def decide(
        self, command: type | UnionType, /, *commands: type | UnionType, state: Any = UNSET
    ) -> Callable[[F], F]: ...
    @overload
    def decide(self, *, state: Any) -> Callable[[F], F]: ...
    @overload
    def decide(self, fn: F, /) -> F: ...
    def decide(self, *commands: Any, state: Any = UNSET) -> Any:
        """Register a decider: ``def fn(state: Product | None, command: ChangePrice)``, which yields or
        returns events.

        ``T | None`` admits a new stream, ``None`` only a new one, ``T`` only an existing one; ``A | B`` does
        for both. A third parameter receives ``read``. Where annotations can't be resolved, name the classes:
        ``@shop.decide(ChangePrice, state=Product | None)``. The function is returned as it is.
        """
        return self._rule(self.declarations.deciders, commands, state)

    @overload
    def evolve(
        self, event: type | UnionType, /, *events: type | UnionType, state: Any = UNSET
    ) -> Callable[[F], F]: ...
    @overload
    def evolve(self, *, state: Any) -> Callable[[F], F]: ...
    @overload
    def evolve(self, fn: F, /) -> F: ...
    def evolve(self, *events: Any, state: Any = UNSET) -> Any:
        """Register an evolver: ``def fn(state: Product, event: PriceChanged)`` returns the new state.

        Matched as deciders are. It must be pure: it runs again whenever a state is built from its events.
        """
        return self._rule(self.declarations.evolvers, events, state)

    def _rule(self, rules: list[Rule], given: tuple[Any, ...], state: Any) -> Any:
        if len(given) == 1 and state is UNSET and not isinstance(given[0], type | UnionType):
            rules.append(Rule(given[0], (), UNSET))
            return given[0]

        def register(fn: F) -> F:
            rules.append(Rule(fn, given, state))
            return fn

        return register

    # -- what is stored already -------------------------------------------------------------
    def upcast(self, name: str | type, version: int = 1, *, gone: bool = False) -> Callable[[F], F]:
        """Register an upcaster: ``def fn(fields)`` turns stored fields of ``version`` into the next one's.

        ``name`` is the stored name of an event, state, command, value or enum, or its class. What was written
        before its first upcaster has version 1; what is written now has the version after the last one.
        ``fields`` is a dict of decoded values, which the function may change and return. For an event it may
        also return a `Stored`, an event of another class, or a list of dicts and `Stored`: the event is read
        as all of them, or with an empty list as none. For an enum it takes the name of a member and returns
        one. ``gone=True``: no class has this name any more, so that its upcasters make other events of it.

        It must be pure: it runs each time that an event is read, in any thread. One that fails, or returns
        what does not fit, stops the reading with `UpcastFailed`. The function is returned as it is.
        """
        location = caller_location()

        def register(fn: F) -> F:
            self.declarations.upcasters.append(UpcastRule(name, version, gone, fn, location))
            return fn

        return register

    # -- read side and middleware -----------------------------------------------------------
    def read_model(
        self,
        name: str,
        version: int = 1,
        *,
        engine: str = "lmdb",
        inline: bool = False,
        replicas: int | Sequence[int] | None = None,
        fingerprint: bool = False,
        schema: str = "",
    ) -> ReadModel:
        """Declare a read model. A new ``version`` is filled from the log while the old one still answers.

        Declare the old version too, under its own number, to have it go on being updated until the new one
        takes over; ``reads=`` and ``view`` take either object. ``engine`` is ``"lmdb"`` (tables),
        ``"sqlite"`` (``schema`` is the SQL that makes the tables) or ``"memory"`` (Python objects).
        ``inline=True`` keeps the tables in the write environment too, within the command's transaction, where
        deciders read them. ``replicas`` keeps the model on the first so many replicas, or on those of these
        numbers from 1. ``fingerprint=True`` has a change of the projections' code (or of Python's bytecode)
        count as a new version.
        """
        model = ReadModel(
            name,
            version,
            engine=engine,
            inline=inline,
            replicas=replicas,
            fingerprint=fingerprint,
            script=schema,
            location=caller_location(),
        )
        self.declarations.read_models.append(model)
        return model

    def process_manager(
        self,
        name: str,
        *,
        start: Start,
        key: Key | None = None,
        version: int = 1,
        formerly: str | Sequence[str] = (),
    ) -> ProcessManager:
        """Declare a process manager: events in, commands out.

        `start="beginning"` handles every event that there is, `"now"` those after its first opening. `key` is
        the field of its events that identifies their instance, unless a handler says its own. Raise `version`
        when what its states hold changes: they are rebuilt from the events, without executing anything.
        `formerly` is the name, or names, that it had: it goes on where the manager of that name stopped.
        """
        manager = ProcessManager(
            self,
            self._declare_value,
            name,
            key=key,
            start=start,
            version=version,
            location=caller_location(),
            formerly=former_names(formerly),
        )
        self.declarations.process_managers.append(manager)
        return manager

    @overload
    def around_command(self, fn: M, /) -> M: ...
    @overload
    def around_command(self, /, *, order: int = 0) -> Callable[[M], M]: ...
    def around_command(self, fn: Any = None, /, *, order: int = 0) -> Any:
        """Register a generator function that runs around every command; see ``actors.domain.middleware``."""
        return _around(self.declarations.command_middleware, fn, order)

    @overload
    def around_query(self, fn: M, /) -> M: ...
    @overload
    def around_query(self, /, *, order: int = 0) -> Callable[[M], M]: ...
    def around_query(self, fn: Any = None, /, *, order: int = 0) -> Any:
        """Register a generator function that runs around every query; see ``actors.domain.middleware``."""
        return _around(self.declarations.query_middleware, fn, order)

    def guard(self, fn: G, /) -> G:
        """Register a function of an `Access` that is asked before each use of a system, and raises
        `Forbidden` to refuse it; see ``actors.domain.access``.
        """
        self.declarations.guards.append(fn)
        return fn

    # -- registering ------------------------------------------------------------------------
    def _register(self, kind: str, cls: C, name: str | None, location: str, **options: Any) -> C:
        made: C = as_frozen_dataclass(cls, kind, location)
        known_as = cls.__name__ if name is None else name
        self.declarations.classes.append(Declared(kind, made, known_as, location, **options))
        return made

    def _declare_value(self, cls: C, name: str | None, location: str, formerly: str | Sequence[str]) -> C:
        return self._register("value", cls, name, location, formerly=former_names(formerly))

    def _require_state(self, kind: str, owner: Any, location: str) -> None:
        # Refused at once: a bare @shop.event would put a function in the place of the class.
        if owner is None and kind == "event":
            return
        if not any(one.kind == "state" and one.cls is owner for one in self.declarations.classes):
            raise DomainError(
                f"{location}: @{self.name}.{kind}({name_of(owner)}): {name_of(owner)} is not a state of "
                "domain "
                f"{self.name!r}; write @{self.name}.{kind}(State), in brackets the class registered by "
                f"@{self.name}.state that the {kind} belongs to"
            )


def _around(chain: list[MiddlewareRule], fn: Any, order: int) -> Any:
    if fn is not None:
        chain.append(MiddlewareRule(fn, order))
        return fn

    def register(fn: M) -> M:
        chain.append(MiddlewareRule(fn, order))
        return fn

    return register
