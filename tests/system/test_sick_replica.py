"""A row that can't be decoded is the replica's fault, not the query's: another replica answers, and this one
is filled again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lmdb
import pytest

from actors import Domain, QueryFailed, System
from actors.replication.row_damage import AGAIN_AFTER, RowDamage
from storage import Codec
from tests import inside
from tests.helpers import in_a_thread, wait_until

sick = Domain("sick")


@sick.event(state=None)
class Seen:
    number: int


@sick.value
class Mark:
    number: int

    def __post_init__(self) -> None:
        if refusing:
            raise ValueError("no such mark any more")


refusing: list[bool] = []

marks = sick.read_model("marks")
rows = marks.table("rows", key="number", indexes=["half"])


@marks.on
def on_seen(event: Seen, tables: Any) -> None:
    tables[rows].put({"number": event.number, "half": event.number // 2, "mark": Mark(event.number)})


texts = sick.read_model(
    "texts", engine="sqlite", schema="CREATE TABLE texts (number INTEGER PRIMARY KEY, text TEXT)"
)


@texts.on
def on_seen_text(event: Seen, database: Any) -> None:
    database.execute("INSERT INTO texts VALUES (?, ?)", (event.number, f"number {event.number}"))


@sick.query(reads=[marks])
class Numbers:
    def run(self, view: Any) -> list[int]:
        return [row["number"] for row in view[rows].all()]


@sick.query(reads=[marks])
class Halves:
    half: int

    def run(self, view: Any) -> list[int]:
        return [row["number"] for row in view[rows].find("half", self.half)]


@sick.query(reads=[marks])
class One:
    number: int

    def run(self, view: Any) -> int:
        return int(view[rows].get(self.number)["number"])


@sick.query(reads=[texts])
class Texts:
    def run(self, view: Any) -> list[str]:
        return [row["text"] for row in view[texts].execute("SELECT text FROM texts ORDER BY number")]


@sick.query(reads=[marks])
class Unsendable:
    def run(self, view: Any) -> object:
        view[rows].get(1)
        return Codec().encode(object())


Workers = Literal["thread", "process"]
ALL = list(range(1, 51))


def filled(path: Path, replicas: int = 2) -> None:
    with System.open(path, sick, replicas=replicas) as system:
        system.append("seen", [Seen(number) for number in ALL])
        system.wait_applied()


def garble(path: Path, name: str, value: bytes = b"\x82\xa6number\xff") -> None:
    """Write something else over the row 7 of a replica of a closed system."""
    with (
        lmdb.open(str(path / "replicas" / name), max_dbs=50) as environment,
        environment.begin(write=True) as transaction,
    ):
        [table] = [key for key, _ in transaction.cursor() if key.endswith(b"/rows")]
        database = environment.open_db(table, txn=transaction)
        assert transaction.replace(rows.encode(7), value, db=database)


def whole(system: System) -> bool:
    health = system.health()
    return health.status == "ok" and not any(replica.excluded or replica.lag for replica in health.replicas)


def reasons(system: System) -> list[str | None]:
    return [replica.reset_reason for replica in system.health().replicas]


QUERIES: list[tuple[Any, Any]] = [(Numbers(), ALL), (Halves(3), [6, 7]), (One(7), 7)]


@pytest.mark.parametrize(("query", "answer"), QUERIES)
@pytest.mark.parametrize(
    "value", [b"\x82\xa6number\xff", b"\x07", b"\xc1", b"\xc7\x09\x01\x92\xa4Gone\x80\x80\x80"]
)
def test_every_query_is_answered_though_a_replica_has_a_damaged_row(
    tmp_path: Path, query: Any, answer: Any, value: bytes
) -> None:
    filled(tmp_path / "s")
    garble(tmp_path / "s", "replica-2", value)
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        for _ in range(12):
            assert in_a_thread(lambda: system.query(query, consistency="strong")) == answer
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
        assert "cannot be decoded" in (reasons(system)[1] or "")
        assert reasons(system)[0] is None
        assert system.dump("replica-1", marks) == system.dump("replica-2", marks)


def test_the_same_in_worker_processes(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    garble(tmp_path / "s", "replica-2")
    with System.open(tmp_path / "s", sick, replicas=2, workers="process") as system:
        for _ in range(12):
            assert in_a_thread(lambda: system.query(Numbers(), consistency="strong")) == ALL
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
        assert "cannot be decoded" in (reasons(system)[1] or "")


def test_the_same_in_a_view_and_while_applying(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    garble(tmp_path / "s", "replica-2")
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        seen = []
        for _ in range(4):
            try:
                with system.view(marks, consistency="strong") as view:
                    seen.append([row["number"] for row in view[rows].all()])
            except Exception as error:
                seen.append(type(error).__name__)  # type: ignore[arg-type]
        assert seen.count("DamagedRow") <= 1  # type: ignore[arg-type]
        assert seen.count(ALL) >= 3
        wait_until(lambda: reasons(system)[1] is not None)
        wait_until(lambda: whole(system))
    garble(tmp_path / "s", "replica-1")
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        system.append("seen", [Seen(7)])  # its index entries are those of the row before
        wait_until(lambda: reasons(system)[0] is not None)


def test_a_text_of_sqlite_that_is_none_is_the_replicas_fault_too(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    [file] = (tmp_path / "s").glob("replicas/replica-1/engines/texts@*/model.sqlite")
    db = sqlite3.connect(file)
    with db:
        db.execute("UPDATE texts SET text = CAST(x'fffe' AS TEXT) WHERE number = 9")
    db.close()
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        for _ in range(12):
            assert in_a_thread(lambda: system.query(Texts(), consistency="strong"))[8] == "number 9"
        wait_until(lambda: reasons(system)[0] is not None)
        wait_until(lambda: whole(system))


def test_what_a_query_encodes_itself_is_no_damage(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        for _ in range(4):
            with pytest.raises(QueryFailed, match="UnencodableValue"):
                system.query(Unsendable())
        assert reasons(system) == [None, None]
        assert whole(system)


@pytest.fixture
def refuse() -> Any:
    yield lambda: refusing.append(True)
    refusing.clear()


def test_a_class_that_refuses_its_rows_costs_one_filling_and_never_the_last_replica_that_serves(
    tmp_path: Path, refuse: Callable[[], None]
) -> None:
    filled(tmp_path / "s")
    with System.open(tmp_path / "s", sick, replicas=2) as system:
        refuse()
        stores = dict(inside.stores(system))
        for _ in range(3):
            with pytest.raises(QueryFailed, match="cannot be decoded"):
                system.query(Numbers())
        assert inside.store(system, "replica-1") is stores["replica-1"] or (
            inside.store(system, "replica-2") is stores["replica-2"]
        )
        assert system.query(Texts())[0] == "number 1"


def test_a_replica_is_begun_anew_for_its_rows_once_an_hour() -> None:
    now = [0.0]
    damage = RowDamage(lambda: now[0])
    assert damage.needs_reset()
    damage.note_reset()
    assert not damage.needs_reset()
    damage.note_reset()  # for another reason
    now[0] = AGAIN_AFTER - 1
    assert not damage.needs_reset()
    now[0] = AGAIN_AFTER
    assert damage.needs_reset()
    damage.others_serve = lambda: False
    assert not damage.needs_reset()
    damage.note_reset()
    damage.others_serve = lambda: True
    assert damage.needs_reset()
