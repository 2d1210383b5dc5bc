"""The command line, as `onewriter` and as `python -m actors`. Main thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import describe

__all__ = ["main", "onewriter"]

FAILED, INTERRUPTED = 1, 130


class Command(NamedTuple):
    """Where the `main` of a command is, and what it does."""

    module: str
    text: str


COMMANDS = {
    "demo": Command(
        "actors.demo.run", "run a shop on the whole engine, and check every replica against the log"
    ),
    "repl": Command("actors.repl.program", "give commands and ask queries by hand, or from a file"),
    "backup": Command("actors.cli.backup", "back a store up, also while it is in use"),
    "restore": Command("actors.cli.restore", "make a new store of a backup"),
    "drill": Command("actors.repl.drill", "restore the newest backup for a trial, and report"),
    "rebuild": Command("actors.cli.rebuild", "build a read model again from the log, and show the progress"),
    "skip": Command("actors.cli.skip", "have a stopped read model skip an event"),
    "unskip": Command("actors.cli.unskip", "take that back, and build the model again"),
    "skipped": Command("actors.cli.skipped", "the events that read models skip"),
    "info": Command("actors.cli.info", "what a store holds, and how full its files are"),
    "tenants": Command("actors.cli.tenants", "the stores of a folder of tenants, and moving one away"),
    "verify": Command("actors.cli.verify", "look for damage in the files of a closed store"),
    "correct": Command("actors.cli.correct", "change stored events, as a recorded operation"),
    "forget": Command("actors.cli.forget", "forget people: destroy the keys of their personal fields"),
    "archive": Command("actors.cli.archive", "move events of closed streams to an archive, or plan to"),
    "archives": Command("actors.cli.archives", "the archives of a store, and removing one"),
    "close": Command("actors.cli.close_streams", "close streams: they take no more events"),
    "reopen": Command("actors.cli.reopen_streams", "open closed streams again"),
    "closed": Command("actors.cli.closed_streams", "the streams that are closed, by whom and why"),
    "compact": Command("actors.cli.compact", "rewrite a closed store's files, without what was deleted"),
    "keys": Command("actors.cli.keys", "master keys of personal fields, and the keys that they wrap"),
    "corrections": Command("actors.cli.corrections", "who changed stored events, which and why"),
    "export": Command("actors.cli.export_store", "write a log as lines of JSON, also while it is in use"),
    "schema": Command("actors.cli.schema", "what a domain stores, and whether it reads what is stored"),
    "import": Command("actors.cli.import_store", "make a new store of an export"),
    "adopt": Command("actors.cli.adopt", "tell a copy of a store that it is a store of its own"),
    "copy": Command("actors.cli.copy_store", "copy a store through a function that changes its events"),
    "positions": Command("actors.cli.copied_positions", "show where events of the original are in a copy"),
}
EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store, about ten seconds"),
    ("{program} verify shop", "check its files"),
    ("{program} rebuild catalogue --store shop --domain shop", "build one of its read models again"),
    ("echo 'Cheapest 3' | {program} repl shop --domain shop --json", "ask a query"),
    ("{program} repl --help", "the options of a command"),
)
EXIT_CODES = {
    "0": "done",
    "1": "it failed, or found something wrong",
    "2": "the call was wrong",
    "130": "interrupted (128 and the signal's number for other signals)",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Hand the arguments after a command's name to its `main`, and return the exit code.

    `program` is what it was called by, for messages.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in COMMANDS:
        name, rest = given[0], given[1:]
    else:
        # Help, the version, or an error, mostly: `--` before a command is right, too.
        name, rest = _parser(program).parse_args(given).command, []
    try:
        # Imported only when asked for: each needs things that the others do without.
        code: int = import_module(COMMANDS[name].module).main(rest, program)
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Before the command was ready to end in order, or after that.
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        # Standard output is full, or its reader has closed it and needs no message.
        if not isinstance(error, BrokenPipeError):
            print(describe(error), file=sys.stderr)
        discard_output()
        return FAILED
    return code


def discard_output() -> None:
    """Send what is not written yet nowhere: Python would fail once more to write it at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def onewriter() -> int:
    """The console script; like `python -m`, it also imports from the current directory."""
    if not sys.flags.safe_path:
        sys.path.insert(0, "")
    return main(program="onewriter")


def _parser(program: str) -> CommandParser:
    parser = CommandParser(
        program,
        "",
        "CQRS and event sourcing inside one Python process: the programs that come with the library.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"onewriter {_version()}")
    parser.add_commands({name: command.text for name, command in COMMANDS.items()})
    return parser


def _version() -> str:
    # Imported here: it reads files of metadata with the parser of mails, which no command needs.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("onewriter")
    except PackageNotFoundError:
        return "from a checkout that is not installed"


if __name__ == "__main__":
    sys.exit(main())
