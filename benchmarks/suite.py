"""What is measured beside what: the entries of the tables, in the order in which they are shown."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.cores import POSSIBLE
from benchmarks.harness import CommandEntry, QueryEntry
from benchmarks.workload import BATCH, RANGE_LENGTH, SUM_LENGTH

MANY = 64
SOME = 32
TASKS = 1_000


def peer(module: str, name: str, **settings: Any) -> Callable[[], Any]:
    """Makes the peer when its turn comes: importing it may need a package that is not there."""

    def make() -> Any:
        return getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(**settings)

    return make


def on_one_core(make: Callable[[], Any]) -> Callable[[], Any]:
    """Makes the peer with this process on one core while it works."""
    return lambda: peer("one_core", "OnOneCore", make=make)()


def _commands(
    key: str, label: str, make: Callable[[], Any], *, callers: int = 1, times: float = 1.0
) -> CommandEntry:
    return CommandEntry(f"commands/{key}", label, make, callers, times)


ONE = "onewriter, 1 replica"
THREE = "onewriter, 3 replicas"
PROCESSES = "onewriter, 3 in processes"
ONE_PROCESS = "onewriter, 1 in a process"
ON_ONE_CORE = "on one core"
EVENTSOURCING = "eventsourcing, SQLite"

# An fsync for each command: fewer of them. Thousands a second more: more of them.
FEW, MORE, MOST = 0.5, 2.0, 5.0


def _many_on_one_core() -> list[CommandEntry]:
    """Threads that share an interpreter, on one core, where the system lets a process choose."""
    if not POSSIBLE:
        return []
    makers = {
        "onewriter-one-core": (
            f"{THREE}, {ON_ONE_CORE}: execute",
            peer("onewriter", "OneWriterCallers"),
        ),
        "onewriter-one-replica-one-core": (
            f"{ONE}, {ON_ONE_CORE}: execute",
            peer("onewriter", "OneWriterCallers", replicas=1),
        ),
        "onewriter-one-process-one-core": (
            f"{ONE_PROCESS}, the rest {ON_ONE_CORE}: execute",
            peer("onewriter", "OneWriterCallers", replicas=1, workers="process"),
        ),
        "umadb-one-core": (
            f"UmaDB, its clients {ON_ONE_CORE}: append",
            peer("umadb_server", "UmaDbCommands"),
        ),
        "bare-one-core": (f"bare loop, {ON_ONE_CORE}: ask", peer("bare_loop", "BareLoop")),
    }
    return [
        _commands(f"{key}-{MANY}", label, on_one_core(make), callers=MANY, times=MORE)
        for key, (label, make) in makers.items()
    ]


COMMANDS = [
    _commands("onewriter-1", f"{THREE}: execute", peer("onewriter", "OneWriterCallers"), times=FEW),
    _commands(
        "onewriter-one-replica-1",
        f"{ONE}: execute",
        peer("onewriter", "OneWriterCallers", replicas=1),
        times=FEW,
    ),
    _commands(
        "onewriter-processes-1",
        f"{PROCESSES}: execute",
        peer("onewriter", "OneWriterCallers", workers="process"),
        times=FEW,
    ),
    _commands(
        "eventsourcing-1",
        f"{EVENTSOURCING}: as installed",
        peer("eventsourcing_sqlite", "EventsourcingCommands"),
        times=FEW,
    ),
    _commands(
        "eventsourcing-cached-1",
        f"{EVENTSOURCING}: cached",
        peer("eventsourcing_sqlite", "EventsourcingCommands", cached=True),
        times=FEW,
    ),
    _commands("umadb-1", "UmaDB: append", peer("umadb_server", "UmaDbCommands"), times=FEW),
    _commands("sqlite-1", "sqlite3", peer("sqlite", "SqliteCommands"), times=FEW),
    _commands("lmdb-1", "raw LMDB", peer("raw_lmdb", "LmdbCommands"), times=FEW),
    _commands("bare-1", "bare loop: ask", peer("bare_loop", "BareLoop"), times=FEW),
    _commands("umadb-32", "UmaDB: append", peer("umadb_server", "UmaDbCommands"), callers=SOME),
    _commands(
        "onewriter-64", f"{THREE}: execute", peer("onewriter", "OneWriterCallers"), callers=MANY, times=MORE
    ),
    _commands(
        "onewriter-one-replica-64",
        f"{ONE}: execute",
        peer("onewriter", "OneWriterCallers", replicas=1),
        callers=MANY,
        times=MORE,
    ),
    _commands(
        "onewriter-processes-64",
        f"{PROCESSES}: execute",
        peer("onewriter", "OneWriterCallers", workers="process"),
        callers=MANY,
        times=MORE,
    ),
    _commands(
        "eventsourcing-cached-64",
        f"{EVENTSOURCING}: cached",
        peer("eventsourcing_sqlite", "EventsourcingCommands", cached=True),
        callers=MANY,
        times=FEW,
    ),
    _commands("umadb-64", "UmaDB: append", peer("umadb_server", "UmaDbCommands"), callers=MANY, times=MORE),
    *_many_on_one_core(),
    _commands("sqlite-64", "sqlite3", peer("sqlite", "SqliteCommands"), callers=MANY),
    _commands("bare-64", "bare loop: ask", peer("bare_loop", "BareLoop"), callers=MANY, times=MORE),
    _commands("onewriter-submit", f"{THREE}: submit", peer("onewriter", "OneWriterSubmit"), times=MOST),
    _commands(
        "onewriter-processes-submit",
        f"{PROCESSES}: submit",
        peer("onewriter", "OneWriterSubmit", workers="process"),
        times=MOST,
    ),
    _commands(
        "onewriter-one-replica-submit",
        f"{ONE}: submit",
        peer("onewriter", "OneWriterSubmit", replicas=1),
        times=MOST,
    ),
    _commands(
        "onewriter-tasks",
        f"{THREE}: aexecute, tasks",
        peer("onewriter", "OneWriterTasks"),
        callers=TASKS,
        times=MOST,
    ),
    _commands(
        "bare-submit",
        "bare loop: ask, replies later",
        peer("bare_loop", "BareLoop", pipelined=True),
        times=MOST,
    ),
    _commands(
        "bare-one-replica-submit",
        "bare loop, 1 replica",
        peer("bare_loop", "BareLoop", pipelined=True, replicas=1),
        times=MOST,
    ),
    _commands(
        "bare-three-replicas-submit",
        "bare loop, 3 replicas",
        peer("bare_loop", "BareLoop", pipelined=True, replicas=3),
        times=MOST,
    ),
    _commands(
        "bare-three-tables-submit",
        "bare loop, 3 replicas that keep the same table",
        peer("bare_loop", "BareLoop", pipelined=True, replicas=3, tables=True),
        times=MOST,
    ),
    _commands(
        "stripped-submit",
        "stripped loop: replies later",
        peer("stripped_loop", "StrippedLoop"),
        times=MOST,
    ),
    _commands(
        "onewriter-many",
        f"{THREE}: execute_many by {BATCH}",
        peer("onewriter", "OneWriterMany"),
        times=MOST,
    ),
    _commands(
        "onewriter-processes-many",
        f"{PROCESSES}: execute_many by {BATCH}",
        peer("onewriter", "OneWriterMany", workers="process"),
        times=MOST,
    ),
    _commands(
        "onewriter-one-process-many",
        f"{ONE_PROCESS}: execute_many by {BATCH}",
        peer("onewriter", "OneWriterMany", replicas=1, workers="process"),
        times=MOST,
    ),
    _commands(
        "sqlite-many", f"sqlite3: by {BATCH}", peer("sqlite", "SqliteCommands", batch=BATCH), times=MOST
    ),
    _commands(
        "lmdb-many", f"raw LMDB: by {BATCH}", peer("raw_lmdb", "LmdbCommands", batch=BATCH), times=MOST
    ),
]

QUERIES = [
    QueryEntry(
        "queries/onewriter-query",
        "onewriter: query, by key",
        peer("onewriter_queries", "OneWriterQuery"),
        times=0.2,
    ),
    QueryEntry(
        "queries/pykka-ask", "bare Pykka ask, replied at once", peer("pykka_ask", "PykkaAsk"), times=0.2
    ),
    QueryEntry(
        "queries/pykka-ask-lmdb",
        "bare Pykka ask, LMDB get and decode",
        peer("pykka_ask", "PykkaAsk", reading=True),
        times=0.2,
    ),
    QueryEntry(
        "queries/onewriter-many",
        f"onewriter: query_many by {BATCH}, by key",
        peer("onewriter_queries", "OneWriterQueryMany"),
        times=2.0,
    ),
    QueryEntry(
        "queries/onewriter-view",
        "onewriter: view, get",
        peer("onewriter_queries", "OneWriterView"),
        times=5.0,
    ),
    QueryEntry("queries/sqlite-key", "sqlite3: by key", peer("sqlite", "SqliteQueries")),
    QueryEntry("queries/lmdb-key", "raw LMDB: get, decode", peer("raw_lmdb", "LmdbQueries"), times=5.0),
]
RANGES = [
    QueryEntry(
        "ranges/onewriter-query",
        f"onewriter: query, {RANGE_LENGTH} rows by price",
        peer("onewriter_queries", "OneWriterQuery", wanted="range"),
        "range",
        0.2,
    ),
    QueryEntry(
        "ranges/onewriter-view",
        f"onewriter: view, {RANGE_LENGTH} rows by price",
        peer("onewriter_queries", "OneWriterView", wanted="range"),
        "range",
    ),
    QueryEntry(
        "ranges/sqlite",
        f"sqlite3: {RANGE_LENGTH} rows by price",
        peer("sqlite", "SqliteQueries", wanted="range"),
        "range",
    ),
    QueryEntry(
        "ranges/lmdb",
        f"raw LMDB: {RANGE_LENGTH} rows by price",
        peer("raw_lmdb", "LmdbQueries", wanted="range"),
        "range",
    ),
]


def _workers(number: int, kind: str, what: str) -> QueryEntry:
    """One caller with several batches on their way; sums are asked for in small batches."""
    names = {"thread": ("1 thread", "2 threads"), "process": ("1 process", "2 processes")}
    asked = f"sums over {SUM_LENGTH} rows" if what == "sum" else "by key"
    return QueryEntry(
        f"{'sums' if what == 'sum' else 'carried'}/{kind}-{number}",
        f"{names[kind][number - 1]}: {asked}",
        peer(
            "onewriter_queries",
            "OneWriterBatchesInFlight",
            wanted=what,
            replicas=number,
            workers=kind,
            batch=20 if what == "sum" else BATCH,
        ),
        "sum" if what == "sum" else "row",
        0.1 if what == "sum" else 1.0,
    )


_KINDS = [(number, kind) for kind in ("thread", "process") for number in (1, 2)]
SUMS = [_workers(number, kind, "sum") for number, kind in _KINDS]
CARRIED = [_workers(number, kind, "row") for number, kind in _KINDS]
