"""Which replicas have which read models: what a model's `replicas=` means in a system. Pure; the opener's
thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.errors import DomainError
from actors.settings import Settings

__all__ = ["check_queries", "models_on", "place_models", "projects_once"]


def place_models(models: Mapping[str, ReadModel], replicas: Sequence[str]) -> dict[str, list[str]]:
    """The replicas of each model, by its name.

    A number means that many, the first ones. Numbers in a list that this system does not have are ignored, so
    that one domain serves systems of several sizes. Raises `DomainError` for a model without a replica.
    """
    placed = {}
    for name, model in models.items():
        placed[name] = [replica for number, replica in enumerate(replicas, 1) if model.placed_on(number)]
        if not placed[name]:
            raise DomainError(
                f"{model.location}: read model {name!r} is on replicas {model.replicas!r}, and the system is "
                f"opened with {len(replicas)}; open it with more replicas=, or change the model's"
            )
    return placed


def models_on(replica: str, placed: Mapping[str, Sequence[str]], domain: CompiledDomain) -> list[ReadModel]:
    """All declared versions of the models that are `placed` on a replica, the newest of each first."""
    return [
        version
        for model in domain.models.values()
        if replica in placed[model.name]
        for version in (model, *domain.old_models.get(model.name, ()))
    ]


def projects_once(settings: Settings, domain: CompiledDomain) -> bool:
    """Whether one replica's projections serve the others: several replicas in this process, and a model of
    tables."""
    return (
        settings.workers == "thread"
        and settings.replicas > 1
        and any(model.schema.engine == "lmdb" for model in domain.models.values())
    )


def check_queries(domain: CompiledDomain, placed: Mapping[str, Sequence[str]]) -> None:
    """Raise `DomainError` for queries that read models which no replica has together."""
    problems = []
    for spec in domain.queries.values():
        names = [model.name for model in spec.models]
        if len(names) > 1 and not set[str].intersection(*(set(placed[name]) for name in names)):
            where = "; ".join(f"{name} is on {', '.join(placed[name])}" for name in names)
            problems.append(
                f"query {spec.name} reads models that are on no replica together: {where}; "
                "give them a replica in common with replicas="
            )
    if problems:
        raise DomainError(f"domain {domain.name!r}:\n" + "\n".join(f"  {one}" for one in problems), problems)
