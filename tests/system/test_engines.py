"""Read models of all engines side by side: the same answers, one position, exactly once, faults
kept apart.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors import Domain, ModelStopped, QueryFailed, System, ViewExpired
from actors.testing import given, open_system
from storage import StorageError
from storage.engines.sqlite.store import FILE
from tests import inside
from tests.forked import Forked
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.ledger import (
    EACH,
    MODELS,
    Deposit,
    Deposited,
    Everywhere,
    InMemory,
    InSqlite,
    InTables,
    Lent,
    by_name,
    failing,
    fold,
    in_memory,
    in_sqlite,
    ledger,
)
from tests.system.ledger_child import KILLED
from tests.system.test_closing import in_a_child


@pytest.fixture(autouse=True)
def _none_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.01)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 0.05)
    failing.clear()
    yield
    failing.clear()


def check(system: System) -> int:
    """Every replica's models say what the log says; returns the number of events."""
    system.wait_applied(timeout=PATIENCE)
    events = list(system.subscribe(until=system.position)) if system.position else []
    expected = fold(events)
    for replica in system.replica_names:
        tables, sqlite, memory = (system.dump(replica, model) for model in MODELS)
        assert {row["name"]: (row["deposits"], row["total"]) for row in tables["accounts"]} == expected
        assert {row["name"]: (row["deposits"], row["total"]) for row in sqlite["accounts"]} == expected
        [row] = memory["by_name"]
        assert {name: (one["deposits"], one["total"]) for name, one in row["value"].items()} == expected
    return len(events)


# -- the same everywhere -----------------------------------------------------------------------
def test_the_same_events_give_the_same_answers_in_every_engine(tmp_path):
    with System.open(tmp_path / "store", ledger, replicas=2) as system:
        system.execute_many([Deposit(f"a{number % 10}", number) for number in range(500)])
        answers = [system.query(query(), consistency="strong") for query in EACH]
        assert answers[0] == answers[1] == answers[2]
        assert check(system) == 500
    with System.open(tmp_path / "store", ledger, replicas=2) as system:
        assert [system.query(query(), consistency="strong") for query in EACH] == answers
        system.execute(Deposit("a1", 5))
        assert check(system) == 501


def test_a_query_over_all_engines_sees_one_position_while_events_are_applied(tmp_path):
    ending = threading.Event()
    with System.open(tmp_path / "store", ledger, replicas=2) as system, Threads() as threads:

        def write(worker: int) -> None:
            number = 0
            while not ending.is_set():
                number += 1
                system.execute_many([Deposit(f"a{(number + worker) % 5}", number) for _ in range(5)])

        def read() -> None:
            # Before the writers' first events every engine is empty.
            wait_until(lambda: system.position)
            system.wait_applied(1, timeout=PATIENCE)
            for _ in range(150):
                tables, sqlite, memory = system.query(Everywhere())
                assert tables == sqlite == memory
                assert sum(count for count, _ in memory.values())

        def look() -> None:
            for _ in range(50):
                with system.view(*MODELS) as view:
                    tables, sqlite, memory = Everywhere().run(view)
                    assert tables == sqlite == memory
                    assert sum(count for count, _ in tables.values()) == view.position()

        writers = [threads.start(write, worker) for worker in range(2)]
        readers = [threads.start(read), threads.start(read), threads.start(look)]
        try:
            for reader in readers:
                reader.join(PATIENCE * 3)
        finally:
            ending.set()
        for thread in (*readers, *writers):
            thread.join(PATIENCE)
        assert check(system) > 0


def test_one_reads_what_one_wrote_in_every_engine(tmp_path):
    with System.open(tmp_path / "store", ledger, replicas=3) as system, system.session() as session:
        for number in range(1, 30):
            session.execute(Deposit("mine", number))
            query = EACH[number % 3]
            assert session.query(query())["mine"][0] == number


# -- what is given out ------------------------------------------------------------------------
def test_what_a_query_answers_is_the_callers_own():
    with open_system(ledger) as system:
        system.execute(Deposit("a", 1))
        answer = system.query(Lent(), consistency="strong")
        answer["a"]["total"] = 100
        assert system.query(Lent())["a"] == {"deposits": 1, "total": 1}
        kept = system.query(Lent())
        system.execute(Deposit("a", 1))
        assert system.query(InMemory(), consistency="strong") == {"a": (2, 2)}
        assert kept["a"]["total"] == 1


