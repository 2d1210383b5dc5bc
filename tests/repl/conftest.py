"""A session over a running system, line by line."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO, StringIO

import pytest

from actors import System
from actors.repl import program
from actors.repl.commands.registered import META_COMMANDS
from actors.repl.commands.watch import end_watches
from actors.repl.render import PlainOutput
from actors.repl.shell import Shell

Shown = Callable[[System, str], tuple[str, str]]


@pytest.fixture
def shown() -> Shown:
    """Runs lines as a piped session does; returns what it printed, and its errors."""

    def run(system: System, text: str) -> tuple[str, str]:
        output, errors = StringIO(), StringIO()
        shell = Shell(system, PlainOutput(output, errors), META_COMMANDS)
        program.run_lines(shell, BytesIO(text.encode()))
        end_watches(shell)
        return output.getvalue(), errors.getvalue()

    return run
