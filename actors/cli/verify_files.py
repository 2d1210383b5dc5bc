"""The files of a store or of a backup, each with what looks at it. Main thread.

No page is mapped before all pages of its file have been checked, so that no damage can end the process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from actors.cli.progress_check import progress_beyond
from actors.replication.replicas_folder import REPLICAS
from storage import OnewriterError
from storage.backup.verify_backup import verify_backup
from storage.engines.sqlite.comparison import read_only_uri
from storage.files.environment import DATA_FILE, check_directory
from storage.files.page_check import find_all_problems
from storage.log.unlocked_log import history_of, unlocked_log
from storage.log.verification import LogCheck, verify_store
from storage.replica.verification import verify_replica

__all__ = ["Found", "Look", "StoreFiles", "backup_files"]

MAX_LINES = 20
"""Lines of SQLite about one file."""
ARCHIVES_ADVICE = "the log itself is sound: put the file of each archive back, from another disk or a backup"
Progress = Callable[[int, int], None]
Chain = tuple[int, str]


@dataclass(slots=True)
class Found:
    """What is wrong with a file, and what was looked at in it.

    `events` and `chain` are those of a log, or of a file of a backup, whose pages are sound. `remarks` say
    what was not looked at, and why. `advice` is what helps, where it is not what helps against most damage.
    """

    findings: list[str]
    events: int | None = None
    chain: str | None = None
    rows: int | None = None
    remarks: list[str] = field(default_factory=list)
    advice: str | None = None


Look = Callable[[Path], Found]


class StoreFiles:
    """The files of a store, in the order in which they are looked at."""

    def __init__(
        self, path: Path, chain: Chain | None, progress: Progress, archives: Path | None = None
    ) -> None:
        """`archives` is the folder of the archives, if they are not in the store."""
        self._path = path
        self._archives = archives
        self._chain = chain
        self._progress = progress
        self._log_is_sound = False
        self.every_event_is_there = False
        """Whether a replica can be filled from the log and its archives, once the log was looked at."""

    def all(self, *, log_only: bool) -> Iterator[tuple[Path, Look, str]]:
        """The files with what looks at each, and what helps against damage of it."""
        yield self._path / DATA_FILE, self._log, "copy the store away, then restore a backup"
        if log_only:
            return
        for replica in sorted(self._path.glob(f"{REPLICAS}/*")):
            advice = f"delete {replica}: it is filled from the log again"
            if (replica / DATA_FILE).is_file():
                yield replica / DATA_FILE, self._replica, advice
            for file in sorted(replica.glob("engines/*/model.sqlite")):
                yield file, _database, advice

    def _log(self, file: Path) -> Found:
        findings = _pages(file)
        if findings:
            return Found(findings)
        try:
            check: LogCheck = verify_store(
                file.parent, self._chain, self._progress, archives_path=self._archives
            )
            only_archives = len(check.findings) == check.unavailable_archives
            self._log_is_sound = only_archives
            self.every_event_is_there = check.sound
            with unlocked_log(file.parent, self._archives) as (log, header):
                beyond = progress_beyond(log, history_of(log, header).head)
        except OnewriterError as error:
            return Found([str(error)])
        found = Found(check.findings + beyond, check.events, check.chain)
        if only_archives and not beyond:
            found.advice = ARCHIVES_ADVICE
        if check.removed:
            found.remarks.append(
                f"{check.removed:,} events were removed with their archives; of {check.unchecked:,} commits "
                "with such events only the digests could be read"
            )
        return found

    def _replica(self, file: Path) -> Found:
        findings = _pages(file)
        if findings:
            return Found(findings)
        if not self._log_is_sound:
            return Found([], remarks=["its rows were not compared with the log, which is damaged"])
        try:
            with unlocked_log(self._path, self._archives) as (log, header):
                models = verify_replica(file.parent, history_of(log, header))
        except OnewriterError as error:
            return Found([str(error)])
        found = Found([finding for one in models for finding in one.findings])
        found.rows = sum(one.rows or 0 for one in models)
        found.remarks = [
            f"model {one.model!r} has no digest of its rows, which only several replicas keep; --deep "
            "compares them"
            for one in models
            if one.rows is None and one.engine == "lmdb"
        ]
        return found


def backup_files(path: Path, progress: Progress) -> Iterator[tuple[Path, Look, str]]:
    """The files of a backup, or one of them, as `StoreFiles.all`."""
    advice = "use another backup, and make a new full one"
    for check in verify_backup(path, progress):
        end = None if check.segment is None else check.segment.end
        found = Found(
            check.findings,
            None if end is None else end.point.position,
            None if end is None else end.point.digest.hex(),
        )
        yield check.path, lambda _, found=found: found, advice  # type: ignore[misc]


def _pages(file: Path) -> list[str]:
    try:
        check_directory(file.parent, create=False)
    except OnewriterError as error:
        return [str(error)]
    return find_all_problems(file)


def _database(file: Path) -> Found:
    try:
        with closing(sqlite3.connect(read_only_uri(file), uri=True)) as db:
            found = [str(line) for (line,) in db.execute(f"PRAGMA integrity_check({MAX_LINES})")]
    except sqlite3.Error as error:
        return Found([str(error)])
    return Found([] if found == ["ok"] else found)
