"""`onewriter compact STORE`: leaves nothing in a store's files that was deleted. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.cli.store_directory import require_store
from actors.runtime.compaction import compact_store

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} compact shop", "rewrite its files"),
)
EXIT_CODES = {
    "0": "no file of the store has what was deleted",
    "1": "it failed, or a process has the store open; standard error has the reason",
    "2": "the call was wrong, or there is no such store",
    "130": "interrupted; the store is whole, and can be compacted again",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Compact a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "compact",
        "Rewrite the log of a store, without what was deleted, and remove its replicas, which the next "
        "opening fills from the log. Old files are overwritten before they are removed: after forgetting "
        "somebody nothing of them is left in free pages. No process may have the store open, for reading "
        "neither. Needs as much free disk as the log.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument("--keys-path", metavar="FOLDER", help="the key store, if it is not in the store")
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)

    def compact() -> None:
        require_store(options.store)
        progress = ProgressLines("compacted", options.json, unit="bytes")
        done = compact_store(options.store, keys_path=options.keys_path, progress=progress)
        if options.json:
            document = {
                "compacted": options.store,
                "bytes_before": done.before,
                "bytes_after": done.after,
                "replica_bytes_removed": done.replicas,
            }
            print(json_line(document), flush=True)
            return
        print(
            f"the log has {done.after:,} bytes, and had {done.before:,}; replicas of {done.replicas:,} bytes "
            "are removed, and filled again by the next opening",
            flush=True,
        )

    return exit_code_of(compact, EXIT_CODES["130"].partition("; ")[2])
