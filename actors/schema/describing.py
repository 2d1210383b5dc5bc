"""The schema of a compiled domain. Computed when a store is opened or checked; any thread."""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from typing import Any, cast

from actors.domain.declarations import Declarations, Declared
from actors.domain.fingerprint import fingerprint
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.schema.comparison import Readable
from actors.schema.description import FieldDescription, Manager, Model, Schema, StoredType
from actors.schema.field_type import field_type
from actors.schema.opening import Code

__all__ = ["code_of", "describe"]

PYTHON = sys.implementation.cache_tag or sys.version
"""Which bytecode the fingerprints of code are of."""


def describe(declarations: Declarations, domain: CompiledDomain) -> Schema:
    """The schema of `domain`, which `declarations` were compiled to."""
    stored = [one for one in declarations.classes if one.kind != "query"]
    return Schema(
        domain.name,
        {one.name: _type(one, domain) for one in stored},
        {name: _model(model, domain) for name, model in domain.models.items()},
        {
            name: Manager(
                spec.version,
                tuple(sorted(domain.codec.name_of(cls) for cls in spec.states)),
                tuple(sorted(domain.codec.name_of(cls) for cls in spec.timers)),
            )
            for name, spec in domain.process_managers.items()
        },
    )


def code_of(declarations: Declarations, domain: CompiledDomain) -> Code:
    """The schema of `domain`, which `declarations` were compiled to, and where its parts are."""
    schema = describe(declarations, domain)
    former = {name: one.name for one in declarations.classes for name in one.formerly}
    managers = {name: spec.name for spec in domain.process_managers.values() for name in spec.formerly}
    return Code(
        schema,
        _locations(declarations),
        Readable(
            former,
            managers,
            {name: version - 1 for name, version in domain.versions.items() if name not in schema.types},
        ),
        by_code=frozenset(name for name, model in domain.models.items() if model.fingerprint),
    )


def _locations(declarations: Declarations) -> dict[str, str]:
    """File and line of each stored class, of each process manager and read model, by name."""
    found = {one.name: one.location for one in declarations.classes}
    for manager in declarations.process_managers:
        found.setdefault(manager.name, manager.location)
    for model in declarations.read_models:
        found.setdefault(model.name, model.location)
    return found


def _type(one: Declared, domain: CompiledDomain) -> StoredType:
    cls, name_of = one.cls, domain.codec.name_of
    version = domain.versions.get(one.name, 1)
    if issubclass(cls, Enum):
        return StoredType("enum", version, members=tuple(member.name for member in cls))
    fields = {
        field.name: FieldDescription(
            str(field_type(domain.hints[cls][field.name], name_of)),
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            personal=field.name in domain.codec.personal.get(cls, ()),
        )
        for field in dataclasses.fields(cast(Any, cls))
    }
    registered = domain.codec.registered.values()
    bases = tuple(name_of(base) for base in cls.__mro__[1:] if base in registered)
    owner = domain.states.get(one.owner) if one.owner is not None else None
    if one.kind == "event":
        stream = owner.template.text if owner is not None else one.template
        tags = () if one.tags is None else (one.tags,) if isinstance(one.tags, str) else one.tags
        return StoredType(
            "event",
            version,
            fields,
            bases=bases,
            stream=stream,
            state=None if owner is None else owner.name,
            tags=("function",) if callable(tags) else tuple(tags),
        )
    return StoredType(
        one.kind,
        version,
        fields,
        bases=bases,
        stream=one.template if one.kind == "state" else None,
        state=None if owner is None else owner.name,
    )


def _model(model: ReadModel, domain: CompiledDomain) -> Model:
    # Under the first name that an event had: another one changes nothing in rows.
    former = domain.codec.former_names
    handlers = [
        ((*former.get(cls, ()), domain.events[cls].name)[0], one) for cls, one in model.handlers.items()
    ]
    code = fingerprint(handlers, domain.upcast_code(model.handlers))
    tables = dataclasses.replace(model.schema, code="").fingerprint()
    return Model(model.version, tables, code, PYTHON)
