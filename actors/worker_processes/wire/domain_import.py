"""Where a worker process imports the domain from, and how both processes know that it is the same one.

The opener's thread, and the main thread of a worker.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple, cast

from actors.domain.domain import Domain
from actors.domain.fingerprint import fingerprint, of_function
from actors.domain.specs import CompiledDomain
from actors.errors import DomainError

__all__ = ["DomainLocation", "differences", "fingerprints", "import_domain", "locate_domain"]


ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class DomainLocation(NamedTuple):
    """A domain as an attribute of a module, and all modules that add to it, in the order of their import."""

    module: str
    attribute: str
    modules: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


def locate_domain(domain: Domain) -> DomainLocation:
    """Where another process can import the domain from. Raises `DomainError` if it can't."""
    makers = {getattr(one, "__module__", None) for one in _made_of(domain)}
    if "__main__" in makers:
        raise DomainError(
            f"domain {domain.name!r} is declared, in part at least, in the program's main module, which a "
            "worker process "
            "can't import: move it to a module of its own and import it from there, or open with "
            'workers="thread"'
        )
    for name, module in list(sys.modules.items()):
        if name == "__main__" or module is None:
            continue
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is domain:
                modules = tuple(one for one in list(sys.modules) if one in makers or one == name)
                return DomainLocation(name, attribute, modules)
    raise DomainError(
        f"domain {domain.name!r} is no attribute of a module that was imported, so a worker process can't "
        "find it: "
        'make it one, outside of functions and of the main module, or open with workers="thread"'
    )


def _made_of(domain: Domain) -> Iterator[Any]:
    declared = domain.declarations
    yield from (one.cls for one in declared.classes)
    yield from (rule.fn for rule in (*declared.deciders, *declared.evolvers))
    yield from (rule.fn for rule in (*declared.command_middleware, *declared.query_middleware))
    for model in declared.read_models:
        yield from (projection.fn for projection in model.projections)
    for manager in declared.process_managers:
        yield from (rule.fn for rule in manager.rules)
        yield from (effect.fn for effect in manager.effects)


def import_domain(location: DomainLocation) -> Domain:
    """Import the domain. Raises `DomainError` that says what could not be imported, and why."""
    for name in dict.fromkeys((*location.modules, location.module)):
        try:
            importlib.import_module(name)
        except BaseException as error:
            raise DomainError(
                f"module {name!r}, which domain {location} is made in, can't be imported in a worker process "
                f"({type(error).__name__}: {error}); see that it can be imported by its name, or open with "
                'workers="thread"'
            ) from error
    found = getattr(sys.modules[location.module], location.attribute, None)
    if not isinstance(found, Domain):
        raise DomainError(f"a worker process imported {location.module!r}, but {location} is no domain there")
    return found


def fingerprints(domain: CompiledDomain) -> dict[str, str]:
    """What each part of a domain is made of that a replica needs, as a short text by the part's name."""
    found = {}
    for name, cls in domain.codec.registered.items():
        found[f"class {name}"] = _shape(cls)
    found["upcasters"] = domain.upcast_code(domain.codec.registered.values())
    for query in domain.queries.values():
        reads = [model.name for model in query.models]
        found[f"query {query.name}"] = f"{reads} {query.cache} {of_function(query.cls.run)}"  # type: ignore[attr-defined]
    for model in domain.models.values():
        for version in (model, *domain.old_models.get(model.name, ())):
            handlers = ((cls.__name__, one) for cls, one in version.handlers.items())
            code = fingerprint(handlers)
            placed = (version.inline, version.replicas)
            found[f"read model {version.name} version {version.version}"] = (
                f"{version.schema.fingerprint()} {code} {placed}"
            )
    return found


def _shape(cls: type) -> str:
    if issubclass(cls, Enum):
        return f"enum {[member.name for member in cls]}"
    fields = [(field.name, str(field.type)) for field in dataclasses.fields(cast(Any, cls))]
    # What an annotation holds may have no text but its place in this process's memory.
    return ADDRESS.sub("", f"fields {fields}")


def differences(here: dict[str, str], there: dict[str, str]) -> list[str]:
    """The names of the parts that are not the same in both."""
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
