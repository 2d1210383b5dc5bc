"""A domain whose models say the same of a handful of entries in four ways, and its queries, each with a
cached twin.

What a query has to answer is told by `Asked.expected` from a plain dictionary of the entries, by brute force.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from actors import Domain, SnapshotClosed, StorageError
from actors.queries import local_replica
from storage.engines.sqlite import pool as sqlite_pool
from storage.engines.sqlite.pool import SqliteReaderPool
from tests.oracle.value_forms import BERLIN, as_stored, shown_exactly

entries = Domain("entries")
Entries = dict[str, tuple[int, str, int]]
"""Group, words and weight of each entry."""

SICK = "sick on purpose"
SICK_FILE = "ONEWRITER_TESTS_SICK_FILE"
"""In the environment: the file that makes the model in SQLite sick in this process for as long as it is
there.
"""

FILES_CHECKED = "ONEWRITER_TESTS_FILES_CHECKED"
"""There too: seconds after which a worker process looks whether its replica's files are there."""


def sicken(file: str) -> Callable[[], None]:
    """Have no snapshot of a SQLite database be had while the file is there; returns what ends that."""
    snapshot = SqliteReaderPool.snapshot

    def sick(self: SqliteReaderPool, closed: type[SnapshotClosed] = SnapshotClosed) -> Any:
        if os.path.exists(file):
            raise StorageError(SICK)
        return snapshot(self, closed)

    def heal() -> None:
        SqliteReaderPool.snapshot = snapshot  # type: ignore[method-assign]

    SqliteReaderPool.snapshot = sick  # type: ignore[method-assign]
    return heal


if SICK_FILE in os.environ:  # a worker process
    sicken(os.environ[SICK_FILE])
    local_replica.FILES_CHECK_EVERY = float(os.environ[FILES_CHECKED])
    if local_replica.FILES_CHECK_EVERY:
        sqlite_pool.MAX_IDLE = 0


# -- what happens --------------------------------------------------------------------------------------------
@entries.event(state=None)
class Put:
    key: str
    group: int
    words: str
    weight: int


@entries.event(state=None)
class Dropped:
    key: str


def folded(before: Entries, event: Any) -> Entries:
    """The entries after an event."""
    after = dict(before)
    if isinstance(event, Put):
        after[event.key] = (event.group, event.words, event.weight)
    else:
        after.pop(event.key, None)
    return after


# -- models --------------------------------------------------------------------------------------------------
rows = entries.read_model("rows")
row = rows.table("row", key="key", indexes=["group"])
number = rows.table("number", key="group")
sql = entries.read_model(
    "sql",
    engine="sqlite",
    schema="""
    CREATE TABLE entry (id INTEGER PRIMARY KEY, key TEXT UNIQUE, grp INTEGER, words TEXT, weight INTEGER);
    CREATE TABLE total (grp INTEGER PRIMARY KEY, number INTEGER, weight INTEGER);
    CREATE VIRTUAL TABLE texts USING fts5(words);
    CREATE VIRTUAL TABLE places USING rtree(id, low, high);
    CREATE VIEW heavy AS SELECT key FROM entry WHERE weight > 50;
    CREATE TRIGGER added AFTER INSERT ON entry BEGIN
        INSERT OR IGNORE INTO total VALUES (new.grp, 0, 0);
        UPDATE total SET number = number + 1, weight = weight + new.weight WHERE grp = new.grp;
        INSERT INTO texts(rowid, words) VALUES (new.id, new.words);
        INSERT INTO places VALUES (new.id, new.weight, new.weight);
    END;
    CREATE TRIGGER removed AFTER DELETE ON entry BEGIN
        UPDATE total SET number = number - 1, weight = weight - old.weight WHERE grp = old.grp;
        DELETE FROM texts WHERE rowid = old.id;
        DELETE FROM places WHERE id = old.id;
    END;
    """,
)
memory = entries.read_model("memory", engine="memory")
held = memory.object("held", dict)
inline = entries.read_model("inline", inline=True)
line = inline.table("line", key="key", indexes=["group"])


def _count(tables: Any, group: int, by: int) -> None:
    known = tables[number].get(group)
    tables[number].put({"group": group, "number": (known["number"] if known else 0) + by})


@rows.on
def on_put(event: Put, tables: Any) -> None:
    on_dropped(Dropped(event.key), tables)
    tables[row].put({"key": event.key, "group": event.group, "words": event.words, "weight": event.weight})
    _count(tables, event.group, 1)


@rows.on
def on_dropped(event: Dropped, tables: Any) -> None:
    known = tables[row].get(event.key)
    if known is not None:
        tables[row].delete(event.key)
        _count(tables, known["group"], -1)


@sql.on
def on_put_sql(event: Put, db: Any) -> None:
    on_dropped_sql(Dropped(event.key), db)
    db.execute(
        "INSERT INTO entry (key, grp, words, weight) VALUES (?, ?, ?, ?)",
        (event.key, event.group, event.words, event.weight),
    )


@sql.on
def on_dropped_sql(event: Dropped, db: Any) -> None:
    db.execute("DELETE FROM entry WHERE key = ?", (event.key,))


@memory.on
def on_put_memory(event: Put, objects: Any) -> None:
    objects[held][event.key] = [event.group, event.weight]


