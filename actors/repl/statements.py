"""Statements of one or more lines: an open bracket continues in the next line. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.cli.errors import Incomplete, ParseError
from actors.repl.parser import parse

__all__ = ["is_open", "statements"]


def is_open(text: str) -> bool:
    """Whether the statement goes on in the next line."""
    try:
        parse(text)
    except Incomplete:
        return True
    except ParseError:
        pass
    return False


def statements(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines put together to statements, each with the number of its first line, from 1.

    One whose brackets are still open at the end comes as it is, for `parse` to refuse.
    """
    first, held = 0, ""
    for number, line in enumerate(lines, 1):
        first = first or number
        held = f"{held}\n{line}" if held else line
        if not is_open(held):
            yield first, held
            first, held = 0, ""
    if held:
        yield first, held
