"""`onewriter verify PATH`: reads a backup, or the files of a closed store, and shows damage. Main thread.

No page is mapped before all pages of its file have been checked, so that no damage can end the process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from actors.cli.archive_options import add_archives_path
from actors.cli.command_parser import PROGRAM, CommandParser, argument_type
from actors.cli.domain_loading import SHORT
from actors.cli.errors import CommandLineError, describe
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys, key_settings
from actors.cli.progress_lines import ProgressLines
from actors.cli.store_directory import is_store
from actors.cli.verify_files import Found, Look, StoreFiles, backup_files
from actors.errors import ModelStopped
from storage import InvalidBackup, OnewriterError, OtherEngine
from storage.backup.backup_set import is_backup
from storage.backup.places import fetched, is_remote
from storage.files.environment import check_directory
from storage.files.store_lock import LOCK_FILE, StoreLock
from storage.log.verification import checked_chain

__all__ = ["main"]

SOUND, DAMAGED, BAD_USE = 0, 1, 2
EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} verify shop", "the log, the replicas and their SQLite databases"),
    ("{program} verify shop --log-only --json", "the log alone, for a program"),
    ("{program} verify shop --deep --domain shop", "compare each replica with the log, row by row, too"),
    ("{program} backup shop backups", "back it up"),
    ("{program} verify backups", "every file of the backup"),
)
EXIT_CODES = {
    "0": "all files are sound",
    "1": "at least one file is damaged, or rows are not what the log gives",
    "2": "the call was wrong, the store is open, or its log was written by LMDB's other engine",
}
MAX_LINES = 20
"""Lines about one file."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in a file; `advice` is what helps against its damage, None where it is sound.

    `events` and `chain`, the digest of the chain over all of them, are those of a log whose pages are sound,
    or of a file of a backup; `rows` were compared with their digest, or with the log. `remarks` say what was
    not looked at.
    """

    file: str
    sound: bool
    bytes: int
    seconds: float
    findings: list[str]
    advice: str | None
    events: int | None = None
    chain: str | None = None
    rows: int | None = None
    remarks: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Check all files of a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "verify",
        "Look for damage in the files of a store that is closed: every page, in the log every checksum, the "
        "chain over its commits, the indexes against the events, and the progress of consumers and process "
        "managers, in replicas the rows against their digests. Or look at a folder of backups, or a file of "
        "one: every checksum, the chain, and that each file continues the one before. No damage can end this "
        "process. Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "store",
        metavar="PATH",
        help="the store's directory, a folder or file of backups, or s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--log-only", action="store_true", help="leave out the replicas, which the log can fill again"
    )
    parser.add_argument(
        "--deep",
        action="store_true",
        help="fill a replica from the log in a temporary folder, and compare each replica of the store with "
        "it, row by row; needs --domain",
    )
    parser.add_argument(
        "--domain",
        metavar="MODULE:ATTRIBUTE",
        help=f"the domain, or {' or '.join(SHORT)} for those of the demo",
    )
    add_keys(parser)
    add_archives_path(parser)
    parser.add_argument(
        "--chain",
        type=_chain,
        metavar="POSITION:HEX",
        help="a head of the chain that was kept elsewhere, from System.chain_head() or a line of this "
        "program: the log up to there must still be the same",
    )
    parser.add_argument("--json", action="store_true", help="a JSON document a line, one for each file")
    options = parser.parse_args(arguments)
    path = Path(options.store)
    show = _show_json if options.json else _show
    progress = ProgressLines("verified", options.json)
    try:
        if options.deep != (options.domain is not None):
            raise CommandLineError("--deep needs --domain, and --domain is for --deep")
        if options.deep and options.log_only:
            raise CommandLineError("--deep compares replicas, which --log-only leaves out; give one of them")
        if is_remote(options.store):
            with fetched(options.store, whole=True) as folder:
                return _all_sound(backup_files(folder, progress), show)
        if not is_store(str(path)) and is_backup(path):
            if options.deep or options.log_only or options.chain is not None:
                raise CommandLineError(
                    f"{path} is a backup: it is verified without --log-only, --deep, --chain"
                )
            return _all_sound(backup_files(path, progress), show)
        if not is_store(str(path)):
            raise CommandLineError(f"{path} is not a store, nor a folder of backups; give one of them")
        # A copy that was never opened has no lock file, and is to get none.
        with StoreLock(path) if (path / LOCK_FILE).exists() else nullcontext():
            _refuse_other_engine(path)
            archives = None if options.archives_path is None else Path(options.archives_path)
            files = StoreFiles(path, options.chain, progress, archives)
            code = _all_sound(files.all(log_only=options.log_only), show)
        if options.deep and not files.every_event_is_there:
            text = "--deep compared nothing: no replica can be filled from events that are missing or damaged"
            print(text, file=sys.stderr)
        elif options.deep:
            # Imported here: it needs a whole system, which the files alone do without.
            from actors.cli.deep_check import replicas_against_log

            settings = {**key_settings(options), "archives_path": options.archives_path}
            code = max(code, _all_sound(replicas_against_log(path, options.domain, settings), show))
        return code
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    except (InvalidBackup, ModelStopped) as error:
        print(describe(error), file=sys.stderr)
        return DAMAGED
    except (OnewriterError, ValueError) as error:
        print(describe(error), file=sys.stderr)
        return BAD_USE


def _all_sound(files: Iterator[tuple[Path, Look, str]], show: Callable[[FileReport], None]) -> int:
    """Look at all files, show what is found in each, and return the exit code."""
    sound = True
    began = time.monotonic()
    for file, look, advice in files:
        report = _report(file, look, advice, began)
        show(report)
        sound = sound and report.sound
        began = time.monotonic()
    return SOUND if sound else DAMAGED


def _refuse_other_engine(path: Path) -> None:
    """Raise OtherEngine for a log of LMDB's other engine, which is sound."""
    try:
        check_directory(path, create=False)
    except OtherEngine:
        raise
    except OnewriterError:
        pass  # reported with the files


@argument_type("POSITION:HEX, with the 64 digits of a SHA-256")
def _chain(text: str) -> tuple[int, str]:
    position, _, digest = text.partition(":")
    chain = int(position), digest
    checked_chain(chain)
    return chain


def _report(file: Path, look: Look, advice: str, began: float) -> FileReport:
    """Look at a file; `began` is when its turn came."""
    try:
        found = look(file)
        size = file.stat().st_size
    except OSError as error:
        found, size = Found([str(error)]), 0
    return FileReport(
        str(file),
        not found.findings,
        size,
        time.monotonic() - began,
        found.findings,
        (found.advice or advice) if found.findings else None,
        found.events,
        found.chain,
        found.rows,
        found.remarks,
    )


def _show(report: FileReport) -> None:
    state = "sound" if report.sound else "DAMAGED"
    events = "" if report.events is None else f", {report.events:,} events"
    rows = "" if report.rows is None else f", {report.rows:,} rows"
    chain = "" if report.chain is None else f", chain {report.events}:{report.chain}"
    print(
        f"{report.file}: {state} ({report.bytes:,} bytes{events}{rows}, {report.seconds:.1f} s){chain}",
        flush=True,
    )
    for line in report.findings[:MAX_LINES]:
        print(f"  {line}")
    if len(report.findings) > MAX_LINES:
        print(f"  and {len(report.findings) - MAX_LINES} more")
    for line in report.remarks:
        print(f"  {line}")
    if report.advice is not None:
        print(f"  {report.advice}")


def _show_json(report: FileReport) -> None:
    print(json_line(report), flush=True)
