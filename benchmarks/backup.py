"""`make bench-backup`: how fast a store is backed up, and what commands notice of it.

The rate is that of a full backup beside two that verify nothing: LMDB's compacting copy of the same log, and
SQLite's backup API on a table of the same events. All wait for the disk, and are measured in turn. Then
callers execute commands while full backups run, in their process with its default share or in another one;
each window has one without beside it.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import lmdb

from actors import Domain, System
from benchmarks.machine import machine
from benchmarks.progress import show_progress
from storage import Codec, take_backup
from storage.files.environment import ENGINE
from storage.log.log_follower import LogFollower

domain = Domain("backup-benchmark")


@domain.state(stream="account-{name}")
class Account:
    name: str
    total: int


@domain.event(Account)
class Paid:
    name: str
    amount: int
    reference: str


@domain.command(Account)
class Pay:
    name: str
    amount: int
    reference: str


@domain.decide
def pay(account: Account | None, command: Pay) -> Iterator[Paid]:  # noqa: ARG001
    yield Paid(command.name, command.amount, command.reference)


@domain.evolve
def paid(account: Account | None, event: Paid) -> Account:
    return Account(event.name, event.amount + (account.total if account else 0))


BATCH = 100
ACCOUNTS = 1_000
CALLERS = 16
REFERENCE = "a payment for something that was bought"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a window of commands")
    parser.add_argument("--dir", default=None, help="where the store and the backups are made")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        folder = Path(path)
        fill(folder, options.events)
        rates = measure_rates(folder, options.events, options.rounds)
        commands = measure_commands(folder, options.rounds, options.seconds)
    print(machine())
    show_rates(options.events, rates)
    show_commands(commands)
    return 0


def fill(folder: Path, events: int) -> None:
    """The same events in a store and in a table of SQLite."""
    with System.open(folder / "store", domain, replicas=1) as system:
        for first in range(0, events, BATCH):
            if first % 10_000 == 0:
                show_progress(f"writing {first:,} of {events:,} events")
            account = f"{first // BATCH % ACCOUNTS:04}"
            many = range(first, min(first + BATCH, events))
            system.append(f"account-{account}", [Paid(account, number, REFERENCE) for number in many])
        system.wait_applied(timeout=600)
    with (
        LogFollower.open(folder / "store", Codec()) as log,
        closing(sqlite3.connect(folder / "peer.sqlite")) as db,
    ):
        log.advance_to_end()
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "CREATE TABLE events (position INTEGER PRIMARY KEY, stream TEXT, version INTEGER, data BLOB, "
            "UNIQUE (stream, version))"
        )
        for after in range(0, events, 10_000):
            show_progress(f"writing {after:,} of {events:,} events to SQLite")
            rows = [
                (position, f"account-{position // BATCH % ACCOUNTS:04}", position, data)
                for position, data in enumerate(log.records(after, 10_000), after + 1)
            ]
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
            db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    show_progress("")


# -- the rate ------------------------------------------------------------------------------------------------
def own(folder: Path, target: Path) -> None:
    with LogFollower.open(folder / "store", Codec()) as log:
        take_backup(log, target / "backups")


def lmdb_copy(folder: Path, target: Path) -> None:
    with closing(
        lmdb.open(str(folder / "store"), readonly=True, max_dbs=32, lib_version=ENGINE)
    ) as environment:
        environment.copy(str(target), compact=True)
    sync(target / "data.mdb")


def sqlite_backup(folder: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(folder / "peer.sqlite")) as db,
        closing(sqlite3.connect(target / "peer.sqlite")) as copy,
    ):
        db.backup(copy)
    sync(target / "peer.sqlite")


def sync(file: Path) -> None:
    number = os.open(file, os.O_RDWR)
    os.fsync(number)
    os.close(number)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "a full backup, verified": own,
    "lmdb copy, compacting": lmdb_copy,
    "SQLite's backup API": sqlite_backup,
}


def measure_rates(folder: Path, events: int, rounds: int) -> dict[str, list[tuple[float, int]]]:
    """Events a second, and the bytes that were written, of each way by round."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name, way in WAYS.items():
            show_progress(f"round {number + 1} of {rounds}: {name}")
            with tempfile.TemporaryDirectory(dir=folder) as target:
                began = time.perf_counter()
                way(folder, Path(target))
                seconds = time.perf_counter() - began
                size = sum(file.stat().st_size for file in Path(target).rglob("*") if file.is_file())
            found[name].append((events / seconds, size))
    show_progress("")
    return found


