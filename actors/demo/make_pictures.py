"""Draws the pictures of the README: what the demo and a session of the shell show, as SVG.

`python -m actors.demo.make_pictures [FOLDER]`. Rich exports the SVG; fonts from elsewhere are left out. Times
and rates are those of the run. Main thread.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from actors import System
from actors.cli.temporary_directory import temporary_directory
from actors.demo.report import Cell, Moved, Report, RichReport
from actors.demo.run import demonstrate, parse
from actors.demo.shop import shop
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.render import RichOutput
from actors.repl.shell import Shell

__all__ = ["Excerpt", "demo_picture", "main", "shell_picture"]

WIDTH = 104
"""Columns of a picture."""
PARTS = ("One product update on its way", "Do the replicas agree with the log?", "In short")
"""The headings of the demo's parts that are in the picture."""
SESSION = (
    'ListProduct lamp "Desk lamp" lighting 3490 --id=first',
    "RestockProduct lamp 5 --id=second",
    "Cheapest 3",
    ":kill replica-2",
    ":replicas",
    ":log --type=ProductRestocked",
)


class Excerpt:
    """Passes on to a report what comes under some headings, without progress."""

    def __init__(self, report: Report, headings: Sequence[str]) -> None:
        self._report = report
        self._headings = headings
        self._wanted = False

    def heading(self, text: str) -> None:
        self._wanted = text in self._headings
        if self._wanted:
            self._report.heading(text)

    def say(self, text: str) -> None:
        if self._wanted:
            self._report.say(text)

    def good(self, text: str) -> None:
        if self._wanted:
            self._report.good(text)

    def bad(self, text: str) -> None:
        if self._wanted:
            self._report.bad(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        if self._wanted:
            self._report.table(title, columns, rows)

    def progress(self, label: str, total: int) -> AbstractContextManager[Moved]:  # noqa: ARG002
        return silent()


@contextmanager
def silent() -> Iterator[Moved]:
    """Progress that is not shown."""
    yield lambda _done, _note: None


def demo_picture(*arguments: str) -> str:
    """The SVG of a few parts of the demo, run with these arguments. Raises RuntimeError if a check fails."""
    console = recorder()
    typed(console, "$", " ".join(("onewriter", "demo", *arguments)))
    report = Excerpt(RichReport(sys.stdout, console, wrap=True), PARTS)
    if demonstrate(parse(arguments), report) != 0:
        raise RuntimeError(f"the demo failed:\n{console.export_text()}")
    return svg(console, "demo")


def shell_picture(statements: Sequence[str] = SESSION) -> str:
    """The SVG of a session with these statements, in a store of its own."""
    console = recorder()
    typed(console, "$", "onewriter repl")
    with (
        temporary_directory("onewriter-pictures-") as directory,
        System.open(Path(directory) / "store", shop) as system,
    ):
        shell = Shell(system, RichOutput(console), META_COMMANDS)
        for statement in statements:
            typed(console, "shop>", statement)
            shell.execute(statement)
            # What is shown next has arrived at every replica.
            system.wait_applied()
    return svg(console, "repl")


def recorder() -> Console:
    """A console that keeps what is printed, and shows it nowhere."""
    return Console(
        record=True,
        file=io.StringIO(),
        width=WIDTH,
        force_terminal=True,
        highlight=False,
        legacy_windows=False,
    )


def svg(console: Console, command: str) -> str:
    """What the console has recorded, as it looks in a window of that title."""
    picture = console.export_svg(title=f"onewriter {command}", unique_id=command)
    return re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)


def typed(console: Console, prompt: str, text: str) -> None:
    """A line as it was typed after a prompt."""
    console.print(Text.assemble((f"{prompt} ", "bold cyan"), (text, "bold")))


def main(arguments: Sequence[str]) -> None:
    """Write `demo.svg` and `shell.svg` into a folder, else into `docs`."""
    folder = Path(arguments[0] if arguments else "docs")
    for name, picture in (("demo", demo_picture("--limit", "2000")), ("shell", shell_picture())):
        (folder / f"{name}.svg").write_text(picture)
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
