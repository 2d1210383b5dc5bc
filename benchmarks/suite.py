"""What is measured beside what, and what onewriter aims at."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import APPLIED, CommandEntry, Entry, QueryEntry
from benchmarks.workload import BATCH, RANGE_LENGTH

MANY = 64
SOME = 32


def _peer(module: str, name: str, **settings: Any) -> Callable[[], Any]:
    """Makes the peer when its turn comes: importing it may need a package that is not there."""

    def make() -> Any:
        return getattr(importlib.import_module(f"benchmarks.peers.{module}"), name)(**settings)

    return make


ONEWRITER = "onewriter, 3 replicas"
EVENTSOURCING = "eventsourcing, SQLite"

COMMANDS: list[Entry] = [
    CommandEntry("commands/onewriter-1", f"{ONEWRITER}: execute", _peer("onewriter", "OneWriterCallers")),
    CommandEntry(
        "commands/eventsourcing-1",
        f"{EVENTSOURCING}: as installed",
        _peer("eventsourcing_sqlite", "EventsourcingCommands"),
    ),
    CommandEntry(
        "commands/eventsourcing-cached-1",
        f"{EVENTSOURCING}: cached",
        _peer("eventsourcing_sqlite", "EventsourcingCommands", cached=True),
    ),
    CommandEntry("commands/umadb-1", "UmaDB: append", _peer("umadb_server", "UmaDbCommands")),
    CommandEntry("commands/sqlite-1", "sqlite3", _peer("sqlite", "SqliteCommands")),
    CommandEntry("commands/lmdb-1", "raw LMDB", _peer("raw_lmdb", "LmdbCommands")),
    CommandEntry("commands/bare-1", "bare loop: ask", _peer("bare_loop", "BareLoop")),
    CommandEntry("commands/umadb-32", "UmaDB: append", _peer("umadb_server", "UmaDbCommands"), SOME),
    CommandEntry(
        "commands/onewriter-64", f"{ONEWRITER}: execute", _peer("onewriter", "OneWriterCallers"), MANY
    ),
    CommandEntry(
        "commands/onewriter-one-replica-64",
        "onewriter, 1 replica: execute",
        _peer("onewriter", "OneWriterCallers", replicas=1),
        MANY,
    ),
    CommandEntry(
        "commands/eventsourcing-cached-64",
        f"{EVENTSOURCING}: cached",
        _peer("eventsourcing_sqlite", "EventsourcingCommands", cached=True),
        MANY,
    ),
    CommandEntry("commands/umadb-64", "UmaDB: append", _peer("umadb_server", "UmaDbCommands"), MANY),
    CommandEntry("commands/sqlite-64", "sqlite3", _peer("sqlite", "SqliteCommands"), MANY),
    CommandEntry("commands/bare-64", "bare loop: ask", _peer("bare_loop", "BareLoop"), MANY),
    CommandEntry("commands/onewriter-submit", f"{ONEWRITER}: submit", _peer("onewriter", "OneWriterSubmit")),
    CommandEntry(
        "commands/bare-submit",
        "bare loop: ask, replies later",
        _peer("bare_loop", "BareLoop", pipelined=True),
    ),
    CommandEntry(
        "commands/onewriter-many",
        f"{ONEWRITER}: execute_many by {BATCH}",
        _peer("onewriter", "OneWriterMany"),
    ),
    CommandEntry(
        "commands/sqlite-many", f"sqlite3: by {BATCH}", _peer("sqlite", "SqliteCommands", batch=BATCH)
    ),
    CommandEntry(
        "commands/lmdb-many", f"raw LMDB: by {BATCH}", _peer("raw_lmdb", "LmdbCommands", batch=BATCH)
    ),
]

QUERIES: list[Entry] = [
    QueryEntry("queries/onewriter-query", "onewriter: query, by key", _peer("onewriter", "OneWriterQuery")),
    QueryEntry(
        "queries/onewriter-many",
        f"onewriter: query_many by {BATCH}, by key",
        _peer("onewriter", "OneWriterQueryMany"),
    ),
    QueryEntry("queries/onewriter-view", "onewriter: view, get", _peer("onewriter", "OneWriterView")),
    QueryEntry("queries/sqlite-key", "sqlite3: by key", _peer("sqlite", "SqliteQueries")),
    QueryEntry("queries/lmdb-key", "raw LMDB: get, decode", _peer("raw_lmdb", "LmdbQueries")),
]
RANGES: list[Entry] = [
    QueryEntry(
        "queries/onewriter-query-range",
        f"onewriter: query, {RANGE_LENGTH} rows by price",
        _peer("onewriter", "OneWriterQuery", ranges=True),
        True,
    ),
    QueryEntry(
        "queries/onewriter-view-range",
        f"onewriter: view, {RANGE_LENGTH} rows by price",
        _peer("onewriter", "OneWriterView", ranges=True),
        True,
    ),
    QueryEntry(
        "queries/sqlite-range",
        f"sqlite3: {RANGE_LENGTH} rows by price",
        _peer("sqlite", "SqliteQueries", ranges=True),
        True,
    ),
    QueryEntry(
        "queries/lmdb-range",
        f"raw LMDB: {RANGE_LENGTH} rows by price",
        _peer("raw_lmdb", "LmdbQueries", ranges=True),
        True,
    ),
]


@dataclass(frozen=True)
class Aim:
    """`one` is to reach `times` the figure of `other`, compared within each round."""

    text: str
    one: str
    other: str
    times: float


AIMS = [
    Aim(
        "submit, to the last acknowledgement / eventsourcing as installed",
        "commands/onewriter-submit",
        "commands/eventsourcing-1",
        6.0,
    ),
    Aim(
        "submit, until every replica has applied / eventsourcing as installed",
        "commands/onewriter-submit" + APPLIED,
        "commands/eventsourcing-1",
        6.0,
    ),
    Aim(
        "submit, to the last acknowledgement / eventsourcing cached",
        "commands/onewriter-submit",
        "commands/eventsourcing-cached-1",
        6.0,
    ),
    Aim(
        "submit, until every replica has applied / eventsourcing cached",
        "commands/onewriter-submit" + APPLIED,
        "commands/eventsourcing-cached-1",
        6.0,
    ),
    Aim("one caller / raw LMDB, an fsync each", "commands/onewriter-1", "commands/lmdb-1", 0.7),
    Aim("64 callers, 3 replicas / UmaDB with 64 clients", "commands/onewriter-64", "commands/umadb-64", 1.0),
    Aim(
        "64 callers, 1 replica / UmaDB with 64 clients",
        "commands/onewriter-one-replica-64",
        "commands/umadb-64",
        1.0,
    ),
    Aim("view get / raw LMDB get and decode", "queries/onewriter-view", "queries/lmdb-key", 0.4),
]
