"""`onewriter verify PATH`: reads the files of a closed store, and shows damage. Main thread.

No page is mapped before all pages of its file have been checked, so that no damage can end the process.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actors.cli.command_parser import PROGRAM, CommandParser
from actors.cli.errors import CommandLineError, describe
from actors.cli.json_values import json_line
from actors.cli.store_directory import require_store
from storage import OnewriterError, OtherEngine
from storage.files.environment import DATA_FILE, check_directory
from storage.files.page_check import find_all_problems
from storage.files.store_lock import LOCK_FILE, StoreLock
from storage.log.verification import LogCheck, checked_chain, verify_store

__all__ = ["main"]

SOUND, DAMAGED, BAD_USE = 0, 1, 2
EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} verify shop", "the log, the replicas and their SQLite databases"),
    ("{program} verify shop --log-only --json", "the log alone, for a program"),
)
EXIT_CODES = {
    "0": "all files are sound",
    "1": "at least one file is damaged",
    "2": "the call was wrong, the store is open, or its log was written by LMDB's other engine",
}
MAX_LINES = 20
"""Lines about one file."""


Found = list[str] | LogCheck
"""What is wrong with a file; more of a log."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """What was found in a file; `advice` is what helps against its damage, None where it is sound.

    `events` and `chain`, the digest of the chain over all of them, are those of a log whose pages are sound.
    """

    file: str
    sound: bool
    bytes: int
    seconds: float
    findings: list[str]
    advice: str | None
    events: int | None = None
    chain: str | None = None


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Check all files of a store and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "verify",
        "Look for damage in the files of a store that is closed: every page, and in the log every checksum, "
        "the chain over its commits, and the indexes against the events. No damage can end this process. "
        "Changes nothing.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument("store", metavar="PATH", help="the store's directory, as System.open is given it")
    parser.add_argument(
        "--log-only", action="store_true", help="leave out the replicas, which the log can fill again"
    )
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
    try:
        require_store(str(path))
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    show = _show_json if options.json else _show
    sound = True
    try:
        # A copy that was never opened has no lock file, and is to get none.
        with StoreLock(path) if (path / LOCK_FILE).exists() else nullcontext():
            _refuse_other_engine(path)
            for file, look, advice in _files(path, options.log_only, options.chain):
                report = _report(file, look, advice)
                show(report)
                sound = sound and report.sound
    except OnewriterError as error:
        print(describe(error), file=sys.stderr)
        return BAD_USE
    return SOUND if sound else DAMAGED


def _refuse_other_engine(path: Path) -> None:
    """Raise OtherEngine for a log of LMDB's other engine, which is sound."""
    try:
        check_directory(path, create=False)
    except OtherEngine:
        raise
    except OnewriterError:
        pass  # reported with the files


def _chain(text: str) -> tuple[int, str]:
    position, _, digest = text.partition(":")
    chain = int(position), digest
    checked_chain(chain)
    return chain


def _files(
    path: Path, log_only: bool, chain: tuple[int, str] | None
) -> Iterator[tuple[Path, Callable[[Path], Found], str]]:
    """The files with what looks at each, and what helps against damage of it."""
    yield path / DATA_FILE, partial(_log, chain=chain), "copy the store away, then restore a backup"
    if log_only:
        return
    for replica in sorted(path.glob("replicas/*")):
        advice = f"delete {replica}: it is filled from the log again"
        if (replica / DATA_FILE).is_file():
            yield replica / DATA_FILE, _environment, advice
        for file in sorted(replica.glob("engines/*/model.sqlite")):
            yield file, _database, advice


def _log(file: Path, chain: tuple[int, str] | None) -> Found:
    findings = _environment(file)
    if findings:
        return findings
    try:
        return verify_store(file.parent, chain)
    except OnewriterError as error:
        return [str(error)]


def _environment(file: Path) -> list[str]:
    try:
        check_directory(file.parent, create=False)
    except OnewriterError as error:
        return [str(error)]
    return find_all_problems(file)


def _database(file: Path) -> list[str]:
    # Without a log beside it the file is complete; SQLite then makes none to read it.
    how = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as db:
            found = [str(line) for (line,) in db.execute(f"PRAGMA integrity_check({MAX_LINES})")]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _report(file: Path, look: Callable[[Path], Found], advice: str) -> FileReport:
    began = time.monotonic()
    try:
        found = look(file)
    except OSError as error:
        found = [str(error)]
    seconds = time.monotonic() - began
    log = found if isinstance(found, LogCheck) else None
    findings = found.findings if isinstance(found, LogCheck) else found
    return FileReport(
        str(file),
        not findings,
        file.stat().st_size,
        seconds,
        findings,
        advice if findings else None,
        None if log is None else log.events,
        None if log is None else log.chain,
    )


def _show(report: FileReport) -> None:
    state = "sound" if report.sound else "DAMAGED"
    events = "" if report.events is None else f", {report.events:,} events"
    chain = "" if report.chain is None else f", chain {report.events}:{report.chain}"
    print(
        f"{report.file}: {state} ({report.bytes:,} bytes{events}, {report.seconds:.1f} s){chain}", flush=True
    )
    for line in report.findings[:MAX_LINES]:
        print(f"  {line}")
    if len(report.findings) > MAX_LINES:
        print(f"  and {len(report.findings) - MAX_LINES} more")
    if report.advice is not None:
        print(f"  {report.advice}")


def _show_json(report: FileReport) -> None:
    print(json_line(report), flush=True)
