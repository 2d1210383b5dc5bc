"""Commands that have commands of their own, such as `onewriter keys show`. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from actors.cli.command_parser import CommandParser

__all__ = ["run_subcommand"]


def run_subcommand(
    program: str,
    command: str,
    description: str,
    commands: Mapping[str, tuple[str, str]],
    arguments: Sequence[str] | None,
    *,
    examples: Sequence[tuple[str, str]],
    exit_codes: Mapping[str, str],
) -> int:
    """Hand the arguments after the name of one of `commands` to its `main`, and return the exit code.

    Each has its module, which is imported only if it is called, and its text in the help. `arguments` are
    those of the process for None.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in commands:
        code: int = import_module(commands[given[0]][0]).main(given[1:], program)
        return code
    parser = CommandParser(program, command, description, examples=examples, exit_codes=exit_codes)
    parser.add_commands({name: text for name, (_, text) in commands.items()})
    parser.parse_args(given)
    return 0
