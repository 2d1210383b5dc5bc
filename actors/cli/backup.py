"""`onewriter backup STORE TARGET`: backs a store up, also while another process writes. Main thread."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser, argument_type, positive
from actors.cli.errors import CommandLineError
from actors.cli.json_values import json_line
from actors.cli.program_end import exit_code_of
from actors.cli.progress_lines import ProgressLines
from actors.cli.store_directory import require_store
from storage import Backup, Codec, InvalidBackup, StorageError
from storage.backup.backup_set import require_distinct
from storage.backup.places import is_remote
from storage.backup.targets import backup_target
from storage.files.page_check import DEFAULT_VERIFY_BYTES
from storage.log.log_follower import LogFollower

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} backup shop backups", "all of it, the first time; later what was added"),
    ("{program} backup shop backups --full --keep 4", "all of it again, once a week"),
    ("{program} restore backups shop-restored", "a new store of the newest backup"),
)
SHARE = 0.25
"""Of the time, unless another one is given: then a program on the same two cores keeps its pace."""
EXIT_CODES = {
    "0": "the backup is complete, verified and on disk",
    "1": "it failed, such as on a full disk or for damage; standard error has the reason; those before stay",
    "2": "the call was wrong, there is no such store, or TARGET holds something else",
    "130": "interrupted; there is no new backup, and those before stay",
}


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Back a store up and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "backup",
        "Back a store up to a folder: the log at the end of one commit, with the schema, corrections, and "
        "what consumers and process managers have done. The first backup in a folder is full, and later ones "
        "have what was added since. All of it is verified as it is written: checksums, and the chain over "
        "the commits. The store may be in use: it is read, and never opened for writing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="STORE", help="the store's directory")
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="the folder of the store's backups, made if missing; or s3://BUCKET/PREFIX",
    )
    parser.add_argument("--full", action="store_true", help="all of it, whatever the folder has")
    parser.add_argument(
        "--keep",
        type=positive,
        metavar="N",
        help="at the end, remove all before the last N full backups (default: remove nothing)",
    )
    parser.add_argument(
        "--share",
        type=_share,
        default=SHARE,
        metavar="S",
        help="work for this share of the time, from 0 to 1, as others have the store open "
        f"(default: {SHARE}; more if the log grows faster)",
    )
    parser.add_argument(
        "--max-bytes-per-second",
        type=_rate,
        metavar="N",
        help="write no faster, such as 16e6, where others use the disk (default: no limit)",
    )
    add_archives_path(parser)
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)
    progress = ProgressLines("backed up", options.json)

    def back_up() -> None:
        require_store(options.store)
        _require_folder(options)
        with (
            closing(backup_target(options.target)) as target,
            LogFollower.open(
                options.store,
                Codec(),
                verify_bytes=DEFAULT_VERIFY_BYTES,
                archives_path=options.archives_path,
            ) as log,
        ):
            backup = target.take(
                log,
                full=options.full,
                share=options.share,
                keep=options.keep,
                max_bytes_per_second=options.max_bytes_per_second,
                progress=progress,
            )
        _report(backup, options.json)

    return exit_code_of(back_up, f"{options.target} is as it was before", (InvalidBackup,))


def _require_folder(options: argparse.Namespace) -> None:
    """Raise CommandLineError for a folder of backups that is a file, or inside the store."""
    if is_remote(options.target):
        return
    if os.path.isfile(options.target):
        raise CommandLineError(f"{options.target} is a file, and backups need a folder; choose another path")
    try:
        require_distinct(Path(options.target).resolve(), Path(options.store).resolve())
    except StorageError as error:
        raise CommandLineError(str(error)) from error


@argument_type("a share of the time, such as 0.25")
def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return share


@argument_type("a number of bytes, such as 16e6")
def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return rate


def _report(backup: Backup, as_json: bool) -> None:
    if as_json:
        print(json_line({"backup": backup}), flush=True)
        return
    kind = "full" if backup.full else f"what was added after position {backup.first - 1:,}"
    print(
        f"{backup.file}: {kind}; {backup.events:,} events up to position {backup.position:,}, "
        f"{backup.commands:,} commands beside them, {backup.notes:,} notes, {backup.bytes:,} bytes in "
        f"{backup.seconds:.1f} s; chain {backup.position}:{backup.chain}",
        flush=True,
    )
