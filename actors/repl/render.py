"""Where a session writes to: aligned text, rich's tables on a terminal, or JSON.

Used by the session's thread and by those of its watches; each call writes as a whole.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from actors.cli.json_values import json_line
from actors.repl.table import Table

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["JsonOutput", "Output", "PlainOutput", "RichOutput", "printable"]

Part = str | Table
"""Lines of text, or a table."""


class Output(Protocol):
    """Where replies, notes and errors go."""

    def show(self, parts: Sequence[Part], document: Mapping[str, Any]) -> None:
        """A reply: `parts` for people, one below the other, or the same as a JSON document for programs."""

    def note(self, text: str) -> None:
        """A line about the session, which is no reply to a statement."""

    def error(self, text: str) -> None:
        """What went wrong, in one line."""


class PlainOutput:
    """Plain text to `out`, notes and errors to `errors`."""

    def __init__(self, out: TextIO, errors: TextIO) -> None:
        self._out = out
        self._errors = errors
        self._lock = threading.Lock()

    def show(self, parts: Sequence[Part], document: Mapping[str, Any]) -> None:  # noqa: ARG002
        text = "\n".join(_plain_table(part) if isinstance(part, Table) else _lines(part) for part in parts)
        with self._lock:
            print(text, file=self._out, flush=True)

    def note(self, text: str) -> None:
        with self._lock:
            print(_lines(text), file=self._errors, flush=True)

    def error(self, text: str) -> None:
        self.note(printable(text))


class JsonOutput:
    """A JSON document for each reply to `sys.stdout`, one a line; notes and errors to `sys.stderr`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def show(self, parts: Sequence[Part], document: Mapping[str, Any]) -> None:  # noqa: ARG002
        line = json_line(document)
        with self._lock:
            print(line, flush=True)

    def note(self, text: str) -> None:
        with self._lock:
            print(_lines(text), file=sys.stderr, flush=True)

    def error(self, text: str) -> None:
        self.note(printable(text))


class RichOutput:
    """Coloured text and ruled tables, on the terminal that `sys.stdout` is then, or on a given console."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._lock = threading.Lock()

    def show(self, parts: Sequence[Part], document: Mapping[str, Any]) -> None:  # noqa: ARG002
        from rich.text import Text

        shown: list[object] = []
        for part in parts:
            if isinstance(part, Table):
                shown += [Text(printable(part.title), "bold")] if part.title else []
                shown.append(_rich_table(part))
            else:
                shown.append(Text(_lines(part)))
        self._print(shown)

    def note(self, text: str) -> None:
        self.show([text], {})

    def error(self, text: str) -> None:
        from rich.text import Text

        self._print([Text(printable(text), "bold red")])

    def _print(self, shown: Sequence[object]) -> None:
        from rich.console import Console

        # While a line is being edited, prompt_toolkit stands in for sys.stdout and keeps its line below.
        with self._lock:
            console = self._console or Console(file=sys.stdout, highlight=False, force_terminal=True)
            for one in shown:
                console.print(one)


def _plain_table(table: Table) -> str:
    lines = [printable(table.title)] if table.title else []
    cells = [[printable(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in (cells[0], ["-" * width for width in widths], *cells[1:]):
        shown = [
            cell.rjust(width) if number in table.figures else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(shown).rstrip())
    return "\n".join(lines)


def _rich_table(table: Table) -> object:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(table.columns):
        right = number in table.figures
        made.add_column(Text(printable(column)), justify="right" if right else "left", no_wrap=right)
    for row in table.rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    return made


def _lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def printable(text: str) -> str:
    """Text in one line that moves no cursor: what can't be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
