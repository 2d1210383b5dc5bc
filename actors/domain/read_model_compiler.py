"""Checks a domain's read models, and finds the newest version of each. Runs when the domain is compiled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from actors.domain.declarations import Declarations
from actors.domain.fingerprint import fingerprint
from actors.domain.handler_matching import RuleMatcher
from actors.domain.problems import Problems
from actors.domain.read_model import ReadModel
from storage.errors import InvalidSchema
from storage.tables.schema import ENGINES
from storage.value_text import short_repr

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def compile_read_models(
    declarations: Declarations,
    rules: RuleMatcher,
    problems: Problems,
    upcast_code: Callable[[Iterable[type]], str],
) -> tuple[dict[str, ReadModel], dict[str, list[ReadModel]]]:
    """The newest version of each read model by name, and the older ones, newest first; fills in their
    handlers. `upcast_code` gives that of the upcasters of events.
    """
    versions: dict[str, dict[int, ReadModel]] = {}
    for model in declarations.read_models:
        named = f"read model {model.name!r}"
        for text in _mistakes(model):
            problems.add(model.location, f"{named}: {text}")
        problems.texts.extend(model.mistakes)
        if not isinstance(model.name, str) or type(model.version) is not int:
            continue
        first = versions.setdefault(model.name, {}).setdefault(model.version, model)
        if first is not model:
            problems.add(
                model.location,
                f"{named}: there is one at {first.location} already; give one another version=",
            )
            continue
        model.handlers = rules.handlers(model)
        if model.fingerprint:
            handlers = [(rules.events[cls].name, one) for cls, one in model.handlers.items()]
            model.code = fingerprint(handlers, upcast_code(model.handlers))
    ordered = {
        name: [found[version] for version in sorted(found, reverse=True)] for name, found in versions.items()
    }
    newest = {name: models[0] for name, models in ordered.items()}
    for versions_of_one in ordered.values():
        versions_of_one[0].older = tuple(versions_of_one[1:])
    return newest, {name: models[1:] for name, models in ordered.items() if len(models) > 1}


def _mistakes(model: Any) -> Iterator[str]:
    if not isinstance(model.name, str) or not _NAME.fullmatch(model.name):
        yield "its name must be letters, digits, '_', '.', '-'"
    if type(model.version) is not int or model.version < 1:
        yield f"version must be an int from 1, got {short_repr(model.version)}"
    for option in ("inline", "fingerprint"):
        value = getattr(model, option)
        if type(value) is not bool:
            yield f"{option} must be True or False, got {short_repr(value)}"
    if model.engine not in tuple(ENGINES):
        known = ", ".join(f'"{one}"' for one in ENGINES)
        yield f"there is no engine {short_repr(model.engine)}; engine= is one of {known}"
    elif model.inline is True and model.engine != "lmdb":
        yield (
            f"inline=True keeps tables in the write environment, which engine {model.engine!r} cannot; write "
            'engine="lmdb", or leave inline= out'
        )
    if not isinstance(model.script, str):
        yield f"schema must be the SQL that makes the tables, as one text, got {short_repr(model.script)}"
    elif model.engine == "sqlite" and not model.script.strip():
        yield 'engine "sqlite" needs the SQL that makes its tables: schema="CREATE TABLE ..."'
    elif model.engine == "sqlite":
        from storage.engines.sqlite.script import check_script

        try:
            check_script(model.name, model.script)
        except InvalidSchema as error:
            yield str(error).removeprefix(f"read model {model.name!r}: ")
    elif model.script and model.engine in ("lmdb", "memory"):
        instead = "table(...)" if model.engine == "lmdb" else "object(...)"
        yield f'schema= is for engine "sqlite"; declare what engine {model.engine!r} keeps with {instead}'
    yield from _misplaced(model.replicas)


def _misplaced(replicas: Any) -> Iterator[str]:
    if replicas is None or type(replicas) is int:
        if replicas is not None and replicas < 1:
            yield (
                f"replicas={replicas} would keep it nowhere; give a number from 1, or leave it out for all "
                "replicas"
            )
        return
    if not isinstance(replicas, list | tuple | set | frozenset | range):
        found = short_repr(replicas)
        yield f"replicas must be how many replicas keep it, or a list of their numbers, got {found}"
        return
    numbers = list(replicas)
    if not numbers:
        yield "replicas= is an empty list, which would keep it nowhere; leave it out for all replicas"
    elif any(type(number) is not int or number < 1 for number in numbers):
        yield f"replicas= lists the numbers of replicas, ints from 1, got {short_repr(replicas)}"
    elif len(set(numbers)) != len(numbers):
        yield f"replicas= names a replica twice: {short_repr(replicas)}"
