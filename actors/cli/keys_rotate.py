"""`onewriter keys rotate STORE`: wraps all keys of a key store with another master key. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys, key_folder, required_master_key
from actors.cli.program_end import exit_code_of
from actors.cli.store_directory import require_store
from storage.crypto.key_files import compact_keys
from storage.crypto.key_store import KeyStore
from storage.crypto.master_key import load_master_key

__all__ = ["main"]

EXAMPLES = (
    ("{program} keys new next.key", "the next master key"),
    ("{program} keys rotate shop --master-key master.key --new-master-key next.key", "exchange it"),
)
EXIT_CODES = {
    "0": "all keys are wrapped with the new master key, and no file has what the old one opens",
    "1": "it failed, and the old master key is still the right one; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
    "130": "interrupted; keys show says which master key is the right one",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Exchange the master key and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "keys rotate",
        "Wrap all keys of a key store again, under another master key: all of them or none. The store's "
        "events stay as they are. No process may have the store open. Copies of the key store that were made "
        "before still open with the old master key.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    add_keys(parser)
    parser.add_argument("--new-master-key", required=True, metavar="FILE", help="the next master key")
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args(arguments)

    def rotate() -> None:
        require_store(options.store)
        master = load_master_key(required_master_key(options))
        following = load_master_key(options.new_master_key)
        store = KeyStore.open(key_folder(options), master)
        try:
            count = store.rotate(following)
        finally:
            store.close()
        # What the former master key opens is in free pages now.
        compact_keys(store.path)
        if options.json:
            print(json_line({"key_store": str(store.path), "keys": count}))
        else:
            print(f"{count:,} keys are wrapped with {options.new_master_key}")

    return exit_code_of(rotate, EXIT_CODES["130"].partition("; ")[2])
