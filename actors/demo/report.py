"""What the demo shows: headings, tables and progress; as plain lines, with rich, or as JSON.

Used from the thread that runs the demo only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

from actors.cli.json_values import json_line

__all__ = ["Cell", "Duration", "JsonReport", "PlainReport", "Report", "RichReport", "open_report"]

Moved = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds, which people read in milliseconds."""

    seconds: float

    def __str__(self) -> str:
        return f"{self.seconds * 1000:,.2f} ms"


Cell = str | int | float | Decimal | Duration
"""The text of a table's cell; floats and Decimals are shown with two digits after the point."""


class Report(Protocol):
    """Where the demo writes to."""

    def heading(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def good(self, text: str) -> None: ...

    def bad(self, text: str) -> None: ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """A table; the first column is text, the others are figures, aligned to the right."""

    def progress(self, label: str, total: int) -> AbstractContextManager[Moved]:
        """A bar over `total` steps; inside, call `moved(steps so far, note)`."""


def open_report(as_json: bool, out: TextIO = sys.stdout) -> Report:
    """A report on `out`: JSON, or for people rich's if rich is installed, else plain text."""
    if as_json:
        return JsonReport(out)
    return RichReport(out) if find_spec("rich") else PlainReport(out)


def shown(cell: Cell) -> str:
    """The text of a cell, for people."""
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:,.2f}" if isinstance(cell, float | Decimal) else str(cell)


def tenths(total: int) -> Callable[[int], bool]:
    """A function of the steps done so far: whether another tenth of all is done."""
    step, last = max(1, total // 10), 0

    def reached(done: int) -> bool:
        nonlocal last
        if done // step <= last // step:
            return False
        last = done
        return True

    return reached


class PlainReport:
    """Plain text; progress as a line for each tenth of the way."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def heading(self, text: str) -> None:
        self.say(f"\n{text}\n{'=' * len(text)}")

    def say(self, text: str) -> None:
        print(text, file=self._out, flush=True)

    def good(self, text: str) -> None:
        self.say(text)

    def bad(self, text: str) -> None:
        self.say(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        lines = [[shown(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
        self.say(f"\n{title}")
        head = (columns, ["-" * width for width in widths]) if any(columns) else ()
        for row in (*head, *lines):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            self.say("  " + "  ".join(cells).rstrip())

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Moved]:
        reached = tenths(total)

        def moved(done: int, note: str) -> None:
            if reached(done):
                self.say(f"{done:,} of {total:,} {label}, {note}")

        yield moved


class JsonReport:
    """A JSON document a line: `heading`, `text` with `ok` where it is a finding, `table`, or `progress`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def _print(self, **document: Any) -> None:
        print(json_line(document), file=self._out, flush=True)

    def heading(self, text: str) -> None:
        self._print(heading=text)

    def say(self, text: str) -> None:
        self._print(text=text)

    def good(self, text: str) -> None:
        self._print(text=text.strip(), ok=True)

    def bad(self, text: str) -> None:
        self._print(text=text.strip(), ok=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        cells = [[cell.seconds if isinstance(cell, Duration) else cell for cell in row] for row in rows]
        self._print(table=title, columns=columns, rows=cells)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Moved]:
        reached = tenths(total)

        def moved(done: int, note: str) -> None:
            if reached(done):
                self._print(progress=done, total=total, unit=label, note=note)

        yield moved


class RichReport:
    """The same with colours, ruled tables and a bar that moves."""

    def __init__(self, out: TextIO, console: Any = None, wrap: bool = False) -> None:
        """`console` is rich's, in place of one on `out`; `wrap` breaks long lines at its width."""
        from rich.console import Console

        self._console = console or Console(file=out, highlight=False)
        self._soft_wrap = not wrap

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left")

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=self._soft_wrap)

    def good(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=self._soft_wrap, style="bold green")

    def bad(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=self._soft_wrap, style="bold red")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        from rich import box
        from rich.table import Table

        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            show_header=any(columns),
        )
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=number > 0)
        for row in rows:
            table.add_row(*map(shown, row))
        self._console.print(table)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Moved]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns: list[Any] = [
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(label),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        ]
        with Progress(*columns, console=self._console, refresh_per_second=4) as bar:
            task = bar.add_task(label, total=total, note="")

            def moved(done: int, note: str) -> None:
                bar.update(task, completed=done, note=note)

            yield moved
