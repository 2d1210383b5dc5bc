"""What callers give to a system in place of what is wanted, and the errors that tell them. Callers' threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from actors.domain.domain import Domain
from actors.domain.read_model import ReadModel, name_of
from actors.domain.specs import CompiledDomain
from actors.errors import UnknownMessage
from storage.value_text import shown

__all__ = ["checked_model", "checked_place", "several", "unknown"]

_METHODS = {"command": "execute", "query": "query", "event": "append"}


def checked_place(path: Any, domain: Any) -> str:
    """The path as text. Raises `TypeError` or `ValueError` where `System.open` was given something else."""
    if not isinstance(domain, Domain):
        advice = "give the Domain that declares the messages"
        if isinstance(path, Domain):
            advice = "the arguments are the other way round: System.open(path, domain)"
        elif isinstance(domain, ModuleType):
            inside = [
                f"{domain.__name__}.{name}" for name, one in vars(domain).items() if isinstance(one, Domain)
            ]
            advice = f"give the Domain in that module: {' or '.join(inside) or 'it has none'}"
        raise TypeError(f"System.open(path, domain) takes a Domain, not {shown(domain)}; {advice}")
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(
            f"System.open(path, domain) takes the store's directory as text or a Path, not {shown(path)}"
        )
    if not text:
        raise ValueError(
            "System.open(path, domain) was given an empty path; write '.' for the current directory"
        )
    return text


def checked_model(model: Any, domain: CompiledDomain, method: str) -> ReadModel:
    """The newest version of the model. Raises `UnknownMessage` for what is not a read model of the domain."""
    newest = domain.newest(model)
    if newest is not None:
        return newest
    raise UnknownMessage(
        f"{shown(model)} is not a read model of domain {domain.name!r}; it has: {', '.join(domain.models) or 'none'}; "
        f"give {method}() the object that {domain.name}.read_model(...) returned"
    )


def several(messages: Any, method: str, kind: str) -> Iterable[Any]:
    """The messages. Raises `TypeError` for one message, or what else is no list."""
    if isinstance(messages, Iterable) and not isinstance(messages, str | bytes | Mapping | type):
        return messages
    raise TypeError(
        f"{method}() takes a list, not {shown(messages)}; write {method}([{kind}, ...]), "
        f"or {_METHODS[kind]}({kind}) for a single one"
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
        return UnknownMessage(f"{name} is the class of {what}; {_METHODS[kind]} an instance: {name}(...)")
    cls = message if isinstance(message, type) else type(message)
    names = ", ".join(sorted(one.__name__ for one in known[kind])) or "none"
    advice = ""
    for other, classes in known.items():
        if cls in classes:
            advice = f"; {cls.__name__} is {'an' if other == 'event' else 'a'} {other}, which {_METHODS[other]}() takes"
    if isinstance(message, list | tuple) and kind != "event":
        advice = f"; {_METHODS[kind]}_many() takes several"
    found = f"the class {cls.__name__}" if cls is message else cls.__name__
    return UnknownMessage(f"{found} is not {what} of domain {domain.name!r}; it knows: {names}{advice}")
