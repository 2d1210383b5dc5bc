"""A process that applies events to a replica when the tests of its reader say so, until it is ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.codec.codec import Codec
from storage.replica.replica_reader import ReplicaReader
from storage.replica.replica_store import ReplicaStore
from storage.tables.schema import ModelSchema, ObjectSchema, TableSchema

MAP = 1 << 27
ROWS = TableSchema("rows", "id", ["number"])
NEW_ROWS = TableSchema("rows", "id", ["number", "half"])
SUMS = ObjectSchema("sums", dict)
TABLES = ModelSchema("tables", 1, (ROWS,))
NEW_TABLES = ModelSchema("tables", 2, (NEW_ROWS,))
TEXTS = ModelSchema("texts", 1, engine="sqlite", script="CREATE TABLE texts (id INTEGER PRIMARY KEY, number)")
TOTALS = ModelSchema("totals", 1, engine="memory", objects=(SUMS,))
MODELS = {"tables": TABLES, "texts": TEXTS, "totals": TOTALS, "new": NEW_TABLES}


def apply(store: ReplicaStore, position: int) -> None:
    """Apply one event, which sets the number of every model to its position, in all builds."""
    with store.write() as transaction:
        for build in store.builds():
            target = transaction.target(build.key)
            if build.stored_schema.engine == "memory":
                target[SUMS]["number"] = position
            elif build.stored_schema.engine == "sqlite":
                target.execute("INSERT OR REPLACE INTO texts VALUES (1, ?)", (position,))
            else:
                (table,) = build.stored_schema.tables
                target[table].put({"id": position % 10, "number": position, "half": position // 2})
            transaction.set_checkpoint(build.key, position)


def commands(path: str, what: str, *names: str) -> Callable[[list[str]], Any]:
    """The commands of a process that applies events to the replica at `path`, or holds a snapshot of it."""
    models = [MODELS[name] for name in names]
    if what == "read":
        reader = ReplicaReader.open(path, Codec(), models, map_size=MAP)
        held: list[Any] = []
        return lambda words: held.append(reader.snapshot())

    def open_store(history: str) -> ReplicaStore:
        return ReplicaStore.open(
            path, models, Codec(), history_id=history, log_head=1 << 40, map_size=MAP, boot_id="boot-1"
        )

    store = open_store("h1")

    def run(words: list[str]) -> Any:
        nonlocal store
        verb, *values = words
        if verb == "apply":
            for position in range(int(values[0]), int(values[-1]) + 1):
                apply(store, position)
        elif verb == "build":
            store.start_build(values[0])
        elif verb == "activate":
            store.activate(store.wanted(values[0]).key)
        elif verb == "history":
            store.close()
            store = open_store(values[0])
        elif verb == "close":
            store.close()
        elif verb == "check":
            return store._environment.reader_check()
        elif verb == "forever":
            print("begun", flush=True)
            position = store.checkpoints()["tables"]
            while (Path(path).parent / "go-on").exists():
                apply(store, position := position + 1)
        return store.reset_reason is not None

    return run
