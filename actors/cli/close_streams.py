"""`onewriter close STORE STREAM ...`: closes streams, which take no more events. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.stream_change import EXIT_CODES, change_streams
from actors.writer.closed_streams import close_streams

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} close shop cart-250301-1 --who Ann --why 'paid'", "it takes no more events"),
    ("{program} closed shop", "which streams are closed, and why"),
    ("{program} reopen shop cart-250301-1 --who Ann --why 'sent back'", "open it again"),
    (
        "echo cart-250301-2 > carts.txt; {program} close shop --from carts.txt --who Ann --why 'paid'",
        "each line of a file is a stream",
    ),
)


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Close streams and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "close",
        "Close streams: a command that would add an event to one is refused from then on. Reading goes on. "
        "Who, why and when are kept. No other process may have the store open for writing; in a running "
        "program, System.close_streams does the same. docs/retention.md says more.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    return change_streams(parser, close_streams, "closed", arguments)