def test_a_view_gives_copies_of_objects_and_a_connection_that_only_reads():
    with open_system(ledger) as system:
        receipt = system.execute(Deposit("a", 1))
        with system.view(in_memory, in_sqlite, after=receipt) as view:
            view[by_name]["a"]["total"] = 100
            db = view[in_sqlite]
            assert [tuple(row) for row in db.execute("SELECT * FROM accounts")] == [("a", 1, 1)]
            with pytest.raises(Exception, match="a query may not delete from accounts"):
                db.execute("DELETE FROM accounts")
        with pytest.raises(ViewExpired):
            db.execute("SELECT 1")
        with pytest.raises(ViewExpired):
            view[in_sqlite].execute("SELECT 1")
        with pytest.raises(ViewExpired):
            view[by_name]
        assert system.query(InMemory()) == {"a": (1, 1)}


def test_an_object_of_a_view_is_copied_once():
    with open_system(ledger) as system:
        system.execute(Deposit("a", 1))
        with system.view(in_memory, consistency="strong") as view:
            assert view[by_name] is view[by_name]


def test_an_answer_may_be_a_view_of_a_dict_in_memory(monkeypatch):
    monkeypatch.setattr(Lent, "run", lambda query, view: view[by_name].items())
    with open_system(ledger) as system:
        system.execute(Deposit("a", 1))
        assert system.query(Lent(), consistency="strong") == [("a", {"deposits": 1, "total": 1})]


def test_a_snapshot_that_cannot_be_had_is_the_callers_error_and_no_query_actor_dies_of_it(monkeypatch):
    monkeypatch.setattr("storage.engines.sqlite.pool.MAX_OPEN", 1)
    with open_system(ledger) as system:
        system.execute(Deposit("a", 1))
        with system.view(in_sqlite, consistency="strong"):
            for _ in range(3):
                with pytest.raises(StorageError, match="1 snapshots open already"):
                    system.query(InSqlite())
            assert system.query(InTables()) == {"a": (1, 1)}
        assert system.query(InSqlite()) == {"a": (1, 1)}
        assert all(child.starts == 1 for child in inside.actors(system).values())


def test_a_view_that_is_kept_too_long_expires_and_holds_nothing_up():
    with open_system(ledger, view_max_age=0.2) as system:
        system.execute(Deposit("a", 1))
        view = system.view(in_memory, in_sqlite, consistency="strong")
        rows = view[in_sqlite].execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        )
        objects = view[by_name]
        for _ in range(20):
            system.execute(Deposit("a", 1))
        assert system.query(InMemory(), consistency="strong") == {"a": (21, 21)}

        def expired() -> bool:
            try:
                rows.fetchone()
            except ViewExpired:
                return True
            return False

        wait_until(expired)
        assert objects == {"a": {"deposits": 1, "total": 1}}


def test_a_mistake_in_a_querys_sql_is_told_with_the_query():
    broken = ledger_with_a_broken_query()
    with (
        open_system(broken.domain) as system,
        pytest.raises(QueryFailed, match=r"Broken.*no such table: nowhere"),
    ):
        system.query(broken())


def ledger_with_a_broken_query() -> Any:
    domain = Domain("broken")
    model = domain.read_model("model", version=1, engine="sqlite", schema="CREATE TABLE here (a)")

    @domain.query(reads=[model])
    class Broken:
        def run(self, view: Any) -> Any:
            return view[model].execute("SELECT * FROM nowhere").fetchall()

    Broken.domain = domain
    return Broken


# -- faults -----------------------------------------------------------------------------------
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_poisoned_event_stops_only_the_model_that_can_not_stand_it(tmp_path, model):
    with System.open(tmp_path / "store", ledger, replicas=2) as system:
        system.execute_many([Deposit("a", 1) for _ in range(20)])
        before = system.query(Everywhere(), consistency="strong")[0]
        failing.add(model.name)
        system.execute_many([Deposit("a", 1), Deposit("a", 13), Deposit("a", 1)])
        for other, query in zip(MODELS, EACH, strict=True):
            if other is model:
                with pytest.raises(ModelStopped, match=f"'{model.name}'.*can't stand 13"):
                    system.query(query(), consistency="strong")
            else:
                assert system.query(query(), consistency="strong") == {"a": (23, 35)}
        assert before == {"a": (20, 20)}
        failing.clear()
        wait_until(lambda: system.health().status == "ok")
        assert check(system) == 23


