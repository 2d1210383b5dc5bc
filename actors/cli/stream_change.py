"""What `onewriter close` and `onewriter reopen` have in common. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.cli.archive_options import add_record, checked_record
from actors.cli.command_parser import CommandParser
from actors.cli.errors import CommandLineError
from actors.cli.given_names import add_names, given_names
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.store_directory import require_store
from actors.errors import UnknownStream
from actors.kernel.delivery_marks import MARKS_FILE
from actors.replication.replicas_folder import REPLICAS
from actors.retention.stream_closing import StreamChange, change_log
from actors.runtime.store_identity import IDENTITY_FILE
from storage import EventLog
from storage.codec.codec import Codec

__all__ = ["EXIT_CODES", "change_streams"]

SHOWN = 10
"""So many names of streams are in an error."""
EXIT_CODES = {
    "0": "done; streams that were so already stay as they are",
    "1": "it failed, or a process has the store open; standard error has the reason",
    "2": "the call was wrong, or there is no such store or stream",
    "130": "interrupted; the command closed says which streams are closed",
}


def change_streams(
    parser: CommandParser,
    change: StreamChange,
    done: str,
    arguments: Sequence[str] | None,
    exit_codes: Mapping[str, str] = EXIT_CODES,
) -> int:
    """Do what a command is for, and return its exit code; `done` is the word for what happened to streams."""
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_names(parser, "stream", "the name of a stream")
    add_record(parser)
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    options = parser.parse_args(arguments)

    def work() -> None:
        checked_record(options)
        names = given_names(options, "stream")
        require_store(options.store)
        siblings = [REPLICAS, MARKS_FILE, IDENTITY_FILE]
        with EventLog.open(Path(options.store), Codec(), create=False, siblings=siblings) as log:
            try:
                changed = change_log(log, change, names, options.who, options.why)
            except UnknownStream as error:
                raise CommandLineError(_unknown(parser, options.store, error.streams)) from error
        already = len(dict.fromkeys(names)) - len(changed)
        if options.json:
            print(json_line({done: changed, "already": already}), flush=True)
        else:
            before = f"; {already:,} already before" if already else ""
            print(f"{len(changed):,} streams {done.replace('_', ' ')}{before}", flush=True)

    return exit_code_of(work, exit_codes["130"].partition("; ")[2])


def _unknown(parser: CommandParser, store: str, streams: Sequence[str]) -> str:
    shown = ", ".join(map(repr, streams[:SHOWN]))
    more = f" and {len(streams) - SHOWN:,} more" if len(streams) > SHOWN else ""
    program = parser.prog.rpartition(" ")[0]
    return (
        f"there is no stream {shown}{more}, so nothing was changed; `{program} repl {store} --domain "
        "MODULE:ATTRIBUTE` shows the names of streams with :log"
    )
