"""`onewriter reopen STORE STREAM ...`: opens closed streams again. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.close_streams import EXAMPLES
from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.stream_change import EXIT_CODES, change_streams
from actors.writer.closed_streams import reopen_streams

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Open streams again and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "reopen",
        "Open closed streams again, so that commands may add events to them. Who, why and when are kept. No "
        "other process may have the store open for writing; in a running program, System.reopen_streams does "
        "the same.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    return change_streams(parser, reopen_streams, "opened_again", arguments)
