"""`onewriter drill BACKUP --domain D`: restores the newest backup for a trial, and reports. Main thread.

It is made for a cron job: it needs no answers, leaves nothing behind, and its exit code says whether the
backup is good.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from actors.backup.restore import restore
from actors.cli.command_parser import PROGRAM, CommandParser, positive
from actors.cli.domain_loading import add_domain, load_domain
from actors.cli.errors import CommandLineError, describe
from actors.cli.exit_codes import BAD_USE, DONE, FAILED, INTERRUPTED
from actors.cli.json_values import json_line
from actors.cli.key_options import add_keys, key_settings
from actors.cli.progress_lines import ProgressLines
from actors.cli.temporary_directory import temporary_directory
from actors.domain.domain import Domain
from actors.repl.parser import parse
from actors.repl.render import Part, PlainOutput
from actors.repl.shell import Shell
from actors.system.system import System
from storage import OnewriterError
from storage.backup.backup_set import segments_of
from storage.backup.places import fetched
from storage.backup.segment_path import segments_until

__all__ = ["main"]

EXAMPLES = (
    ("{program} demo --limit 1000 --path shop", "make a store to try it on"),
    ("{program} backup shop backups", "back it up"),
    ("{program} drill backups --domain shop --query 'Cheapest 3'", "is that backup any good?"),
    ("{program} drill backups --domain shop --max-age 3600 --json", "and not older than an hour?"),
)
EXIT_CODES = {
    "0": "the newest backup was restored, verified and asked, and all is well",
    "1": "something is not: standard output says what",
    "2": "the call was wrong: there is no such domain or query",
    "130": "interrupted; nothing is left behind",
}
LONGEST = 7 * 24 * 3600.0
"""Seconds for which replicas may be filled."""
T = TypeVar("T")


@dataclass(slots=True)
class DrillReport:
    """What a drill found. `error` is what went wrong, in the step `failed_at`; None if all is well.

    `age` is how many seconds ago the newest backup was complete, and `bytes` the size of the `files` that it
    takes. `time` is that of the last event, at `position`. `seconds` are those of each step.
    """

    backup: str
    ok: bool = False
    error: str | None = None
    failed_at: str | None = None
    newest: str | None = None
    age: float | None = None
    files: int = 0
    bytes: int = 0
    position: int | None = None
    time: datetime | None = None
    chain: str | None = None
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> int:
    """Run a drill and return the exit code; see `EXIT_CODES`."""
    parser = CommandParser(
        program,
        "drill",
        "Restore the newest backup into a temporary folder, read all of it back, open it with its domain, "
        "fill a replica from all of its events, and ask queries. Reports how old and how large the backup "
        "is, what it took, and what is wrong. Nothing acts on the world, and nothing is left behind.",
        examples=EXAMPLES,
        exit_codes=EXIT_CODES,
    )
    parser.add_argument(
        "backup", metavar="BACKUP", help="a folder of backups, a file of a full one, or s3://BUCKET/PREFIX"
    )
    add_domain(parser)
    parser.add_argument(
        "--query",
        action="append",
        default=[],
        metavar="Q",
        help="ask this, as in the shell, such as 'Cheapest 3'; it must not fail; repeatable",
    )
    parser.add_argument(
        "--max-age", type=positive, metavar="SECONDS", help="a backup that is older is not well"
    )
    parser.add_argument(
        "--scratch", metavar="FOLDER", help="make the temporary folder there; it needs room for the store"
    )
    add_keys(parser)
    parser.add_argument("--json", action="store_true", help="the report and the progress as JSON")
    options = parser.parse_args(arguments)
    try:
        domain = load_domain(options.domain)
        _check_queries(domain, options.query)
        if options.scratch is not None and not os.path.isdir(options.scratch):
            raise CommandLineError(f"--scratch {options.scratch} is no folder")
    except CommandLineError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    drill = _Drill(options.backup, domain, options.query, options.max_age, key_settings(options))
    drill.progress = ProgressLines("restored", options.json)
    try:
        with _only_errors(), temporary_directory("onewriter-drill-", options.scratch) as folder:
            drill.run(folder)
    except KeyboardInterrupt:
        print("interrupted; nothing is left behind", file=sys.stderr)
        return INTERRUPTED
    if options.json:
        print(json_line({"drill": drill.report}), flush=True)
    else:
        _show(drill)
    return DONE if drill.report.ok else FAILED


@contextmanager
def _only_errors() -> Iterator[None]:
    """Warnings are not logged meanwhile: that the restored store is a copy is no news."""
    logger = logging.getLogger("onewriter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _check_queries(domain: Domain, statements: Sequence[str]) -> None:
    """Raise CommandLineError for a statement that is no query of the domain."""
    queries = {one.name for one in domain.declarations.classes if one.kind == "query"}
    for statement in statements:
        call = parse(statement)
        if call is None or call.name not in queries:
            known = ", ".join(sorted(queries)) or "none"
            raise CommandLineError(f"{statement!r} is no query of domain {domain.name!r}; it has: {known}")


class _Answers(PlainOutput):
    """Keeps the documents of answers, and shows nothing."""

    def __init__(self) -> None:
        super().__init__(sys.stdout, sys.stderr)
        self.answers: list[tuple[Sequence[Part], Mapping[str, Any]]] = []

    def show(self, parts: Sequence[Part], document: Mapping[str, Any]) -> None:
        self.answers.append((parts, document))


class _Drill:
    """One drill; `report` is filled as it goes."""

    def __init__(
        self,
        backup: str,
        domain: Domain,
        queries: Sequence[str],
        max_age: int | None,
        settings: dict[str, Any],
    ) -> None:
        self.report = DrillReport(backup)
        self.answers = _Answers()
        self.progress: Callable[[int, int], None] | None = None
        self._domain = domain
        self._queries = queries
        self._max_age = max_age
        self._settings = settings
        self._source = Path()

    def run(self, folder: str) -> None:
        """Do everything in the folder; what goes wrong is in the report."""
        report = self.report
        report.failed_at = "look"
        try:
            with fetched(report.backup, scratch=folder) as source:
                self._run(folder, source)
        except (OnewriterError, OSError, ValueError) as error:
            report.error = describe(error)

    def _run(self, folder: str, source: Path) -> None:
        report = self.report
        self._source = source
        self._step("look", self._look)
        store = os.path.join(folder, "store")
        done = self._step("restore", lambda: restore(source, store, progress=self.progress))
        report.position, report.time, report.chain = done.position, done.time, done.chain
        system = self._step(
            "open", lambda: System.open(store, self._domain, replicas=1, managers=False, **self._settings)
        )
        with system:
            self._step("fill", lambda: system.wait_applied(timeout=LONGEST))
            self._step("ask", lambda: self._ask(system))
        if self._max_age is not None and report.age is not None and report.age > self._max_age:
            report.failed_at = "look"
            report.error = f"the newest backup is {report.age:,.0f} s old, and may be {self._max_age:,} s"
        report.ok = report.error is None

    def _step(self, name: str, work: Callable[[], T]) -> T:
        began = time.monotonic()
        self.report.failed_at = name
        done = work()
        self.report.failed_at = None
        self.report.seconds[name] = time.monotonic() - began
        return done

    def _look(self) -> None:
        report = self.report
        segments = segments_of(self._source)
        newest = segments[-1]
        report.newest = str(newest.path)
        report.age = (datetime.now(UTC) - newest.end.ended).total_seconds()
        path = segments_until(segments, None, None)
        report.files, report.bytes = len(path), sum(one.bytes for one in path)

    def _ask(self, system: System) -> None:
        shell = Shell(system, self.answers, {})
        for statement in self._queries:
            shell.execute(statement)
            self.report.queries.append({"statement": statement, **self.answers.answers[-1][1]})


def _show(drill: _Drill) -> None:
    report = drill.report
    if report.newest is not None and report.age is not None:
        print(
            f"{report.newest}: {report.age:,.0f} s old; {report.bytes:,} bytes in {report.files:,} "
            f"{'file' if report.files == 1 else 'files'}"
        )
    if report.position is not None and report.time is not None:
        print(
            f"restored up to position {report.position:,}, of {report.time:%Y-%m-%d %H:%M:%S} UTC; chain "
            f"{report.position}:{report.chain}"
        )
    output = PlainOutput(sys.stdout, sys.stderr)
    for statement, (parts, document) in zip(report.queries, drill.answers.answers, strict=False):
        print(f"{statement['statement']}:")
        output.show(parts, document)
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    if report.ok:
        print(f"all is well ({took})", flush=True)
    else:
        print(
            f"NOT WELL at step {report.failed_at}: {report.error} ({took or 'nothing was done'})", flush=True
        )
