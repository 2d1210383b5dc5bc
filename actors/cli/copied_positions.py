"""`onewriter positions COPY POSITION...`: where events of the original are in a copy. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgpack

from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.migration.copy_progress import ABOUT
from actors.migration.position_mapping import PositionMapping
from storage import Codec, NotAStore, OnewriterError
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} copy shop small --through actors.demo.anonymous:without_carts --json", "and a copy of it"),
    ("{program} positions small 1000 1001", "two positions of the original"),
    ("{program} positions small 1000 1001 --json", "the same, for a program"),
)
EXIT_CODES = {
    "0": "done",
    "1": "the store can't be read; standard error has the reason",
    "2": "the call was wrong, or the store is not a copy that copy made",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Show positions and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "positions",
        "Show for positions of the original which positions came of them in a copy: none if the event was "
        "dropped, several if it was split. The copy may be in use.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("copy", metavar="COPY", help="the directory of the copy")
    parser.add_argument("positions", metavar="POSITION", nargs="+", type=positive, help="of the original")
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each position")
    options = parser.parse_args(arguments)
    try:
        with LogFollower.open(options.copy, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES) as log:
            about = log.note(ABOUT)
            if about is None:
                raise NotAStore(f"{options.copy} is not a copy: no mapping of positions is in it")
            head = msgpack.unpackb(about)["head"]
            mapping = PositionMapping(log.note, head)
            for position in options.positions:
                if position > head:
                    raise NotAStore(f"the original ended at position {head}, before {position}")
                events = list(mapping.events(position))
                if options.json:
                    print(json_line({"position": position, "events": events}))
                else:
                    print(f"{position}: {', '.join(map(str, events)) or 'dropped'}")
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except OnewriterError as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    return DONE
