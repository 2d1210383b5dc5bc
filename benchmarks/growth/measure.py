"""Stores of growing length: how long each takes to open, its memory, and how large its files are.

Runs on the main thread; every opening is in a child process of its own, and the sizes take turns.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors import System
from benchmarks.domain import ChangePrice, shop
from benchmarks.growth.biglog import make_store
from benchmarks.peers.base import in_batches
from benchmarks.replay.workload import products_of
from benchmarks.workload import PRODUCTS, listing, sku

BATCH = 100
SAMPLES = 20
TIMEOUT = 600.0

Rounds = dict[int, float]
"""A figure by round."""


@dataclass(frozen=True)
class Files:
    """Bytes of the log and of one replica, and how many events and rows are in them."""

    events: int
    rows: int
    log: int
    replica: int


@dataclass
class Size:
    """A store of one length; seconds and bytes by round, and no bytes where the system does not say."""

    files: Files
    opening: Rounds = field(default_factory=dict)
    """Until `System.open` returned."""
    answered: Rounds = field(default_factory=dict)
    """Until the first query was answered, from the beginning."""
    opened: Rounds = field(default_factory=dict)
    """Anonymous memory after that."""
    worked: Rounds = field(default_factory=dict)
    """Anonymous memory after `commands` commands and as many queries."""
    reopened: Rounds = field(default_factory=dict)
    """Until the first query was answered, after a process was killed in the middle of work."""


@dataclass
class Growth:
    """What was found, by the number of events; `steady` are the files while the same rows change."""

    commands: int
    sizes: dict[int, Size] = field(default_factory=dict)
    steady: list[Files] = field(default_factory=list)


def measure(
    folder: Path,
    sizes: Sequence[int],
    *,
    rounds: int,
    commands: int,
    updates: int,
    progress: Callable[[str], object] = lambda _: None,
) -> Growth:
    """Open stores of `sizes` events in each of the rounds; then have each work, at most three times."""
    growth = Growth(commands)
    for events in sizes:
        progress(f"a store of {events:,} events")
        make_store(_place(folder, events), events)
        growth.sizes[events] = Size(_files(_place(folder, events), events, products_of(events)))
    for number in range(rounds):
        for events in sizes if number % 2 == 0 else reversed(sizes):
            progress(f"round {number + 1} of {rounds}: {events:,} events")
            found = _child(_place(folder, events), events, 0)
            size = growth.sizes[events]
            size.opening[number] = found["opening"]
            size.answered[number] = found["answered"]
            if found["opened"] is not None:
                size.opened[number] = found["opened"]
    # After all openings, since it makes the logs longer.
    for number in range(min(rounds, 3)):
        for events in sizes:
            progress(f"work on {events:,} events")
            found = _child(_place(folder, events), events, commands, kill=True)
            size = growth.sizes[events]
            if found["worked"] is not None:
                size.worked[number] = found["worked"]
            size.reopened[number] = _child(_place(folder, events), events, 0)["answered"]
    progress("the same rows again and again")
    growth.steady += _steady(folder / "steady", updates)
    return growth


def _place(folder: Path, events: int) -> Path:
    return folder / f"events-{events}"


def _child(store: Path, events: int, commands: int, *, kill: bool = False) -> dict[str, Any]:
    """What `benchmarks.growth.opening` says of a store; raises RuntimeError with its words if it fails."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "benchmarks.growth.opening", str(store)),
            *("--products", str(products_of(events)), "--commands", str(commands)),
            *(["--kill"] if kill else []),
        ],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode != (-signal.SIGKILL if kill else 0):
        raise RuntimeError(f"opening {store} failed: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _steady(path: Path, updates: int) -> list[Files]:
    """The files from time to time while all products are repriced in turn, in large batches."""
    found = []
    with System.open(path, shop, replicas=1) as system:
        system.execute_many([listing(number) for number in range(PRODUCTS)], timeout=TIMEOUT)
        for part in in_batches(range(updates), max(updates // SAMPLES, 1)):
            for batch in in_batches(part, BATCH):
                commands = [ChangePrice(sku(number % PRODUCTS), 5_000 + number) for number in batch]
                system.execute_many(commands, timeout=TIMEOUT)
            system.wait_applied(timeout=TIMEOUT)
            found.append(_files(path, system.position, PRODUCTS))
    return found


def _files(path: Path, events: int, rows: int) -> Files:
    return Files(events, rows, _bytes(path / "data.mdb"), _bytes(path / "replicas"))


def _bytes(path: Path) -> int:
    """What the files take on the disk, but for those in which LMDB keeps its readers."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files if one.name != "lock.mdb")
