"""`onewriter import FILE TARGET`: makes a new store of an export. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED, INTERRUPTED
from actors.cli.json_values import json_line
from actors.cli.progress_lines import ProgressLines
from storage import NotAStore, OnewriterError
from storage.transfer.import_log import Import

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} export shop shop.jsonl", "export it"),
    ("{program} import shop.jsonl shop-again", "the same store again, verified"),
    ("{program} export shop | {program} import - shop-copy --json", "without a file between"),
)
EXIT_CODES = {
    "0": "the new store is complete, and was verified",
    "1": "it failed; standard error has the reason and the line, and there is no new store",
    "2": "the call was wrong, the file can't be read, or something is at TARGET already",
    "130": "interrupted; there is no new store",
}
STANDARD_INPUT = "-"


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Import a file and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "import",
        "Make a new store of an export of a whole one: with the same positions, versions, ids and times, the "
        "same commands known, and the progress of consumers and process managers. It is another history from "
        "then on. The new store is read back and compared with the export's digest before it is there.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("file", metavar="FILE", help="what export wrote, or - for standard input")
    parser.add_argument("target", metavar="TARGET", help="the directory of the new store; there is none yet")
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)
    progress = ProgressLines("imported", options.json)
    try:
        # A descriptor that stays open, or a path; and a line ends with a newline alone.
        with open(
            0 if options.file == STANDARD_INPUT else options.file,
            encoding="utf-8",
            newline="\n",
            closefd=options.file != STANDARD_INPUT,
        ) as file:
            work = Import(file, options.target, progress)
            work.run()
    except NotAStore as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except OSError as error:
        print(f"{options.file} cannot be read: {error.strerror}", file=sys.stderr)
        return BAD_USE
    except (OnewriterError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; there is no new store", file=sys.stderr)
        return INTERRUPTED
    _report(work, options.target, options.json)
    return DONE


def _report(work: Import, target: str, as_json: bool) -> None:
    if as_json:
        document = {
            "imported": work.events,
            "commands": work.commands,
            "notes": work.notes,
            "types": dict(sorted(work.types.items())),
            "digest": work.digest,
            "history_id": work.history_id,
        }
        print(json_line(document), flush=True)
        return
    print(
        f"{target} has {work.events:,} events, {work.commands:,} commands beside them and {work.notes:,} "
        f"notes; read back with the export's digest {work.digest}",
        flush=True,
    )
