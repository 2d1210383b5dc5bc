"""`onewriter keys show STORE`: whether a master key opens a key store, and what is in it. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys, key_folder, required_master_key
from actors.cli.program_end import exit_code_of
from actors.cli.store_directory import require_store
from storage.crypto.key_store import KeyStore
from storage.crypto.master_key import load_master_key

__all__ = ["main"]

EXAMPLES = (
    ("{program} keys show shop --master-key master.key", "does it open the store's keys?"),
    ("{program} keys show shop --master-key master.key --json", "for a program"),
)
EXIT_CODES = {
    "0": "the master key opens the key store",
    "1": "it does not, or the key store is missing or damaged; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Show a key store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "keys show",
        "Check that a master key opens the key store of a store, and that each key in it can be read. A "
        "process may have the store open.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_keys(parser)
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args(arguments)

    def show() -> None:
        require_store(options.store)
        master = load_master_key(required_master_key(options))
        store = KeyStore.open(key_folder(options), master, readonly=True)
        try:
            store.check()
            counts, waiting = store.counts(), store.destroying()
        finally:
            store.close()
        if options.json:
            print(json_line({"key_store": str(store.path), "id": store.id, **counts, "unrecorded": waiting}))
            return
        print(f"{store.path}: {counts['keys']:,} keys, {counts['destroyed']:,} destroyed")
        for subject in waiting:
            print(f"subject {subject!r} is forgotten at the next opening of the store")

    return exit_code_of(show, "nothing was changed")
