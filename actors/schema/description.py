"""The schema of a domain as plain data: what stored bytes depend on, and nothing else. Pure; any thread.

It is the same in every process, and as JSON it is what a repository keeps in a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from actors.schema.field_type import parse_type

__all__ = ["FORMAT", "FieldDescription", "Manager", "Model", "Schema", "StoredType"]

FORMAT = 1
"""The version of what `Schema.as_dict` gives."""


class FieldDescription(NamedTuple):
    """A field of a stored class: the text of its type, and whether it has a default.

    `late` says that the class had been stored without it before: what lacks it may be in the store.
    `personal` says that it is stored encrypted, and `was_plain` that it was not always: plain values may be
    in the store.
    """

    type: str
    default: bool = False
    late: bool = False
    personal: bool = False
    was_plain: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without what is false."""
        return {"type": self.type} | {name: True for name in self._fields[1:] if getattr(self, name)}

    def after(self, then: FieldDescription | None) -> FieldDescription:
        """This one, as it follows in a store in which values of `then` are; None for no such field."""
        if then is None:
            return self._replace(late=True)
        return self._replace(
            late=then.late, was_plain=self.personal and (then.was_plain or not then.personal)
        )


@dataclass(frozen=True, slots=True)
class StoredType:
    """A class whose values are stored, at one schema version.

    `kind` is event, state, command, value or enum. `stream` is the template of its stream, for a state and
    for an event that has one; `state` is the name of the state that an event or command belongs to. `tags`
    are an event's templates, or `function` for tags that a function gives. `bases` are the stored classes
    that it inherits from, `members` an enum's. `earlier` are the types that values of earlier versions hold.
    """

    kind: str
    version: int = 1
    fields: Mapping[str, FieldDescription] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    stream: str | None = None
    state: str | None = None
    tags: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    def uses(self) -> set[str]:
        """The names of the types of its fields, those inside them included, in earlier versions too."""
        return {name for one in self.fields.values() for name in parse_type(one.type).names()} | {
            *self.earlier
        }

    def after(self, then: StoredType) -> StoredType:
        """This one, as it follows in a store in which values of `then` are."""
        if self.version > then.version:
            return replace(self, earlier=tuple(sorted(then.uses())))
        fields = {name: one.after(then.fields.get(name)) for name, one in self.fields.items()}
        return replace(self, fields=fields, earlier=then.earlier)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without what is empty."""
        found: dict[str, Any] = {"kind": self.kind}
        if self.version != 1:
            found["version"] = self.version
        if self.kind == "enum":
            found["members"] = list(self.members)
        else:
            found["fields"] = {name: one.as_dict() for name, one in self.fields.items()}
        for name in ("bases", "stream", "state", "tags", "earlier"):
            if value := getattr(self, name):
                found[name] = list(value) if isinstance(value, tuple) else value
        return found

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> StoredType:
        """What `as_dict` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        fields = {
            str(name): FieldDescription(
                str(parse_type(one["type"])), *(flag in one for flag in FieldDescription._fields[1:])
            )
            for name, one in plain.get("fields", {}).items()
        }
        return cls(
            str(plain["kind"]),
            int(plain.get("version", 1)),
            fields,
            tuple(plain.get("members", ())),
            tuple(plain.get("bases", ())),
            plain.get("stream"),
            plain.get("state"),
            tuple(plain.get("tags", ())),
            tuple(plain.get("earlier", ())),
        )


class Model(NamedTuple):
    """A read model: its version, and fingerprints of its tables and of its projections' code.

    `python` is the Python that the code was compiled by: fingerprints of two of them can't be compared.
    """

    version: int
    tables: str
    code: str
    python: str

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"version": self.version, "tables": self.tables, "code": self.code, "python": self.python}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Model:
        """What `as_dict` gave."""
        return cls(int(plain["version"]), plain["tables"], plain["code"], plain["python"])


class Manager(NamedTuple):
    """A process manager: its version, and the names of its states and timers."""

    version: int
    states: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"version": self.version, "states": list(self.states), "timers": list(self.timers)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Manager:
        """What `as_dict` gave."""
        return cls(int(plain["version"]), tuple(plain["states"]), tuple(plain["timers"]))


@dataclass(frozen=True, slots=True)
class Schema:
    """All of a domain, by name."""

    domain: str
    types: Mapping[str, StoredType] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    managers: Mapping[str, Manager] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, in the order of names."""
        return {
            "format": FORMAT,
            "domain": self.domain,
            "types": {name: self.types[name].as_dict() for name in sorted(self.types)},
            "models": {name: self.models[name].as_dict() for name in sorted(self.models)},
            "managers": {name: self.managers[name].as_dict() for name in sorted(self.managers)},
        }

    @classmethod
    def of(cls, plain: Any) -> Schema:
        """What `as_dict` gave. Raises `ValueError` for anything else, and for a newer format."""
        try:
            if plain["format"] > FORMAT:
                raise ValueError(
                    f"it has format {plain['format']}, and this version of onewriter reads up to {FORMAT}: "
                    "update onewriter"
                )
            return cls(
                str(plain["domain"]),
                {name: StoredType.of(one) for name, one in plain["types"].items()},
                {name: Model.of(one) for name, one in plain["models"].items()},
                {name: Manager.of(one) for name, one in plain["managers"].items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not the schema of a domain ({type(error).__name__}: {error})") from error

    def personal(self) -> list[str]:
        """The personal fields, as `Class.field`."""
        return [
            f"{name}.{field}"
            for name, type in sorted(self.types.items())
            for field, one in type.fields.items()
            if one.personal
        ]

    def plain_before(self, written: Collection[str]) -> tuple[str, ...]:
        """The personal fields of which plain values may be in events, as `Class.field`.

        `written` are the names, without versions, of the events that were ever written.
        """
        return tuple(
            f"{name}.{field}"
            for name, type in sorted(self.types.items())
            for field, one in type.fields.items()
            if one.was_plain and (name in written if type.kind == "event" else type.kind == "value")
        )

    def reached_from(self, names: Iterable[str]) -> set[str]:
        """These types, and all that their values may hold, further in too.

        A field that takes any value may hold all.
        """
        found: set[str] = set()
        waiting = [name for name in names if name in self.types]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            used = self.types[name].uses()
            if "Any" in used:
                used |= {one for one, type in self.types.items() if type.kind != "event"}
            waiting += [
                one for one, type in self.types.items() if one in used or not used.isdisjoint(type.bases)
            ]
        return found
