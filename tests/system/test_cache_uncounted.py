"""What a cached query reads that no change of a table tells of is asked for each time."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, StorageError, System
from tests import inside
from tests.helpers import wait_until

harbour = Domain("harbour")
runs = itertools.count(1)


@harbour.event(state=None)
class Moored:
    number: int


quays = harbour.read_model("quays")
berths = quays.table("berths", key="number")
log = harbour.read_model(
    "log",
    engine="sqlite",
    schema="CREATE TABLE ships (number INTEGER PRIMARY KEY);"
    "CREATE VIEW dice AS SELECT random() AS eyes FROM ships",
)
others = harbour.read_model("others")
elsewhere = others.table("elsewhere", key="number")


@quays.on
def on_moored(event: Moored, tables: Any) -> None:
    tables[berths].put({"number": event.number})


@log.on
def on_moored_log(event: Moored, db: Any) -> None:
    db.execute("INSERT INTO ships VALUES (?)", (event.number,))


@others.on
def on_moored_others(event: Moored, tables: Any) -> None:
    tables[elsewhere].put({"number": event.number})


@harbour.query(reads=[log], cache=True)
class Throw:
    sql: str

    def run(self, view: Any) -> list[Any]:
        return [tuple(row) for row in view[log].execute(self.sql)]


@harbour.query(reads=[log], cache=True)
class Guess:
    """Has the die thrown, and says something where that is not possible."""

    sides: str

    def run(self, view: Any) -> Any:
        try:
            found = view[log].execute("SELECT random() / 8 * json_extract(?, '$')", (self.sides,))
            return found.fetchone()[0]
        except sqlite3.Error:
            return next(runs)


@harbour.query(reads=[quays], cache=True)
class When:
    what: str

    def run(self, view: Any) -> Any:
        len(view[berths])
        return view.opened if self.what == "opened" else view.position()


@harbour.query(reads=[quays], cache=True)
class Stumbles:
    """Asks for a table that it may not read, and makes the best of it."""

    def run(self, view: Any) -> int:
        try:
            return len(view[elsewhere])
        except Exception:
            return next(runs)


@harbour.query(reads=[quays], cache=True)
class Soundings:
    """Reads a row that can't be read, in one of the ways, and makes the best of it."""

    way: str

    def run(self, view: Any) -> int:
        reads: dict[str, Callable[[Any], Any]] = {
            "get": lambda table: table.get(1),
            "all": lambda table: list(table.all()),
            "columns": lambda table: table.get(1, columns=["number"]),
        }
        with suppress(StorageError):
            reads[self.way](view[berths])
        return next(runs)


@pytest.fixture(scope="module", params=["thread", "process"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    path = tmp_path_factory.mktemp("harbours") / "harbour"
    with System.open(path, harbour, replicas=1, workers=request.param) as system:
        system.append("harbour", [Moored(1)])
        system.wait_applied()
        yield system


@pytest.mark.parametrize(
    "query",
    [
        Throw("SELECT random()"),
        Throw("SELECT eyes FROM dice"),
        Throw("SELECT julianday('now'), random()"),
        When("opened"),
        Stumbles(),
        Guess("{"),
        Guess("6"),
    ],
)
def test_what_a_table_does_not_tell_of_is_another_answer_each_time(system: System, query: Any) -> None:
    assert len({str(system.query(query)) for _ in range(3)}) == 3


def test_what_rows_tell_is_kept_meanwhile(system: System) -> None:
    hits = system.health().cache.hits
    for _ in range(3):
        assert system.query(Throw("SELECT number FROM ships")) == [(1,)]
    wait_until(lambda: system.health().cache.hits == hits + 2)


@pytest.mark.parametrize("way", ["get", "all", "columns"])
def test_an_answer_made_of_the_error_of_a_damaged_row_is_not_kept(store_path: Path, way: str) -> None:
    with System.open(store_path, harbour, replicas=1) as system:
        system.append("harbour", [Moored(1)])
        system.wait_applied()
        store = inside.store(system, "replica-1")
        answers = [system.query(Soundings(way)) for _ in range(2)]
        assert len(set(answers)) == 1, "of a sound row it is kept"
        with store.snapshot() as snapshot:
            rows = snapshot.table("quays", berths)._handle.rows
        system.append("harbour", [Moored(2)])
        system.wait_applied()
        with store.write() as transaction:
            txn = transaction._access.live()
            with txn.cursor(rows) as cursor:
                assert cursor.first()
                cursor.put(cursor.key(), b"\xc1")
        assert len({system.query(Soundings(way)) for _ in range(3)}) == 3
