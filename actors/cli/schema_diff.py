"""`onewriter schema diff FILE DOMAIN`: what changed between a file's schema and a domain's. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.domain_loading import add_domain, load_code
from actors.cli.errors import CommandLineError
from actors.cli.exit_codes import BAD_USE, DONE
from actors.cli.json_values import json_line
from actors.cli.schema_file import load_schema
from actors.errors import DomainError
from actors.schema.comparison import Comparison, compare, without_a_store

__all__ = ["main", "show_comparison"]

EXAMPLES = (
    ("{program} schema show shop --json > shop.schema.json", "a file to compare with"),
    ("{program} schema diff shop.schema.json shop", "a line for each difference"),
    ("{program} schema diff shop.schema.json shop --json", "the same, for a program"),
)
EXIT_CODES = {"0": "done, whatever differs", "2": "the call was wrong, or the domain has mistakes"}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Show the differences and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "schema diff",
        "Show how a domain's schema differs from that in a file. A line begins with + for what is new and "
        "can be read, with ! for what can't be read any more, and with ? for what to think about.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("file", metavar="FILE", help="made by schema show DOMAIN --json")
    add_domain(parser, "domain")
    parser.add_argument("--json", action="store_true", help="a JSON document a line")
    options = parser.parse_args(arguments)
    try:
        old = load_schema(options.file)
        code = load_code(options.domain)[1]
    except (CommandLineError, DomainError) as error:
        print(error, file=sys.stderr)
        return BAD_USE
    found = without_a_store(compare(old, code.schema, code.locations, code.readable), old, code.schema)
    show_comparison(found, options.json)
    if not (options.json or found.mismatches or found.additions or found.warnings):
        print(f"domain {code.schema.domain} stores what {options.file} says")
    return DONE


def show_comparison(found: Comparison, as_json: bool) -> None:
    """Print each difference on a line of its own."""
    for one in found.mismatches:
        place = f"{one.location}: " if one.location else ""
        text = f"{place}{one.title} {one.problem}; {one.advice}"
        print(json_line({"unreadable": one.name, "kind": one.kind, "text": text}) if as_json else f"! {text}")
    for text in found.warnings:
        print(json_line({"warning": text}) if as_json else f"? {text}")
    for text in found.additions:
        print(json_line({"new": text}) if as_json else f"+ {text}")
