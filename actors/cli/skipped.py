"""`onewriter skipped STORE`: lists events that models skip, also while the store is in use. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.cli.skip_options import TILL
from actors.replication.skipped_events import read_skips
from storage import Codec, NotAStore, OnewriterError
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

EXAMPLES = (
    TILL,
    ("{program} skip till takings 2 --domain actors.demo.till:faulty", "have something skipped"),
    ("{program} skipped till --json", "for a program"),
)
EXIT_CODES = {
    "0": "they are listed",
    "1": "the store can't be read; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """List the skipped events and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "skipped",
        "List the events that read models skip, why and since when. Another process may have the store open. "
        "Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each event")
    options = parser.parse_args(arguments)
    try:
        with LogFollower.open(options.store, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            for one in read_skips(log):
                if options.json:
                    print(json_line({"skipped": one}), flush=True)
                    continue
                reason = f": {one.reason}" * bool(one.reason)
                print(
                    f"{one.model} {one.position:,} since {one.time:%Y-%m-%d %H:%M:%S} UTC{reason}", flush=True
                )
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    return DONE
