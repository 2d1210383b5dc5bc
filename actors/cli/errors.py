"""The errors of the command line, each of one line. No thread runs this module."""

from __future__ import annotations

from actors.errors import ActorsError, Rejected
from storage.errors import OnewriterError

SHOWN = 60
LONGEST_WORD = 200
LONGEST = 2000


class CommandLineError(ActorsError):
    """A line that can't be carried out as it stands; nothing was done."""


class ParseError(CommandLineError):
    """A line that is not a statement. `column` and `line`, within the statement, count from 1."""

    def __init__(self, text: str, line: int = 1, column: int = 1) -> None:
        self.line = line
        self.column = column
        location = f"column {column}" if line == 1 else f"line {line}, column {column} of the statement"
        super().__init__(f"{location}: {text}")


class Incomplete(ParseError):
    """A statement whose brackets are still open: the next line may complete it."""


class UsageError(CommandLineError):
    """An unknown name or option, or arguments that do not fit."""


class Quit(Exception):
    """The session is to end."""


def short(text: str) -> str:
    """What was typed, as an error repeats it: only its beginning where it is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def last_line(text: str) -> str:
    """The last line of a traceback, which has the error."""
    return (text.strip().splitlines() or [""])[-1]


def describe(error: BaseException) -> str:
    """An error as one line: its class, its code if it has one, its text, which is cut where it has no end."""
    name = type(error).__name__
    if isinstance(error, Rejected):
        name = f"{name} [{error.code}]"
    text = " ".join(short(word) if len(word) > LONGEST_WORD else word for word in str(error).split())
    cause = error.__cause__
    if isinstance(error, OnewriterError) and cause is not None and str(cause) not in text:
        text = f"{text} ({type(cause).__name__}: {' '.join(str(cause).split())})"
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}..."
    return f"{name}: {text}" if text else name
