"""`onewriter corrections STORE`: lists the corrections of a store, also while it is in use. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from storage import Codec, NotAStore, OnewriterError
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    (
        "{program} correct shop --domain shop --through actors.demo.corrected_prices:a_cent_more "
        "--who Ann --why 'listed a cent too low'",
        "correct something in it",
    ),
    ("{program} corrections shop", "who changed what, and why"),
    ("{program} corrections shop --json", "the same, with all positions"),
)
EXIT_CODES = {
    "0": "they are listed, if there are any",
    "1": "the store can't be read; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}
MOST_POSITIONS = 10
"""So many are shown in a line."""


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """List the corrections and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "corrections",
        "List the corrections of a store: who changed which events, when, and why. Another process may have "
        "the store open. Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each correction")
    options = parser.parse_args(arguments)
    try:
        with LogFollower.open(options.store, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            for one in log.corrections():
                if options.json:
                    print(json_line({"correction": one}), flush=True)
                    continue
                shown = ", ".join(f"{position:,}" for position in one.positions[:MOST_POSITIONS])
                more = ", ..." if one.count > MOST_POSITIONS else ""
                # Forgetting somebody changes no event.
                events = f"; {one.count:,} events, at {shown}{more}" if one.count else ""
                print(
                    f"{one.number}  {one.time:%Y-%m-%d %H:%M:%S} UTC  {one.who}: {one.why}{events}",
                    flush=True,
                )
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    return DONE
