"""A domain of which three engines keep a model each, for tests of replicas and models that fail while they
are asked.

Its queries can be held from outside, by files, so that this works in worker processes too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from actors import Domain, System
from storage.engines.sqlite import pool as sqlite_pool
from tests import inside
from tests.helpers import wait_until

NO_SNAPSHOTS = "ONEWRITER_TESTS_NO_SNAPSHOTS"
"""In the environment: a worker process that imports this has no snapshot of a SQLite database left to give.
"""

if NO_SNAPSHOTS in os.environ:
    sqlite_pool.MAX_OPEN = 0

crews = Domain("crews")


@crews.event(state=None)
class Joined:
    number: int


sailors = crews.read_model("sailors")
berths = sailors.table("berths", key="number")
roll = crews.read_model("roll", engine="sqlite", schema="CREATE TABLE roll (number INTEGER PRIMARY KEY)")
tally = crews.read_model("tally", engine="memory")
total = tally.object("total", list)
ledger = crews.read_model("ledger", inline=True)
lines = ledger.table("lines", key="number")


class Held:
    """What the memory model's projection does before it applies, in threads."""

    wait: Any = None


@sailors.on
def on_joined(event: Joined, tables: Any) -> None:
    tables[berths].put({"number": event.number})


@roll.on
def on_joined_roll(event: Joined, db: Any) -> None:
    db.execute("INSERT INTO roll VALUES (?)", (event.number,))


@tally.on
def on_joined_tally(event: Joined, objects: Any) -> None:
    found = objects[total]
    if Held.wait is not None:
        Held.wait()
    found.append(event.number)


@ledger.on
def on_joined_ledger(event: Joined, tables: Any) -> None:
    tables[lines].put({"number": event.number})


def hold(folder: str) -> None:
    """Say that a query runs, and wait until it may go on; only the first one that comes."""
    if not folder:
        return
    try:
        (Path(folder) / "running").touch(exist_ok=False)
    except FileExistsError:
        return
    wait_until((Path(folder) / "go").exists)


@crews.query(reads=[sailors])
class Berths:
    """With a folder it is held on its first run, and then reads."""

    folder: str = ""

    def run(self, view: Any) -> list[int]:
        hold(self.folder)
        return [row["number"] for row in view[berths].all()]


@crews.query(reads=[sailors])
class Shrugs:
    """Takes every error for an empty table."""

    folder: str = ""

    def run(self, view: Any) -> list[int]:
        hold(self.folder)
        try:
            return [row["number"] for row in view[berths].all()]
        except Exception:
            return []


@crews.query(reads=[sailors], cache=True)
class ShrugsCached:
    folder: str = ""

    def run(self, view: Any) -> list[int]:
        return Shrugs.run(self, view)  # type: ignore[arg-type]


@crews.query(reads=[roll])
class Roll:
    folder: str = ""

    def run(self, view: Any) -> list[int]:
        hold(self.folder)
        return [number for (number,) in view[roll].execute("SELECT number FROM roll ORDER BY number")]


@crews.query(reads=[tally])
class Tally:
    folder: str = ""

    def run(self, view: Any) -> list[int]:
        hold(self.folder)
        return list(view[total])


@crews.query(reads=[ledger])
class Ledger:
    folder: str = ""

    def run(self, view: Any) -> list[int]:
        hold(self.folder)
        return [row["number"] for row in view[lines].all()]


def asked_at(system: System, actor: str, *queries: Any, timeout: float = 20.0) -> list[Any]:
    """Put these queries to one query actor, each by itself, as the balancer may; returns their jobs."""
    mailbox = inside.query_mailbox(system, actor)
    jobs = [inside.query_job(system, query, timeout=timeout) for query in queries]
    for job in jobs:
        mailbox.put(job)
    return jobs


def asked_together(system: System, actor: str, folder: Path, *queries: Any) -> list[Any]:
    """As `asked_at`, behind a query that holds the actor up until `let_go`, so that these wait there
    together.
    """
    folder.mkdir()
    asked_at(system, actor, Berths(str(folder)))
    wait_until((folder / "running").exists)
    return asked_at(system, actor, *queries)


def let_go(folder: Path) -> None:
    (folder / "go").touch()
