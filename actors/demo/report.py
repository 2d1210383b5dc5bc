"""What the demo says: headings, tables and a progress bar, with rich where it is installed, else as plain lines.

Used from the thread that runs the demo only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

Moved = Callable[[int, str], None]


class Report(Protocol):
    """Where the demo writes to."""

    def heading(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def good(self, text: str) -> None: ...

    def bad(self, text: str) -> None: ...

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is text, the others are figures, aligned to the right."""

    def progress(self, label: str, total: int) -> AbstractContextManager[Moved]:
        """A bar over `total` steps; inside, call `moved(steps so far, note)`."""


def open_report(out: TextIO = sys.stdout) -> Report:
    """A report on `out`: rich's if rich is installed, else plain text."""
    return RichReport(out) if find_spec("rich") else PlainReport(out)


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

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        self.say(f"\n{title}")
        head = (columns, ["-" * width for width in widths]) if any(columns) else ()
        for row in (*head, *rows):
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            self.say("  " + "  ".join(cells).rstrip())

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Moved]:
        step = max(1, total // 10)
        said = 0

        def moved(done: int, note: str) -> None:
            nonlocal said
            if done // step > said // step:
                said = done
                self.say(f"{done:,} of {total:,} {label}, {note}")

        yield moved


class RichReport:
    """The same with colours, ruled tables and a bar that moves."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out, highlight=False)

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{text}", align="left")

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def good(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True, style="bold green")

    def bad(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True, style="bold red")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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
            table.add_row(*row)
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
