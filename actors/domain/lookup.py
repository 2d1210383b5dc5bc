"""Looking up in a compiled domain what a caller gave, and the errors for unknown things. Callers' threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actors.domain.read_model import ReadModel
from actors.domain.source_location import name_of
from actors.domain.specs import CompiledDomain
from actors.errors import UnknownMessage
from storage.value_text import short_repr

__all__ = ["METHODS", "checked_model", "unknown"]

METHODS = {"command": "execute", "query": "query", "event": "append"}


def checked_model(model: Any, domain: CompiledDomain, method: str) -> ReadModel:
    """The newest version of the model. Raises `UnknownMessage` for what is not a read model of the domain."""
    newest = domain.newest(model)
    if newest is not None:
        return newest
    raise UnknownMessage(
        f"{short_repr(model)} is not a read model of domain {domain.name!r}; it has: "
        f"{', '.join(domain.models) or 'none'}; "
        f"give {method}() the object that {domain.name}.read_model(...) returned"
    )


def unknown(message: Any, kind: str, domain: CompiledDomain) -> UnknownMessage:
    """The error for what is not a command, query or event of the domain; `kind` is what it should be."""
    known: dict[str, Mapping[type, Any]] = {
        "command": domain.commands,
        "query": domain.queries,
        "event": domain.events,
    }
    what = f"{'an' if kind == 'event' else 'a'} {kind}"
    if isinstance(message, type) and message in known[kind]:
        name = name_of(message).rpartition(".")[2]
        return UnknownMessage(f"{name} is the class of {what}; {METHODS[kind]} an instance: {name}(...)")
    cls = message if isinstance(message, type) else type(message)
    names = ", ".join(sorted(one.__name__ for one in known[kind])) or "none"
    advice = ""
    for other, classes in known.items():
        if cls in classes:
            article = "an" if other == "event" else "a"
            advice = f"; {cls.__name__} is {article} {other}, which {METHODS[other]}() takes"
    if isinstance(message, list | tuple) and kind != "event":
        advice = f"; {METHODS[kind]}_many() takes several"
    found = f"the class {cls.__name__}" if cls is message else cls.__name__
    return UnknownMessage(f"{found} is not {what} of domain {domain.name!r}; it knows: {names}{advice}")
