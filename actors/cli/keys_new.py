"""`onewriter keys new FILE`: makes a master key. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from storage.crypto.master_key import new_key_file

__all__ = ["main"]

EXAMPLES = (
    ("{program} keys new master.key", "a file that only you may read"),
    ("{program} keys new another.key --json", "for a program"),
)
EXIT_CODES = {
    "0": "it is made, and on disk",
    "1": "it failed, or something is at the path; standard error has the reason",
    "2": "the call was wrong",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Make a master key and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "keys new",
        "Make a random master key in a file. Who has it and the key store reads personal fields; without it "
        "nobody does, so keep a copy, apart from the store and its backups.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("file", metavar="FILE", help="the file to make")
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args(arguments)

    def make() -> None:
        path = new_key_file(options.file)
        print(json_line({"master_key": str(path)}) if options.json else f"{path} holds a new master key")

    return exit_code_of(make, "the file may be there, and is no use without its whole text")
