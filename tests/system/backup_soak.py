"""Backs a store up again and again under full load, restores every backup, and compares it with the log.

`python -m tests.system.backup_soak --seconds 600`. Callers execute commands as fast as they can, and a
backup is made every second. Another process restores each of them, and opens the new store: the events of its
log, and the rows that a replica makes of them, have to be the fold of the original's log up to the backup's
position. What was compared is removed, and another store begins after `--events` of them: so a restore stays
short, and the disk never holds more than a few backups.
"""

from __future__ import annotations

import argparse
import json
import logging
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from actors import Backup, System, restore
from storage.backup.backup_set import BackupSet, is_full
from tests.helpers import Threads
from tests.system.test_restored_in_place import Pay, ledger, rows, totals

ACCOUNTS = 20
"""Of each caller."""
WAITING = 20
"""So many backups may wait to be compared; then no more are made until one was."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Plan:
    """What to do: for `seconds`, or until there were so many `backups`."""

    seconds: float = 30.0
    backups: int | None = None
    interval: float = 1.0
    full_every: int = 20
    events: int = 15_000
    bulk_callers: int = 2
    callers: int = 4
    share: float = 0.25


@dataclass
class Report:
    """What was done. `late` backups ended after the next one was due; `bytes` is the most on the disk."""

    seconds: float = 0.0
    stores: int = 0
    commands: int = 0
    commands_a_second: float = 0.0
    backups: int = 0
    full: int = 0
    late: int = 0
    restored: int = 0
    wrong: list[str] = field(default_factory=list)
    bytes: int = 0
    slowest_backup: float = 0.0
    slowest_check: float = 0.0


@dataclass(frozen=True)
class Job:
    """A backup to compare, with what has to come out."""

    backups: Path
    made: Backup
    fold: dict[str, int]


class Soak:
    """One run in `folder`; `start` starts the process that restores, which has `stdin` and `stdout`."""

    def __init__(self, folder: Path, plan: Plan, start: Callable[[], AbstractContextManager[Any]]) -> None:
        self.report = Report()
        self._folder = folder
        self._plan = plan
        self._start = start
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._counting = threading.Lock()

    def run(self) -> Report:
        """Do all of it, and wait for the last comparison."""
        began = time.monotonic()
        with Threads() as threads, self._start() as child:
            checking = threads.start(self._check_all, child)
            try:
                while not self._is_over(began) and not threads.failed():
                    self._one_store(began, threads)
                self.report.seconds = time.monotonic() - began
            finally:
                while checking.is_alive():  # It may have ended, with an error, before it took what waits.
                    try:
                        self._jobs.put(None, timeout=0.1)
                        break
                    except queue.Full:
                        continue
                checking.join()
        self.report.commands_a_second = round(self.report.commands / self.report.seconds, 1)
        return self.report

    def _is_over(self, began: float) -> bool:
        if self._plan.backups is not None:
            return self.report.backups >= self._plan.backups
        return time.monotonic() - began >= self._plan.seconds

    # -- writing and backing up ------------------------------------------------------------------------------
    def _one_store(self, began: float, threads: Threads) -> None:
        """Write to a new store, and back it up, until it has its events."""
        plan, report = self._plan, self.report
        report.stores += 1
        store = self._folder / f"store-{report.stores}"
        backups = self._folder / f"backups-{report.stores}"
        fold: dict[str, int] = {}
        read = 0
        end = threading.Event()
        with System.open(store, ledger, replicas=1) as system, Threads() as callers:
            for number in range(plan.bulk_callers):
                callers.start(self._pay, system, f"bulk-{number}", 50, end)
            for number in range(plan.callers):
                callers.start(self._pay, system, f"one-{number}", 1, end)
            try:
                due = time.monotonic()
                made = None
                while not (self._is_over(began) or threads.failed() or callers.failed()):
                    if made is not None and made.position >= plan.events:
                        break
                    due += plan.interval
                    made = system.backup(
                        backups, full=report.backups % plan.full_every == 0, share=plan.share
                    )
                    for one in system.subscribe(after=read, until=made.position):
                        fold[one.event.name] = fold.get(one.event.name, 0) + one.event.amount
                    read = made.position
                    report.backups += 1
                    report.full += made.full
                    report.slowest_backup = max(report.slowest_backup, round(made.seconds, 3))
                    self._jobs.put(Job(backups, made, dict(fold)))
                    late = time.monotonic() - due
                    if late > 0:
                        report.late += plan.interval > 0
                        due += late
                    end.wait(-late if late < 0 else 0)
            finally:
                end.set()
        shutil.rmtree(store)

    def _pay(self, system: System, caller: str, many: int, end: threading.Event) -> None:
        number = 0
        while not end.is_set():
            commands = [Pay(f"{caller}-{(number + one) % ACCOUNTS}", number + one) for one in range(many)]
            if many == 1:
                system.execute(commands[0])
            else:
                system.execute_many(commands)
            number += many
            with self._counting:
                self.report.commands += many

    # -- comparing -------------------------------------------------------------------------------------------
    def _check_all(self, child: Any) -> None:
        """A thread: have each backup restored, compare, and remove what nobody needs any more."""
        before: Path | None = None
        while (job := self._jobs.get()) is not None:
            if before not in (None, job.backups):
                shutil.rmtree(before)  # type: ignore[arg-type]
            before = job.backups
            self._check(child, job)
        child.stdin.close()

    def _check(self, child: Any, job: Job) -> None:
        began = time.monotonic()
        target = self._folder / "restored"
        asked = {"backups": str(job.backups), "target": str(target), "position": job.made.position}
        print(json.dumps(asked), file=child.stdin, flush=True)
        answer = json.loads(child.stdout.readline() or '{"error": "the process has ended"}')
        wanted = {"chain": job.made.chain, "events": job.made.position, "log": job.fold, "rows": job.fold}
        self.report.restored += "error" not in answer
        if answer != wanted:
            differing = [name for name in {**wanted, **answer} if answer.get(name) != wanted.get(name)]
            found = {name: answer.get(name) for name in differing}
            self.report.wrong.append(f"{job.made.file} at {job.made.position}: {str(found)[:300]}")
        self.report.bytes = max(self.report.bytes, size_of(self._folder))
        shutil.rmtree(target, ignore_errors=True)
        remove_compared(job.backups, Path(job.made.file).name)
        self.report.slowest_check = max(self.report.slowest_check, round(time.monotonic() - began, 3))


def remove_compared(backups: Path, name: str) -> None:
    """Remove what comes before the full backup that a file, which was compared, continues."""
    files = [file for file in BackupSet(backups).files() if file.name <= name]
    last = max((file.name for file in files if is_full(file.name)), default="")
    for file in files:
        if file.name < last:
            file.unlink()


def size_of(folder: Path) -> int:
    """The bytes that the files in a folder take on the disk; some may go meanwhile."""
    found = 0
    for one in folder.rglob("*"):
        try:
            found += one.stat().st_blocks * 512
        except OSError:
            continue
    return found


# -- the other process ---------------------------------------------------------------------------------------
def answer_all() -> None:
    """Restore what each line of the standard input says, and print what is in it."""
    logging.disable(logging.CRITICAL)  # that each is a copy
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            print(json.dumps(restored(**asked)), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


def restored(backups: str, target: str, position: int) -> dict[str, Any]:
    """What is in the store that is restored of a backup."""
    done = restore(backups, target, position=position)
    fold: dict[str, int] = {}
    with System.open(target, ledger, replicas=1) as system:
        for one in system.subscribe(until=system.position):
            fold[one.event.name] = fold.get(one.event.name, 0) + one.event.amount
        system.wait_applied()
        with system.view(totals) as view:
            served = {row["name"]: row["total"] for row in view[rows].all()}
        return {"chain": done.chain, "events": system.position, "log": fold, "rows": served}


def main() -> int:
    if sys.argv[1:] == ["restore"]:
        answer_all()
        return 0
    parser = argparse.ArgumentParser("python -m tests.system.backup_soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--interval", type=float, default=Plan.interval, help="seconds between backups")
    parser.add_argument("--events", type=int, default=Plan.events, help="of a store, before the next begins")
    parser.add_argument("--dir", default=None, help="where stores and backups are made")
    options = parser.parse_args()
    plan = Plan(seconds=options.seconds, interval=options.interval, events=options.events)

    def start() -> subprocess.Popen[str]:
        program = [sys.executable, "-m", "tests.system.backup_soak", "restore"]
        return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    with tempfile.TemporaryDirectory(prefix=".backup-soak-", dir=options.dir) as folder:
        report = Soak(Path(folder), plan, start).run()
    print(json.dumps({"plan": asdict(plan), **asdict(report)}, indent=1))
    return 1 if report.wrong or report.restored != report.backups else 0


if __name__ == "__main__":
    sys.exit(main())
