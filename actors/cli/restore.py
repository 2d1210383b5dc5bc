"""`onewriter restore BACKUP STORE`: makes a new store of a backup. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from actors.backup.restore import restore
from actors.cli.command_parser import PROGRAM, CommandParser, argument_type, moment, whole
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from storage import NotAStore, Restored

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} backup shop backups", "back it up"),
    ("{program} restore backups shop-restored", "a new store of the newest backup"),
    ("{program} restore backups shop-before --position 700 --json", "as it was at a position"),
    ("{program} restore backups shop-noon --at 2026-12-01T12:00:00Z", "as it was at a moment"),
    ("{program} adopt shop-restored", "from now on it acts on the world"),
)
MISSING = 3
EXIT_CODES = {
    "0": "the new store is complete, verified and on disk",
    "1": "it failed: damage, a point that is not in the backup, a full disk; there is no new store",
    "2": "the call was wrong, or something is at STORE already",
    "3": "as 0, but positions up to that of --expect are missing",
    "130": "interrupted; there is no new store",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Restore a backup and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "restore",
        "Make a new store of a folder of backups, or of the file of a full one: as of the newest backup, or "
        "as it was at a position or a moment. It is verified while it is made, and read back. It has a "
        "history of its own, and does not act on the world until it is adopted: no process manager runs and "
        "no consumer delivers.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "backup", metavar="BACKUP", help="a folder of backups, a file of a full one, or s3://BUCKET/PREFIX"
    )
    parser.add_argument("store", metavar="STORE", help="the directory of the new store; there is none yet")
    points = parser.add_mutually_exclusive_group()
    points.add_argument(
        "--position", type=whole, metavar="N", help="up to the last commit that ends there or before"
    )
    points.add_argument(
        "--at", type=moment, metavar="TIME", help="up to the first commit that is later; ISO 8601 with a zone"
    )
    parser.add_argument(
        "--expect",
        type=_expected,
        metavar="POSITION[,TIME]",
        help="a position that the lost store had, and when it was committed, such as from a receipt: says "
        "how many positions, and seconds, are missing, with exit code 3 if any are",
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="do not read the new store back; checksums are checked"
    )
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)
    progress = ProgressLines("restored", options.json)

    def make() -> int | None:
        done = restore(
            options.backup,
            options.store,
            position=options.position,
            at=options.at,
            verify=not options.no_verify,
            progress=progress,
        )
        missing = None if options.expect is None else _missing(done, *options.expect)
        _report(done, program, options.json, missing)
        return MISSING if missing is not None and missing["positions"] else None

    return exit_code_of(make, "there is no new store", (NotAStore,))


@argument_type("POSITION or POSITION,TIME")
def _expected(text: str) -> tuple[int, datetime | None]:
    position, _, time = text.partition(",")
    return whole(position), moment(time) if time else None


def _missing(done: Restored, position: int, time: datetime | None) -> dict[str, int | float | None]:
    """How many positions and seconds the store ends before what was expected."""
    positions = max(position - done.position, 0)
    if not positions:
        return {"positions": 0, "seconds": 0.0}
    seconds = None if time is None else max((time - done.time).total_seconds(), 0.0)
    return {"positions": positions, "seconds": seconds}


def _report(
    done: Restored, program: str, as_json: bool, missing: dict[str, int | float | None] | None
) -> None:
    if as_json:
        document: dict[str, object] = {"restored": done}
        print(json_line(document if missing is None else document | {"missing": missing}), flush=True)
        return
    of = f", of {done.time:%Y-%m-%d %H:%M:%S} UTC" if done.position else ", before the first event"
    print(
        f"{done.path} ends at position {done.position:,}{of}; restored of "
        f"{done.files:,} {'file' if done.files == 1 else 'files'} in {done.seconds:.1f} s; chain "
        f"{done.position}:{done.chain}",
        flush=True,
    )
    if missing is not None and not missing["positions"]:
        print("nothing of what was expected is missing", flush=True)
    elif missing is not None:
        seconds = missing["seconds"]
        long = "append ,TIME to --expect for seconds" if seconds is None else f"{seconds:.3f} s"
        print(
            f"MISSING: {missing['positions']:,} positions, from {done.position + 1:,} on ({long}); what was "
            "committed there is not in the backup",
            flush=True,
        )
    if done.notes_position is None:
        print(
            "no backup was made up to there: consumers and process managers have done nothing, and would "
            "begin again",
            flush=True,
        )
    elif done.notes_position < done.position:
        print(
            f"what consumers and process managers have done is known up to position {done.notes_position:,}, "
            "where the last backup before ended",
            flush=True,
        )
    print(f"it does not act on the world until you run: {program} adopt {done.path}", flush=True)
