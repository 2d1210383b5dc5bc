"""`onewriter adopt STORE`: tells a copy of a store that it is a store of its own. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED
from actors.cli.json_values import json_line
from actors.kernel.delivery_marks import MARKS_FILE
from actors.replication.replicas_folder import REPLICAS
from actors.runtime.store_identity import IDENTITY_FILE, StoreIdentity, check_identity, note_end
from storage import EventLog, NotAStore, OnewriterError
from storage.codec.codec import Codec

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("cp -a shop copied", "a copy does not act on the world"),
    ("{program} adopt copied", "from now on it does, as a store of its own"),
)
EXIT_CODES = {
    "0": "it is a store of its own, now or already before",
    "1": "it failed, or a process has the store open; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Adopt a copy and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "adopt",
        "Tell a copy of a store that it is a store of its own. Its process managers run from the next "
        "opening on: timers that are due fire, effects that wait are delivered, and consumers deliver. If "
        "the original goes on, too, both do. No process may have the store open.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args(arguments)
    try:
        siblings = [REPLICAS, MARKS_FILE, IDENTITY_FILE]
        with EventLog.open(Path(options.store), Codec(), create=False, siblings=siblings) as log:
            before = StoreIdentity.read(log)
            check_identity(log, adopt=True)
            after = StoreIdentity.read(log)
            note_end(log)
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (OnewriterError, OSError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    assert after is not None
    former = () if before is None else before.adoptions
    adopted = len(after.adoptions) > len(former)
    if options.json:
        print(json_line({"adopted": adopted, "id": after.id, "adoptions": after.adoptions}))
    elif adopted:
        print(f"{options.store} is a store of its own now: {after.adoptions[-1].reason}")
    else:
        print(f"{options.store} is no copy; nothing was changed")
    return DONE
