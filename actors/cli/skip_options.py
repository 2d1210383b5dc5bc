"""What the programs have in common that have a model skip an event, or take that back. Main thread."""

from __future__ import annotations

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import CommandParser, positive
from actors.cli.domain_loading import add_domain

__all__ = ["TILL", "add_options"]

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
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="a JSON document")
