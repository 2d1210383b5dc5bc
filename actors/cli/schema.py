"""`onewriter schema show|diff|check`: what a domain stores, and whether code reads what other code wrote.

Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM
from actors.cli.subcommands import run_subcommand

__all__ = ["main"]

SUBCOMMANDS = {
    "show": ("actors.cli.schema_show", "what a domain stores, as text or as JSON for a file"),
    "diff": ("actors.cli.schema_diff", "what a domain has that a file has not, and the other way round"),
    "check": ("actors.cli.schema_check", "whether a domain reads what a file's code, or a store, holds"),
}
EXAMPLES = (
    ("{program} schema show shop --json > shop.schema.json", "a file for the repository"),
    ("{program} schema diff shop.schema.json shop", "what changed since"),
    ("{program} schema check shop.schema.json --domain shop", "a gate before deployment"),
)
EXIT_CODES = {"0": "done", "1": "something stored can't be read", "2": "the call was wrong"}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Hand the arguments after the name of a command to its `main`, and return the exit code."""
    return run_subcommand(
        program,
        "schema",
        "The schema of a domain: every class whose values are stored, with its fields and streams, the read "
        "models and the process managers. docs/schema.md says which changes of it can be read.",
        SUBCOMMANDS,
        arguments,
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
