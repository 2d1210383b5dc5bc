"""What the programs have in common that have a model skip an event, or take that back. Main thread."""

from __future__ import annotations

from argparse import Namespace

from actors.cli.command_parser import CommandParser, positive
from actors.cli.domain_loading import add_domain, load_domain
from actors.cli.errors import CommandLineError
from actors.cli.store_directory import kept_replicas, require_store
from actors.domain.domain import Domain
from actors.domain.read_model import ReadModel
from actors.system.system import System

__all__ = ["TILL", "add_options", "loaded", "opened"]

TILL = (
    "printf 'Sell 1 250\\nSell 2 0\\n' | {program} repl till --domain actors.demo.till:faulty",
    "make a store whose model stops at position 2",
)
"""The first example of each: a store to try it on."""


def add_options(parser: CommandParser) -> None:
    """Have a program take a store, its domain, a model and a position."""
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("model", metavar="MODEL", help="the read model's name")
    parser.add_argument("position", metavar="POSITION", type=positive, help="the event's position in the log")
    add_domain(parser)
    parser.add_argument("--json", action="store_true", help="a JSON document")


def loaded(options: Namespace) -> tuple[Domain, ReadModel]:
    """The domain and the model that are meant. Raises `CommandLineError`, also if there is no store."""
    domain = load_domain(options.domain)
    models = {model.name: model for model in domain.declarations.read_models}
    if options.model not in models:
        known = ", ".join(sorted(models)) or "none"
        raise CommandLineError(f"domain {domain.name!r} has no read model {options.model!r}; it has: {known}")
    require_store(options.store)
    return domain, models[options.model]


def opened(options: Namespace, domain: Domain) -> System:
    """The store, for that alone: there are no queries to slow down, and no effect is to be sent."""
    replicas = kept_replicas(options.store)
    return System.open(options.store, domain, replicas=replicas, rebuild_share=1.0, managers=False)