def show_rates(events: int, found: dict[str, list[tuple[float, int]]]) -> None:
    print(
        f"\n| {events:,} events | events a second | MB written | MB a second | beside the faster copy |\n"
        "| --- | ---: | ---: | ---: | ---: |"
    )
    first, *others = found.values()
    better = [max(one[number][0] for one in others) for number in range(len(first))]
    for name, rounds in found.items():
        rate = statistics.median(one for one, _ in rounds)
        size = rounds[0][1] / 1e6
        beside = statistics.median(one / most for (one, _), most in zip(rounds, better, strict=True))
        print(f"| {name} | {rate:,.0f} | {size:,.0f} | {rate / events * size:,.0f} | {beside:.2f} |")


# -- what commands notice ------------------------------------------------------------------------------------
@contextmanager
def backups_in_the_process(system: System, folder: Path) -> Iterator[None]:
    """One full backup after the other, with the default share."""
    over = threading.Event()

    def back_up() -> None:
        while not over.is_set():
            with tempfile.TemporaryDirectory(dir=folder) as target:
                system.backup(target + "/backups", progress=lambda *_: stop_if(over))

    thread = threading.Thread(target=ignoring_stop, args=(back_up,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Stop(Exception):
    pass


def stop_if(over: threading.Event) -> None:
    if over.is_set():
        raise Stop


def ignoring_stop(work: Callable[[], None]) -> None:
    with suppress(Stop):
        work()


@contextmanager
def backups_in_another_process(system: System, folder: Path) -> Iterator[None]:
    """One full backup after the other by the command line, with its default share."""
    with tempfile.TemporaryDirectory(dir=folder) as target:
        code = (
            "import sys\nfrom actors.__main__ import main\nwhile True:\n    assert not main(sys.argv[1:])\n"
        )
        arguments = ["backup", system.path, f"{target}/backups", "--full"]
        with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.kill()


@contextmanager
def nothing(system: System, folder: Path) -> Iterator[None]:  # noqa: ARG001
    yield


LOADS = {
    "in the process, share 0.05": backups_in_the_process,
    "in another process, share 0.25": backups_in_another_process,
}
Window = tuple[float, float]
"""Commands a second, and the 99th percentile of their times in milliseconds."""


def measure_commands(folder: Path, rounds: int, seconds: float) -> dict[str, list[tuple[Window, Window]]]:
    """For each load, by round: a window with it, and one without."""
    found: dict[str, list[tuple[Window, Window]]] = {name: [] for name in LOADS}
    with System.open(folder / "store", domain, replicas=1) as system:
        window(system, folder, nothing, seconds / 4)
        for number in range(rounds):
            for name, load in LOADS.items():
                show_progress(f"round {number + 1} of {rounds}: commands beside backups {name}")
                both = [window(system, folder, one, seconds) for one in (load, nothing)]
                found[name].append((both[0], both[1]))
    show_progress("")
    return found


def window(system: System, folder: Path, load: Callable[[System, Path], object], seconds: float) -> Window:
    """What callers get through beside a load."""
    times: list[list[float]] = [[] for _ in range(CALLERS)]
    with load(system, folder):  # type: ignore[attr-defined]
        time.sleep(min(0.5, seconds / 4))  # until it runs
        end = time.perf_counter() + seconds

        def call(number: int) -> None:
            name = f"caller-{number}"
            while (began := time.perf_counter()) < end:
                system.execute(Pay(name, 1, REFERENCE))
                times[number].append(time.perf_counter() - began)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    every = sorted(one for own in times for one in own)
    return len(every) / seconds, every[int(len(every) * 0.99)] * 1e3


def show_commands(found: dict[str, list[tuple[Window, Window]]]) -> None:
    print(
        f"\n| commands of {CALLERS} callers beside full backups | a second | without | ratio | p99, ms | "
        "without |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name, rounds in found.items():
        ratios = [beside[0] / alone[0] for beside, alone in rounds]
        medians = [
            statistics.median(one[which][what] for one in rounds) for what in (0, 1) for which in (0, 1)
        ]
        print(
            f"| {name} | {medians[0]:,.0f} | {medians[1]:,.0f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) | {medians[2]:.1f} | {medians[3]:.1f} |"
        )


if __name__ == "__main__":
    sys.exit(main())
