"""What was declared in a domain: the input of the compiler, which checks it. Plain data, no thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from actors.domain.access import Guard
from actors.domain.constructors import with_slots_filled
from actors.domain.middleware import Middleware
from actors.domain.process_manager import ProcessManager
from actors.domain.read_model import ReadModel
from actors.errors import DomainError
from storage.value_text import short_repr

Tags = str | Sequence[str] | Callable[[Any], Iterable[str]]


class Unset(Enum):
    """Means "not given", in contrast to None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Declared(NamedTuple):
    """A registered class: ``kind`` is state, event, command, query or value, ``location`` file and line."""

    kind: str
    cls: type
    name: str
    location: str
    owner: type | None = None
    template: str | None = None
    snapshot_every: int = 0
    snapshot_version: int = 1
    tags: Tags | None = None
    stateless: bool = False
    reads: tuple[Any, ...] = ()
    timeout: Any = None
    cache: Any = False
    formerly: tuple[Any, ...] = ()


class Rule(NamedTuple):
    """A decider or evolver; what is not given here is in its annotations."""

    fn: Callable[..., Any]
    messages: tuple[Any, ...]
    state: Any


class UpcastRule(NamedTuple):
    """An upcaster of what is stored as ``name``, or of that class, from ``version`` to the next."""

    name: Any
    version: Any
    gone: bool
    fn: Any
    location: str


class MiddlewareRule(NamedTuple):
    """A middleware function; a lower ``order`` is further out."""

    fn: Middleware
    order: int


@dataclasses.dataclass(slots=True)
class Declarations:
    """All declarations of one domain, in their order; ``name`` is what error messages call the domain."""

    name: str
    classes: list[Declared] = dataclasses.field(default_factory=list)
    deciders: list[Rule] = dataclasses.field(default_factory=list)
    evolvers: list[Rule] = dataclasses.field(default_factory=list)
    upcasters: list[UpcastRule] = dataclasses.field(default_factory=list)
    read_models: list[ReadModel] = dataclasses.field(default_factory=list)
    process_managers: list[ProcessManager] = dataclasses.field(default_factory=list)
    command_middleware: list[MiddlewareRule] = dataclasses.field(default_factory=list)
    query_middleware: list[MiddlewareRule] = dataclasses.field(default_factory=list)
    guards: list[Guard] = dataclasses.field(default_factory=list)


def as_frozen_dataclass(cls: Any, kind: str, location: str) -> Any:
    """The class as a frozen, slotted dataclass; an Enum value and a frozen dataclass stay as they are."""
    if not isinstance(cls, type):
        raise DomainError(f"{location}: {kind} {short_repr(cls)} must be a class")
    if issubclass(cls, Enum):
        if kind != "value":
            raise DomainError(f"{location}: {kind} {cls.__name__} is an Enum; register it with @value")
        return cls
    if "__dataclass_fields__" in cls.__dict__:
        if not vars(cls)["__dataclass_params__"].frozen:
            raise DomainError(
                f"{location}: {kind} {cls.__name__} is a dataclass that is not frozen; leave @dataclass out"
            )
        return cls
    try:
        return with_slots_filled(dataclasses.dataclass(frozen=True, slots=True)(cls))
    except (TypeError, ValueError) as error:
        raise DomainError(f"{location}: {kind} {cls.__name__}: {error}") from error