def test_a_model_that_stopped_goes_on_after_opening_again(tmp_path):
    failing.add("in_memory")
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        system.execute_many([Deposit("a", 1), Deposit("a", 13), Deposit("a", 1)])
        assert system.query(InSqlite(), consistency="strong") == {"a": (3, 15)}
    failing.clear()
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        assert check(system) == 3


def test_a_model_in_memory_that_failed_is_filled_again_once_and_then_waits_before_the_event(tmp_path):
    domain, seen = Domain("counted"), []

    @domain.event(state=None, stream="all")
    class Happened:
        number: int

    model = domain.read_model("sums", engine="memory")
    sums = model.object("sums", dict)

    @model.on
    def count(event: Happened, objects):
        seen.append(event.number)
        objects[sums]["all"] = objects[sums].get("all", 0) + 1
        if event.number == 156 and seen.count(156) < 6:
            raise RuntimeError("not yet")

    with System.open(tmp_path / "store", domain, replicas=1) as system:
        for first in range(1, 300, 10):
            system.append("all", [Happened(number) for number in range(first, first + 10)])
        wait_until(lambda: seen.count(156) == 6)
        wait_until(lambda: system.health().status == "ok")
        assert seen.count(1) == seen.count(150) == 2
        with system.view(model, consistency="strong") as view:
            assert view[sums] == {"all": 300}


def child(store: Path, *arguments: str) -> Forked:
    return Forked("tests.system.ledger_child", str(store), *arguments)


@pytest.mark.kill
def test_each_event_counts_once_after_kills_at_random_moments(tmp_path):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    committed = 0
    for _ in range(5):
        with child(tmp_path / "store") as process:
            assert process.stdout.readline() == "open\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.05, 0.4))
            process.kill()
        with System.open(tmp_path / "store", ledger, replicas=2) as system:
            committed = check(system)
    assert committed > 0


@pytest.mark.kill
@pytest.mark.parametrize("commits", [1, 2, 7, 40])
def test_a_crash_between_the_commits_of_two_engines_is_caught_up(tmp_path, commits):
    with child(tmp_path / "store", str(commits)) as process:
        assert process.wait(PATIENCE) == KILLED
    with System.open(tmp_path / "store", ledger, replicas=2) as system:
        assert check(system) > 0
        assert system.query(InTables(), consistency="strong") == system.query(
            InSqlite(), consistency="strong"
        )


def test_a_damaged_database_is_begun_anew_when_it_is_opened(tmp_path):
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        system.execute_many([Deposit("a", 1) for _ in range(20)])
        check(system)
    [file] = tmp_path.glob(f"store/**/{FILE}")
    file.write_bytes(b"no database" * 1000)
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        assert check(system) == 20


def spoil(file: Path) -> None:
    """Overwrite all pages of a database but the first, whose damage would be found at opening."""
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(b"\xff" * (file.stat().st_size - 4096))


@pytest.mark.parametrize("found_by", ["a query", "a projection"])
def test_a_database_that_is_damaged_while_it_serves_is_begun_anew(tmp_path, found_by):
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        system.execute_many([Deposit(f"a{number}", 1) for number in range(3000)])
        check(system)
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        [file] = tmp_path.glob(f"store/**/{FILE}")
        spoil(file)
        if found_by == "a query":
            assert len(system.query(InSqlite(), consistency="strong", timeout=PATIENCE)) == 3000
        else:
            system.execute_many([Deposit(f"a{number}", 1) for number in range(0, 3000, 10)])
        assert check(system) in (3000, 3300)


def test_files_of_engines_that_are_gone_are_filled_from_the_log(tmp_path):
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        system.execute_many([Deposit("a", 1) for _ in range(20)])
        check(system)
    for directory in tmp_path.glob("store/**/engines/*"):
        shutil.rmtree(directory)
    with System.open(tmp_path / "store", ledger, replicas=1) as system:
        assert check(system) == 20


