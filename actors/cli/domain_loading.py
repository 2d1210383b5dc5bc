"""Finding the domain that a program of the command line is given. Main thread."""

from __future__ import annotations

import importlib

from actors.cli.errors import CommandLineError, describe
from actors.domain.domain import Domain
from actors.domain.specs import CompiledDomain
from actors.schema.describing import code_of
from actors.schema.opening import Code

__all__ = ["DOMAIN", "SHORT", "load_code", "load_domain"]

DOMAIN = "actors.demo.shop:shop"


SHORT = {"shop": DOMAIN, "delivery": "actors.demo.fulfilment:delivery"}
"""The domains that come with the library, by short names."""


def load_code(where: str) -> tuple[CompiledDomain, Code]:
    """The domain at `module:attribute`, compiled, and its schema.

    Raises `CommandLineError` when there is none, `DomainError` for one with mistakes.
    """
    source = load_domain(where)
    domain = source.compile()
    return domain, code_of(source.declarations, domain)


def load_domain(where: str) -> Domain:
    """The domain at `module:attribute`, or of a short name. Raises `CommandLineError` when there is none."""
    module_name, colon, attribute = SHORT.get(where, where).partition(":")
    if not colon or not module_name or not attribute:
        raise CommandLineError(
            f"--domain takes MODULE:ATTRIBUTE, such as {DOMAIN}, or {' or '.join(SHORT)}, not {where!r}"
        )
    try:
        found = importlib.import_module(module_name)
    except Exception as error:
        raise CommandLineError(
            f"--domain {where}: importing {module_name} failed: {describe(error)}"
        ) from error
    for name in attribute.split("."):
        found = getattr(found, name, None)  # type: ignore[assignment]
    if not isinstance(found, Domain):
        got = "nothing" if found is None else f"a {type(found).__name__}"
        raise CommandLineError(
            f"--domain {where}: {module_name} has {got} as {attribute}, where a Domain is wanted"
        )
    return found
