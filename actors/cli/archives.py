"""`onewriter archives STORE`: lists the archives of a store; `archives remove` removes one. Main thread."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from storage import ArchiveRecord, Codec, NotAStore
from storage.files.amounts import size_text
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

SUBCOMMANDS = {"remove": ("actors.cli.archives_remove", "remove one, or show who would lose something")}
EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} close shop cart-250301-1 --who Ann --why 'paid'", "close a stream"),
    ("{program} archive shop --domain shop --apply --who Ann --why 'not needed often'", "archive it"),
    ("{program} archives shop", "which archives there are"),
    ("{program} archives shop --json", "for a program"),
    ("{program} archives remove --help", "removing one"),
)
EXIT_CODES = {
    "0": "they are listed, if there are any",
    "1": "the store can't be read, or the file of an archive is missing; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """List the archives, or have one removed, and return the exit code; see `EXIT_CODES`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in SUBCOMMANDS:
        code: int = import_module(SUBCOMMANDS[given[0]][0]).main(given[1:], program)
        return code
    parser = CommandParser(
        program,
        "archives",
        "List the archives of a store: how many events each has, where its file is, who made it and why. "
        "Another process may have the store open. Changes nothing. `archives remove` removes one.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each archive")
    options = parser.parse_args(given)

    def show() -> int | None:
        with LogFollower.open(
            options.store, Codec(), verify_bytes=DEFAULT_VERIFY_BYTES, archives_path=options.archives_path
        ) as log:
            for one in log.archives():
                print(json_line({"archive": one}) if options.json else _line(one), flush=True)
            problems = log.unavailable_archives()
        for problem in problems:
            print(problem, file=sys.stderr)
        return 1 if problems else None

    return exit_code_of(show, "nothing was changed", (NotAStore,))


def _line(one: ArchiveRecord) -> str:
    removed = ""
    if one.removed_time is not None:
        removed = (
            f"; removed {one.removed_time:%Y-%m-%d %H:%M:%S} UTC by {one.removed_who}: {one.removed_why}"
        )
    return (
        f"{one.number}  {one.state}  {one.events:,} events at positions {one.first:,} to {one.last:,}  "
        f"{size_text(one.bytes)}  {one.file}  {one.time:%Y-%m-%d %H:%M:%S} UTC  {one.who}: {one.why}{removed}"
    )