# -- forks and new versions ---------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_what_a_forked_child_inherits_is_out_of_bounds_and_the_parent_goes_on():
    with open_system(ledger, replicas=1) as system:
        receipt = system.execute(Deposit("a", 1))
        view = system.view(*MODELS, after=receipt)
        rows = view[in_sqlite].execute("SELECT * FROM accounts")

        def read_and_close() -> str:
            told = [outcome(rows.fetchone), outcome(lambda: Everywhere().run(view))]
            view.close()
            return " ".join(told)

        assert in_a_child(read_and_close) == "ViewExpired ViewExpired"
        assert [tuple(row) for row in rows] == [("a", 1, 1)]
        view.close()
        system.execute_many([Deposit("a", 1) for _ in range(10)])
        assert check(system) == 11


def outcome(use: Any) -> str:
    try:
        return str(use())
    except Exception as error:
        return type(error).__name__


def counting(version: int, engine: str, step: int, older: int = 0) -> tuple[Domain, type, list[Any]]:
    """A domain whose model adds `step` for each event; `older` is a version beside it that adds one."""
    domain = Domain("counting")
    declared: list[Any] = []

    @domain.event(state=None)
    class Happened:
        number: int

    def declare(version: int, step: int) -> Any:
        schema = "CREATE TABLE sums (id INTEGER PRIMARY KEY, sum INTEGER); INSERT INTO sums VALUES (1, 0)"
        model = domain.read_model(
            "sums", version=version, engine=engine, schema=schema if engine == "sqlite" else ""
        )
        key: Any = model if engine == "sqlite" else model.object("sums", lambda: [0])

        @model.on(Happened)
        def add(event: Any, target: Any) -> None:
            if engine == "sqlite":
                target.execute("UPDATE sums SET sum = sum + ?", (step,))
            else:
                target[key][0] += step

        declared.append(model)
        return key

    if older:
        declare(older, 1)
    key = declare(version, step)

    @domain.query(reads=[declared[-1]])
    class Sum:
        def run(self, view: Any) -> tuple[int, int]:
            found = view[key].execute("SELECT sum FROM sums").fetchone() if engine == "sqlite" else view[key]
            return view.version(declared[-1]), found[0]

    declared.insert(0, Happened)
    return domain, Sum, declared


@pytest.mark.parametrize("engine", ["sqlite", "memory"])
@pytest.mark.parametrize("older", [0, 1], ids=["the old code is gone", "the old code is there"])
def test_a_new_version_takes_over_and_the_files_of_the_old_one_go(tmp_path, engine, older):
    domain, sums, (happened, _) = counting(1, engine, 1)
    with System.open(tmp_path / "store", domain, replicas=2) as system:
        system.append("all", [happened(number) for number in range(100)])
        assert system.query(sums(), consistency="strong") == (1, 100)
    domain, sums, (happened, *_) = counting(2, engine, 2, older)
    with System.open(tmp_path / "store", domain, replicas=2) as system:
        assert system.query(sums()) in ((1, 100), (2, 200))
        system.append("all", [happened(100)])
        wait_until(lambda: not system.rebuilds())
        assert system.query(sums(), consistency="strong") == (2, 202)
    with System.open(tmp_path / "store", domain, replicas=2) as system:
        assert system.query(sums(), consistency="strong") == (2, 202)
        assert left_over(tmp_path) == ["sums@2", "sums@2"]


def left_over(folder: Path) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in folder.glob("store/**/engines/*"))


# -- the test kit -------------------------------------------------------------------------------
def test_the_test_kit_fills_models_of_every_engine():
    happened = given(ledger, Deposited("a", 3), Deposited("b", 4))
    expected = {"a": (1, 3), "b": (1, 4)}
    assert happened.query(Everywhere()) == (expected, expected, expected)
    with happened.view(*MODELS) as view:
        assert Everywhere().run(view) == (expected, expected, expected)
    failing.add("in_memory")
    with pytest.raises(AssertionError, match="in_memory failed on event 1"):
        given(ledger, Deposited("a", 13)).query(InMemory())
