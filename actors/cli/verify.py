"""`python -m actors verify PATH`: reads every file of a closed store without mapping it, and says what is wrong. Main thread."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from storage import OnewriterError, OtherEngine
from storage.files.environment import DATA_FILE, check_directory
from storage.files.page_check import look_whole
from storage.files.store_lock import LOCK_FILE, StoreLock

__all__ = ["main"]

SOUND, DAMAGED, BAD_USE = 0, 1, 2
MOST = 20
"""Lines about one file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at all files; 0 where they are sound, 1 for damage, 2 for a wrong call and for a store that is open."""
    parser = argparse.ArgumentParser(
        prog="python -m actors verify",
        description="Look for damage in the files of a store that is closed: every page is read, none is mapped, so that "
        "no damage can end this process. Changes nothing.",
        epilog="Exit code: 0 all sound, 1 damage, 2 wrong call, the store is open, or its log is another engine's.",
    )
    parser.add_argument("store", metavar="PATH", help="the store's directory, as System.open is given it")
    parser.add_argument(
        "--log-only", action="store_true", help="leave out the replicas, which the log can fill again"
    )
    options = parser.parse_args(arguments)
    path = Path(options.store)
    if not (path / DATA_FILE).is_file():
        print(f"{path} is not a store; give the directory that System.open was given", file=sys.stderr)
        return BAD_USE
    try:
        # A copy that was never opened has no lock file, and is to get none.
        with StoreLock(path) if (path / LOCK_FILE).exists() else nullcontext():
            _refuse_other_engine(path)
            reports = [_report(*one) for one in _files(path, options.log_only)]
    except OnewriterError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    return SOUND if all(reports) else DAMAGED


def _refuse_other_engine(path: Path) -> None:
    """Raise OtherEngine for a log of LMDB's other engine, which is sound: what helps against damage is not for it."""
    try:
        check_directory(path, create=False)
    except OtherEngine:
        raise
    except OnewriterError:
        pass  # told with the files


def _files(path: Path, log_only: bool) -> Iterator[tuple[Path, Callable[[Path], list[str]], str]]:
    """The files with what looks at each, and what helps against damage of it."""
    yield path / DATA_FILE, _environment, "copy the store away, then restore a backup"
    if log_only:
        return
    for replica in sorted(path.glob("replicas/*")):
        advice = f"delete {replica}: it is filled from the log again"
        if (replica / DATA_FILE).is_file():
            yield replica / DATA_FILE, _environment, advice
        for file in sorted(replica.glob("engines/*/model.sqlite")):
            yield file, _database, advice


def _environment(file: Path) -> list[str]:
    try:
        check_directory(file.parent, create=False)
    except OnewriterError as error:
        return [str(error)]
    return look_whole(file)


def _database(file: Path) -> list[str]:
    # Without a log beside it the file is complete; SQLite then makes none to read it.
    how = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)) as db:
            found = [str(line) for (line,) in db.execute(f"PRAGMA integrity_check({MOST})")]
    except sqlite3.Error as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def _report(file: Path, look: Callable[[Path], list[str]], advice: str) -> bool:
    began = time.monotonic()
    try:
        found = look(file)
    except OSError as error:
        found = [str(error)]
    size = file.stat().st_size
    took = time.monotonic() - began
    print(f"{file}: {'sound' if not found else 'DAMAGED'} ({size:,} bytes, {took:.1f} s)", flush=True)
    for line in found[:MOST]:
        print(f"  {line}")
    if len(found) > MOST:
        print(f"  and {len(found) - MOST} more")
    if found:
        print(f"  {advice}")
    return not found
