"""Query actors answer each job of a batch, and have nothing open when the last answer is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors import Domain, QueryFailed, System
from tests import inside

shelf = Domain("shelf")
model = shelf.read_model("model")
table = model.table("rows", key="name")


@shelf.state(stream="thing-{name}")
class Thing:
    name: str


@shelf.event(Thing, state=None)
class Put:
    name: str


@model.on
def on_put(event: Put, tables):
    tables[table].put({"name": event.name})


@shelf.query(reads=[model])
class Names:
    def run(self, view):
        return view[table].keys()


@shelf.query(reads=[model])
class Fails:
    def run(self, view):
        raise ArithmeticError


def test_no_snapshot_is_open_when_an_answer_is_there(tmp_path: Path) -> None:
    with System.open(tmp_path / "shelf", shelf, replicas=1) as system:
        system.append("thing-a", [Put("a")])
        system.wait_applied()
        (store,) = inside.stores(system).values()
        for _ in range(50):
            assert system.query(Names()) == ["a"]
            assert all(access.txn is None for access in list(store._open))
            assert system.query_many([Names(), Names()]) == [["a"], ["a"]]
            assert all(access.txn is None for access in list(store._open))


def test_a_batch_is_answered_though_a_query_of_it_fails(tmp_path: Path) -> None:
    with System.open(tmp_path / "shelf", shelf, replicas=1) as system:
        jobs = [inside.query_job(system, query) for query in (Fails(), Names(), Names(), Fails())]
        mailbox = inside.query_mailbox(system, "replica-1.query-1")
        for job in jobs:
            mailbox.put(job)
        assert [job.future.result(10) for job in jobs[1:3]] == [[[]], [[]]]
        for job in (jobs[0], jobs[3]):
            with pytest.raises(QueryFailed, match="ArithmeticError"):
                job.future.result(10)
