"""What the runtime knows of each class of a domain.

Made once, when the domain is compiled; read by all threads and never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from actors.domain.access import Guards
from actors.domain.middleware import Middleware
from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.read_model import ReadModel
from actors.domain.templates import Template
from actors.errors import ActorsError, InvalidMessage, described
from storage.codec.canonical import CanonicalCodec
from storage.codec.codec import Codec

StateKey = type | None


class Decider(NamedTuple):
    """A decider function; with ``wants_read`` it takes ``read`` as its third argument."""

    fn: Callable[..., Any]
    wants_read: bool


class StateSpec(NamedTuple):
    """A state class; ``classes`` are all that share its template, ``snapshot_every`` 0 means never.

    ``faithful`` says whether a state comes back from its bytes as it is; None where all of them do.
    """

    cls: type
    name: str
    template: Template
    snapshot_every: int
    fingerprint: str
    stream_for: Callable[..., str]
    classes: tuple[type, ...]
    faithful: Callable[[Any], bool] | None


class CommandSpec(NamedTuple):
    """A command class; ``deciders`` by the class of the current state, None for a stream without one.

    ``shareable`` is as that of an event.
    """

    cls: type
    name: str
    state: StateSpec
    stream_of: Callable[[Any], str]
    check: Callable[[Any], None]
    validate: Callable[[Any], None] | None
    deciders: dict[StateKey, Decider]
    shareable: Callable[[Any], bool] | None


@dataclass(slots=True, eq=False)
class EventSpec:
    """An event class.

    ``evolvers`` is None when it has no effect on a state, ``stream_of`` when it has no stream of its own,
    ``state`` when no state owns it. ``shareable`` says whether an event may be shared, as
    `storage.codec.fidelity` defines it; None where all of them may.
    """

    cls: type
    name: str
    state: StateSpec | None
    stream_of: Callable[[Any], str] | None
    check: Callable[[Any], None]
    tags_of: Callable[[Any], tuple[str, ...]] | None
    evolvers: dict[StateKey, Callable[[Any, Any], Any]] | None
    shareable: Callable[[Any], bool] | None


@dataclass(slots=True, eq=False)
class QuerySpec:
    """A query class and the read models that it may read; ``timeout`` in seconds, None for the default.

    ``shareable`` is as that of an event.
    """

    cls: type
    name: str
    models: tuple[ReadModel, ...]
    check: Callable[[Any], None]
    validate: Callable[[Any], None] | None
    shareable: Callable[[Any], bool] | None = None
    timeout: float | None = None
    cache: bool = False
    by_name: dict[str, ReadModel] = field(init=False)
    """Its models by name; not to be changed."""
    inline: bool = field(init=False)
    """Whether the writer keeps all of them itself."""

    def __post_init__(self) -> None:
        self.by_name = {model.name: model for model in self.models}
        self.inline = bool(self.models) and all(model.inline for model in self.models)


@dataclass(slots=True, eq=False)
class CompiledDomain:
    """A domain without mistakes.

    ``codec`` knows every registered class under its stored name; ``canonical`` gives the bytes by which a
    repeated command is recognized.
    """

    name: str
    codec: Codec
    canonical: CanonicalCodec
    states: dict[type, StateSpec]
    commands: dict[type, CommandSpec]
    events: dict[type, EventSpec]
    queries: dict[type, QuerySpec]
    models: dict[str, ReadModel]
    """The newest version of each read model, by name."""
    old_models: dict[str, list[ReadModel]]
    """Its older versions that are still declared, the newest of them first; names without one are absent."""
    command_middleware: tuple[Middleware, ...]
    query_middleware: tuple[Middleware, ...]
    guards: Guards = field(default_factory=Guards)
    process_managers: dict[str, ProcessManagerSpec] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    """The version after the last upcaster, by the name of what has upcasters, with a class or without."""
    upcast_code: Callable[[Iterable[type]], str] = lambda _classes: ""
    """What changes with the upcasters of these classes and of what they hold; empty for none."""
    hints: Mapping[type, Mapping[str, Any]] = field(default_factory=dict)
    """The resolved annotations of each class by field."""
    reserved: set[str] = field(init=False)
    """The names that ids of process managers begin with; complete once the store is open."""

    def __post_init__(self) -> None:
        self.reserved = set(self.process_managers)

    def newest(self, model: object) -> ReadModel | None:
        """The newest version of a read model, given by any of its objects; None for what is none of this
        domain.
        """
        if not isinstance(model, ReadModel):
            return None
        newest = self.models.get(model.name)
        declared = newest is model or any(model is one for one in self.old_models.get(model.name, ()))
        return newest if declared else None


def check_message(spec: CommandSpec | QuerySpec, message: Any) -> None:
    """Check a message's fields, then by its own ``validate``, whose refusal is raised as it is.

    Raises ``InvalidMessage`` for fields that do not fit, and for a ``validate`` that fails by itself.
    """
    spec.check(message)
    if spec.validate is None:
        return
    try:
        spec.validate(message)
    except ActorsError:
        raise
    except Exception as error:
        raise InvalidMessage(f"{spec.name}.validate failed with {described(error)}") from error