@memory.on
def on_dropped_memory(event: Dropped, objects: Any) -> None:
    objects[held].pop(event.key, None)


@inline.on
def on_put_inline(event: Put, tables: Any) -> None:
    tables[line].put({"key": event.key, "group": event.group, "weight": event.weight})


@inline.on
def on_dropped_inline(event: Dropped, tables: Any) -> None:
    if tables[line].get(event.key) is not None:
        tables[line].delete(event.key)


# -- queries -------------------------------------------------------------------------------------------------
class Asked(NamedTuple):
    """A kind of query: the models that it reads, what it asks a view for, and what the entries say."""

    models: tuple[Any, ...]
    ask: Callable[[Any, int], Any]
    tell: Callable[[Entries, int], Any]

    def expected(self, state: Entries, query: Any) -> Any:
        """What the query gives, in the form of `shown_exactly`."""
        what = as_stored(query.what)
        spare = [*query.spare, len(query.spare)]
        more = as_stored(_loose()) if query.cached else None
        return shown_exactly([shown_exactly(what), what, spare, more, self.tell(state, query.argument)])


def _loose() -> Any:
    """What comes back from the cache as something else."""
    return bytearray(b"x"), datetime(2026, 3, 28, 12, tzinfo=BERLIN)


def _weights(state: Entries, group: int) -> list[list[Any]]:
    return sorted([key, weight] for key, (of, _, weight) in state.items() if of == group)


def _sql(statement: str) -> Callable[[Any, int], list[Any]]:
    def ask(view: Any, argument: int) -> list[Any]:
        return sorted(list(found) for found in view[sql].execute(statement, {"of": argument}))

    return ask


def _steady(view: Any, _: int) -> list[Any]:
    """Counts for a while, so that much happens meanwhile."""
    counts = set()
    for _ in range(40):
        counted = view[sql].execute("SELECT count(*) FROM entry").fetchone()[0]
        counts.add((len(list(view[row].all())), counted))
    return [list(one) for one in counts]


def _number(view: Any, group: int) -> int:
    found = view[number].get(group)
    return found["number"] if found else 0


KINDS = {
    "weights": Asked(
        (rows,),
        lambda view, group: [[one["key"], one["weight"]] for one in view[row].find("group", group)],
        _weights,
    ),
    "number": Asked((rows,), _number, lambda state, group: len(_weights(state, group))),
    "every": Asked((rows,), lambda view, _: list(view[row].keys()), lambda state, _: sorted(state)),
    "steady": Asked(
        (rows, sql),
        _steady,
        lambda state, _: [[len(state)] * 2],
    ),
    "words": Asked(
        (sql,),
        _sql("SELECT key FROM texts JOIN entry ON entry.id = texts.rowid WHERE texts MATCH 'w' || :of"),
        lambda state, word: sorted(
            [key] for key, (_, words, _) in state.items() if f"w{word}" in words.split()
        ),
    ),
    "near": Asked(
        (sql,),
        _sql("SELECT key FROM places JOIN entry USING (id) WHERE low >= :of * 10 AND high < :of * 10 + 30"),
        lambda state, of: sorted(
            [key] for key, (_, _, weight) in state.items() if of * 10 <= weight < of * 10 + 30
        ),
    ),
    "total": Asked(
        (sql,),
        _sql("SELECT number, weight FROM total WHERE grp = :of AND number > 0"),
        lambda state, group: (
            [[len(found), sum(weight for _, weight in found)]] if (found := _weights(state, group)) else []
        ),
    ),
    "heavy": Asked(
        (sql,),
        _sql("SELECT key FROM heavy"),
        lambda state, _: sorted([key] for key, (_, _, weight) in state.items() if weight > 50),
    ),
    "held": Asked(
        (memory,),
        lambda view, group: sorted([key, weight] for key, (of, weight) in view[held].items() if of == group),
        _weights,
    ),
    "across": Asked(
        (rows, sql, memory),
        lambda view, _: [
            len(view[row]),
            view[sql].execute("SELECT count(*) FROM entry").fetchone()[0],
            len(view[held]),
        ],
        lambda state, _: [len(state)] * 3,
    ),
    "lines": Asked(
        (inline,),
        lambda view, group: [[one["key"], one["weight"]] for one in view[line].find("group", group)],
        _weights,
    ),
}


def _twin(kind: str, asked: Asked, cache: bool) -> Any:
    kept = cache and asked.models != (inline,)  # the writer's own tables are always read

    @entries.query(reads=list(asked.models), cache=cache, name=f"{kind}{'-cached' if cache else ''}")
    class Query:
        """Also tells what it holds, and takes from its list, as a run may."""

        argument: int
        what: Any
        spare: list[int]

        def run(self, view: Any) -> list[Any]:
            self.spare.append(len(self.spare))
            more = _loose() if kept else None
            return [shown_exactly(self.what), self.what, self.spare, more, asked.ask(view, self.argument)]

        cached = property(lambda self: kept)

    return Query


TWINS = {kind: (_twin(kind, asked, False), _twin(kind, asked, True)) for kind, asked in KINDS.items()}


@entries.query(reads=[rows, sql, memory])
class At:
    """Where the snapshot is that all queries of a call share."""

    def run(self, view: Any) -> int:
        return int(view.position())
