"""`onewriter closed STORE`: lists the closed streams of a store, also while it is in use. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.writer.closed_streams import closed_streams
from storage import Codec, NotAStore
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} close shop cart-250301-1 --who Ann --why 'paid'", "close a stream"),
    ("{program} closed shop", "by whom, why and when"),
    ("{program} closed shop cart- --json", "of the streams whose names begin so, for a program"),
)
EXIT_CODES = {
    "0": "they are listed, if there are any",
    "1": "the store can't be read; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}
PAGE = 1_000


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """List the closed streams and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "closed",
        "List the closed streams of a store, by name: by whom, when and why. Another process may have the "
        "store open. Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="how their names begin")
    parser.add_argument("--limit", type=positive, metavar="N", help="so many at most; all unless given")
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each stream")
    options = parser.parse_args(arguments)

    def show() -> None:
        left = options.limit
        after = ""
        with LogFollower.open(options.store, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            while left != 0:
                found = closed_streams(log, options.prefix, after, PAGE if left is None else min(left, PAGE))
                for one in found:
                    print(
                        json_line({"closed": one})
                        if options.json
                        else f"{one.stream}  {one.time:%Y-%m-%d %H:%M:%S} UTC  {one.who}: {one.why}",
                        flush=True,
                    )
                if not found:
                    return
                after = found[-1].stream
                left = None if left is None else left - len(found)

    return exit_code_of(show, "nothing was changed", (NotAStore,))
