"""How the command line reads arguments: errors of one line, help with examples. Main thread."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from typing import NoReturn, TypeVar

__all__ = ["PROGRAM", "CommandParser", "argument_type", "moment", "positive", "whole"]

Value = TypeVar("Value")

PROGRAM = "python -m actors"
"""What the command line was called by, where the caller does not say otherwise."""

WIDTH = 100
"""Columns of a description; argparse leaves it as it is, for the sake of the examples."""


class CommandParser(argparse.ArgumentParser):
    """An argparse parser whose errors take one line, and whose help ends with examples and exit codes."""

    def __init__(
        self,
        program: str,
        command: str,
        description: str,
        *,
        examples: Sequence[tuple[str, str]],
        exit_codes: Mapping[str, str],
    ) -> None:
        """`program` is what the command line was called by.

        Each example is a line for a shell, with `{program}` where the program is called, and what it does.
        """
        lines = [(line.format(program=program), text) for line, text in examples]
        super().__init__(
            prog=f"{program} {command}".strip(),
            description=textwrap.fill(description, WIDTH),
            epilog=f"{_listed('examples', lines, '# ')}\n\n{_listed('exit codes', exit_codes.items())}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_commands(self, texts: Mapping[str, str]) -> None:
        """Have the first argument be one of these commands, each with its text in the help."""
        commands = self.add_subparsers(
            title="commands",
            dest="command",
            metavar="COMMAND",
            required=True,
            parser_class=argparse.ArgumentParser,
        )
        for name, text in texts.items():
            commands.add_parser(name, help=text, add_help=False)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call in one line to standard error, and exit with 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


def argument_type(form: str) -> Callable[[Callable[[str], Value]], Callable[[str], Value]]:
    """Have a function be the `type` of an argument: after its ValueError the text "is not" this `form`.

    argparse itself would say the name of the function.
    """

    def decorate(read: Callable[[str], Value]) -> Callable[[str], Value]:
        @wraps(read)
        def reading(text: str) -> Value:
            try:
                return read(text)
            except ValueError:
                raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from None

        return reading

    return decorate


@argument_type("a whole number")
def positive(text: str) -> int:
    """An int from 1, as the `type` of an argument."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


@argument_type("a whole number")
def whole(text: str) -> int:
    """An int from 0, as the `type` of an argument."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {number}")
    return number


@argument_type("a time such as 2026-12-01T12:00:00Z")
def moment(text: str) -> datetime:
    """A time with a zone, as the `type` of an argument."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; for UTC append a Z")
    return time


def _listed(title: str, lines: Iterable[tuple[str, str]], mark: str = "") -> str:
    pairs = list(lines)
    width = max(len(left) for left, _ in pairs)
    return "\n".join([f"{title}:", *(f"  {left.ljust(width)}  {mark}{text}" for left, text in pairs)])
