"""Where the session writes to: plain aligned text, or rich's tables on a terminal.

Used by the session's thread and by those of its watches; each call writes as a whole.
"""

from __future__ import annotations

import sys
import threading
from typing import Protocol, TextIO

from actors.repl.tables import Table

__all__ = ["Output", "PlainOutput", "RichOutput", "printable"]


class Output(Protocol):
    """What is shown; `error` says what went wrong in one line."""

    def say(self, text: str) -> None: ...

    def error(self, text: str) -> None: ...

    def table(self, table: Table, title: str = "") -> None:
        """A table, with a line above it."""


class PlainOutput:
    """Plain text to `out`, errors to `errors`."""

    def __init__(self, out: TextIO, errors: TextIO) -> None:
        self._out = out
        self._errors = errors
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            print("\n".join(map(printable, text.split("\n"))), file=self._out, flush=True)

    def error(self, text: str) -> None:
        with self._lock:
            print(printable(text), file=self._errors, flush=True)

    def table(self, table: Table, title: str = "") -> None:
        lines = [title] if title else []
        cells = [[printable(cell) for cell in row] for row in (table.columns, *table.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in (cells[0], ["-" * width for width in widths], *cells[1:]):
            shown = [
                cell.rjust(width) if number in table.figures else cell.ljust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(shown).rstrip())
        self.say("\n".join(lines))


class RichOutput:
    """The same with rich, on the terminal that `sys.stdout` is at that moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        self._print("\n".join(map(printable, text.split("\n"))))

    def error(self, text: str) -> None:
        self._print(printable(text), "bold red")

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._show(Text(text, style))

    def table(self, table: Table, title: str = "") -> None:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, column in enumerate(table.columns):
            right = number in table.figures
            made.add_column(Text(printable(column)), justify="right" if right else "left", no_wrap=right)
        for row in table.rows:
            made.add_row(*(Text(printable(cell)) for cell in row))
        self._show(*([Text(printable(title), "bold")] if title else []), made)

    def _show(self, *parts: object) -> None:
        from rich.console import Console

        # While a line is being edited, prompt_toolkit stands in for sys.stdout and keeps its line below.
        with self._lock:
            console = Console(file=sys.stdout, highlight=False, force_terminal=True)
            for part in parts:
                console.print(part)


def printable(text: str) -> str:
    """Text in one line that moves no cursor: what can't be printed is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
