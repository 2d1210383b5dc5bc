"""One replica and three in turn: processor time of a command, catching up, memory, and commands a second.

Runs on the main thread; memory is that of a child process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.anonymous_memory import anonymous_memory
from benchmarks.cores import POSSIBLE, on_one_core
from benchmarks.growth.biglog import write_log
from benchmarks.peers.onewriter import REPLICAS, Workers
from benchmarks.replicas.bank import bank, expected, facts, ledger
from benchmarks.replicas.sending import WAYS, OpenBank, Stopwatch, Used

NUMBERS = (1, REPLICAS)
"""How many replicas are compared."""

IN_MEMORY = Path("/dev/shm")
ROOM = 1 << 30
TIMEOUT = 600.0
SAMPLES_EVERY = 0.02

ByReplicas = dict[int, dict[int, Used]]
"""What was used, by the number of replicas and the round."""

Progress = Callable[[str], object]


@dataclass(frozen=True)
class Setup:
    """A way of running."""

    name: str
    replicas: int
    workers: Workers = "thread"
    one_core: bool = False


SETUPS = {
    "threads-3": Setup("3 in threads (the default)", REPLICAS),
    "threads-1": Setup("1 in a thread", 1),
    "processes-3": Setup("3 in processes", REPLICAS, "process"),
    "processes-1": Setup("1 in a process", 1, "process"),
}
if POSSIBLE:
    SETUPS |= {
        "one-core-3": Setup("3 in threads, on one core", REPLICAS, one_core=True),
        "one-core-1": Setup("1 in a thread, on one core", 1, one_core=True),
    }


@contextmanager
def folder_in_memory(otherwise: Path, memory: Path = IN_MEMORY, room: int = ROOM) -> Iterator[Path]:
    """An empty folder where nothing waits for a disk, or one in `otherwise` if there is no room for it."""
    fits = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= room
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=memory if fits else otherwise) as path:
        yield Path(path)


def in_turn(number: int) -> Sequence[int]:
    """The numbers of replicas in the order of a round."""
    return NUMBERS if number % 2 == 0 else NUMBERS[::-1]


def processor_time(folder: Path, rounds: int, commands: int, progress: Progress) -> dict[str, ByReplicas]:
    """What a command takes, by the way of sending; both banks are open all the time."""
    found: dict[str, ByReplicas] = {way: {number: {} for number in NUMBERS} for way in WAYS}
    banks: dict[int, OpenBank] = {}
    try:
        for number in NUMBERS:
            banks[number] = OpenBank(folder / f"bank-{number}", number)
        for turn in range(rounds + 1):
            progress(f"processor time, round {turn} of {rounds}")
            for way in WAYS:
                for number in in_turn(turn):
                    used = banks[number].send(way, commands)
                    if turn:  # the first one warms up
                        found[way][number][turn] = used
    finally:
        for one in banks.values():
            one.close()
    return found


def catching_up(folder: Path, rounds: int, events: int, progress: Progress) -> ByReplicas:
    """Opening a store whose replicas were removed, until all have applied its events.

    Raises RuntimeError if a replica's table is wrong then.
    """
    found: ByReplicas = {number: {} for number in NUMBERS}
    progress(f"a log of {events:,} events")
    store = folder / "bank"
    write_log(store, bank, facts(events))
    for turn in range(rounds):
        for number in in_turn(turn):
            progress(f"catching up, round {turn + 1} of {rounds}: {number} of {NUMBERS[-1]} replicas")
            shutil.rmtree(store / "replicas", ignore_errors=True)
            stopwatch = Stopwatch()
            with System.open(store, bank, replicas=number) as system:
                system.wait_applied(timeout=TIMEOUT)
                found[number][turn] = stopwatch.used()
                for name in system.replica_names:
                    rows = system.dump(name, ledger)["accounts"]
                    if (len(rows), sum(row["balance"] for row in rows)) != expected(events):
                        raise RuntimeError(f"{name} caught up with {events:,} events, and its table is wrong")
    return found


@dataclass
class Peak:
    """Bytes and commands a second by round; no bytes where the system does not say."""

    bytes: dict[int, int] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)


def peak_memory(
    folder: Path, rounds: int, rate: float, seconds: float, progress: Progress
) -> dict[int, Peak]:
    """The most anonymous memory of a process that takes `rate` commands a second."""
    found = {number: Peak() for number in NUMBERS}
    for turn in range(rounds):
        for number in in_turn(turn):
            progress(f"memory, round {turn + 1} of {rounds}: {number} of {NUMBERS[-1]} replicas")
            with tempfile.TemporaryDirectory(dir=folder) as own:
                peak, reached = peak_of_load(Path(own) / "bank", number, rate, seconds)
            found[number].rates[turn] = reached
            if peak is not None:
                found[number].bytes[turn] = peak
    return found


def peak_of_load(store: Path, replicas: int, rate: float, seconds: float) -> tuple[int | None, float]:
    """Of `benchmarks.replicas.load`, from its start to its end, with the rate that it reached.

    Raises RuntimeError with its words if it fails.
    """
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "benchmarks.replicas.load", str(store), "--replicas", str(replicas)]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            peak = peak_of(child, seconds + TIMEOUT)
            output, errors = child.communicate()
        finally:
            child.kill()
    if child.returncode:
        raise RuntimeError(f"a bank of {replicas} replicas failed: {errors.strip()}")
    said: dict[str, Any] = json.loads(output)
    return peak, said["commands_per_second"]


def peak_of(child: subprocess.Popen[str], timeout: float) -> int | None:
    """The most anonymous memory that a child was seen with until it ended."""
    deadline = time.monotonic() + timeout
    peak = 0
    while child.poll() is None:
        peak = max(peak, anonymous_memory(child.pid) or 0)
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {child.pid} did not end within {timeout:.0f} s")
        time.sleep(SAMPLES_EVERY)
    return peak or None


def rates(
    folder: Path, rounds: int, commands: int, progress: Progress
) -> dict[str, dict[str, dict[int, float]]]:
    """Commands a second until every replica has applied them, by `SETUPS`, way of sending, and round."""
    found: dict[str, dict[str, dict[int, float]]] = {key: {way: {} for way in WAYS} for key in SETUPS}
    for turn in range(rounds):
        for key in list(SETUPS)[:: 1 if turn % 2 == 0 else -1]:
            setup = SETUPS[key]
            progress(f"commands a second, round {turn + 1} of {rounds}: {setup.name}")
            with tempfile.TemporaryDirectory(dir=folder) as own:
                one = OpenBank(Path(own) / "bank", setup.replicas, setup.workers)
                try:
                    with on_one_core() if setup.one_core else nullcontext():
                        for way in WAYS:
                            found[key][way][turn] = 1 / one.send(way, commands).wall
                finally:
                    one.close()
    return found
