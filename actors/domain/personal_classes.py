"""Which classes of a domain hold something of a person, and so which states and read models do. Pure."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from actors.domain.annotations import unaliased
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain

__all__ = ["impersonal_fingerprints", "personal_classes", "personal_models"]


def personal_classes(domain: CompiledDomain) -> set[type]:
    """The classes with personal fields, and those whose fields may hold one of them."""
    found = set(domain.codec.personal)
    while True:
        more = {
            cls
            for cls, hints in domain.hints.items()
            if cls not in found and any(_may_hold(hint, found) for hint in hints.values())
        }
        if not more:
            return found
        found |= more


def personal_models(domain: CompiledDomain) -> list[ReadModel]:
    """The read models, all versions of them, that handle events which say something of a person."""
    personal = personal_classes(domain)
    return [
        version
        for model in domain.models.values()
        for version in (model, *domain.old_models.get(model.name, ()))
        if not model.handlers.keys().isdisjoint(personal) or not version.handlers.keys().isdisjoint(personal)
    ]


def impersonal_fingerprints(domain: CompiledDomain) -> set[str]:
    """The fingerprints of the states that are folded from nothing that says something of a person."""
    personal = personal_classes(domain)
    folded = {
        cls
        for event in domain.events.values()
        if event.cls in personal and event.evolvers is not None
        for cls in (domain.states if event.state is None else event.state.classes)
    }
    return {
        spec.fingerprint
        for cls, spec in domain.states.items()
        if folded.isdisjoint(spec.classes) and cls not in personal
    }


def _may_hold(hint: Any, classes: set[type]) -> bool:
    return any(one is Any or _is_base(one, classes) for one in _parts(hint))


def _is_base(one: Any, classes: set[type]) -> bool:
    return isinstance(one, type) and one is not object and any(issubclass(cls, one) for cls in classes)


def _parts(hint: Any) -> Iterator[Any]:
    hint = unaliased(hint)
    yield hint
    for one in typing.get_args(hint):
        yield from _parts(one)
