"""Finding the domain that a program of the command line is given. Main thread."""

from __future__ import annotations

from typing import Any

from actors.cli.command_parser import CommandParser
from actors.cli.errors import CommandLineError
from actors.cli.imported_name import imported_name
from actors.domain.domain import Domain
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.schema.describing import code_of
from actors.schema.opening import Code

__all__ = ["DOMAIN", "SHORT", "add_domain", "load_code", "load_domain", "load_model"]

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
    form = f"MODULE:ATTRIBUTE, such as {DOMAIN}, or {' or '.join(SHORT)}"
    found, what = imported_name("--domain", where, form, SHORT.get(where, where))
    if not isinstance(found, Domain):
        raise CommandLineError(f"{what}, where a Domain is wanted")
    return found


def load_model(where: str, name: str) -> tuple[Domain, ReadModel]:
    """A domain as `load_domain` finds it, and its read model of this name. Raises `CommandLineError`."""
    domain = load_domain(where)
    models = {model.name: model for model in domain.declarations.read_models}
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise CommandLineError(f"domain {domain.name!r} has no read model {name!r}; it has: {known}")
    return domain, models[name]


def add_domain(parser: CommandParser, name: str = "--domain") -> None:
    """Have a program take a domain, which it can't do without: as an option, or by this name."""
    required: dict[str, Any] = {"required": True} if name.startswith("-") else {}
    parser.add_argument(
        name,
        metavar="MODULE:ATTRIBUTE",
        help=f"the domain, or {' or '.join(SHORT)} for those of the demo",
        **required,
    )
