"""`onewriter keys new|show|rotate`: master keys, and the key store of a store. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM
from actors.cli.subcommands import run_subcommand

__all__ = ["main"]

SUBCOMMANDS = {
    "new": ("actors.cli.keys_new", "make a master key in a file of its own"),
    "show": ("actors.cli.keys_show", "whether a master key opens a key store, and how many keys it has"),
    "rotate": ("actors.cli.keys_rotate", "wrap all keys again, with another master key"),
}
EXAMPLES = (
    ("{program} keys new next.key", "a master key; keep a copy apart from the store"),
    ("{program} keys show shop --master-key master.key", "does it open the store's keys?"),
    ("{program} keys rotate shop --master-key master.key --new-master-key next.key", "exchange it"),
)
EXIT_CODES = {"0": "done", "1": "it failed; standard error has the reason", "2": "the call was wrong"}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Hand the arguments after the name of a command to its `main`, and return the exit code."""
    return run_subcommand(
        program,
        "keys",
        "The keys of personal fields, which are stored encrypted. docs/forgetting.md has the whole story.",
        SUBCOMMANDS,
        arguments,
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
