"""Every way to read a system of the test kit shows what was committed before, unless it asks for less."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from actors import Call, ConsistencyTimeout, Domain, QueryOptions, Session, System, WatchOptions
from actors.testing import TestSystem, open_system
from tests import inside
from tests.helpers import wait_until
from tests.system.held import Held

plain, wrapped = Domain("plain"), Domain("wrapped")


def counting(domain: Domain) -> tuple[type, Any, Any, type]:
    """Things that are counted: the event, the model with its table, and a query for their sum."""

    @domain.event(state=None)
    class Counted:
        number: int

    model = domain.read_model("sums")
    sums = model.table("sums", key="id")

    @model.on(Counted)
    def count(event: Any, tables: Any) -> None:
        row = tables[sums].get(1) or {"id": 1, "total": 0}
        tables[sums].put({"id": 1, "total": row["total"] + event.number})

    @domain.query(reads=[model])
    class Total:
        def run(self, view: Any) -> int:
            row = view[sums].get(1)
            return row["total"] if row else 0

    return Counted, model, sums, Total


PARTS = {domain: counting(domain) for domain in (plain, wrapped)}


@wrapped.around_query
def nothing_more(call: Call) -> Iterator[None]:
    yield


class Behind:
    """A system whose replica stands still before the last event: it has 1, and 3 is committed."""

    def __init__(self, system: TestSystem, domain: Domain) -> None:
        self.system = system
        counted, self.model, self.sums, total = PARTS[domain]
        self.total = total()
        system.append("things", [counted(1)])
        system.wait_applied()
        self.session = system.session()
        self.add = lambda: system.append("things", [counted(2)])

    def read(self, view: Any) -> int:
        with view:
            total: int = view[self.sums].get(1)["total"]
            return total


@pytest.fixture(params=[plain, wrapped], ids=["plain", "with middleware"])
def behind(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Behind, Held]]:
    held = Held(monkeypatch)
    with open_system(request.param) as system:
        found = Behind(system, request.param)
        held.hold("replica-1")
        found.add()
        yield found, held
        held.release()


READS: dict[str, Callable[[Behind, Any, Any], Any]] = {
    "query": lambda b, asked, o: asked.query(b.total, **o),
    "aquery": lambda b, asked, o: asyncio.run(asked.aquery(b.total, **o)),
    "query_at": lambda b, asked, o: asked.query_at(b.total, **o)[0],
    "aquery_at": lambda b, asked, o: asyncio.run(asked.aquery_at(b.total, **o))[0],
    "query_many": lambda b, asked, o: asked.query_many([b.total], **o)[0],
    "aquery_many": lambda b, asked, o: asyncio.run(asked.aquery_many([b.total], **o))[0],
    "view": lambda b, asked, o: b.read(asked.view(b.model, **o)),
}
WATCHES: dict[str, Callable[[Behind], Any]] = {
    "watch": lambda b: next(b.system.watch(b.total)),
    "watch, for asyncio": lambda b: asyncio.run(anext(b.system.watch(b.total))),
}


@pytest.mark.parametrize("holder", ["system", "session"])
@pytest.mark.parametrize("name", READS)
def test_a_read_is_strong_unless_it_asks_for_less(
    behind: tuple[Behind, Held], name: str, holder: str
) -> None:
    it, held = behind
    asked = getattr(it, holder)
    with pytest.raises(ConsistencyTimeout):
        READS[name](it, asked, {"timeout": 0.02})
    assert READS[name](it, asked, {"consistency": "eventual"}) == 1
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(READS[name], it, asked, {})
        wait_until(lambda: inside.waiters(it.system))
        held.release()
    assert later.result() == 3


@pytest.mark.parametrize("name", WATCHES)
def test_the_first_result_of_a_watch_is_strong(behind: tuple[Behind, Held], name: str) -> None:
    it, held = behind
    assert next(it.system.watch(it.total, consistency="eventual")) == 1
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(WATCHES[name], it)
        wait_until(lambda: inside.waiters(it.system))
        held.release()
    assert first.result() == 3


def test_no_way_to_read_is_missing_here() -> None:
    reads = set()
    for cls in (System, Session):
        for name in dir(cls):
            options = getattr(getattr(cls, name), "__annotations__", {}).get("options", "")
            if any(kind.__name__ in options for kind in (QueryOptions, WatchOptions)):
                reads.add(name)
    assert reads == {*READS, "watch"}
