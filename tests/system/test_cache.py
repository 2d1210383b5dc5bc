"""The result cache in a whole system: it is never wrong, and it is of use."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import ConsistencyTimeout, Domain, DomainError, ModelStopped, QueryFailed, QueryTimeout, System
from actors.health import CacheHealth
from tests.helpers import PATIENCE, Threads
from tests.system.held import Held

shelf = Domain("shelf")
runs: dict[str, int] = {}


@shelf.event(state=None)
class Put:
    name: str
    value: int


@shelf.event(state=None)
class Noted:
    text: str


@shelf.event(state=None)
class Spoilt:
    name: str


goods = shelf.read_model("goods")
values = goods.table("values", key="name", indexes=["value"])
sums = goods.table("sums", key="parity")
notes = shelf.read_model("notes")
texts = notes.table("texts", key="text")


@goods.on
def on_put(event: Put, tables):
    tables[values].put({"name": event.name, "value": event.value})
    parity = event.value % 2
    row = tables[sums].get(parity)
    tables[sums].put({"parity": parity, "sum": event.value + (row["sum"] if row else 0)})


@goods.on
def on_spoilt(event: Spoilt, tables):
    raise RuntimeError("spoilt")


@notes.on
def on_noted(event: Noted, tables):
    tables[texts].put({"text": event.text})


def counted(query: Any) -> None:
    runs[type(query).__name__] = runs.get(type(query).__name__, 0) + 1


@shelf.query(reads=[goods], cache=True)
class ValueOf:
    name: str

    def run(self, view):
        counted(self)
        row = view[values].get(self.name)
        return row["value"] if row else None


@shelf.query(reads=[goods])
class ValueOfUncached:
    name: str

    def run(self, view):
        row = view[values].get(self.name)
        return row["value"] if row else None


@shelf.query(reads=[goods, notes], cache=True, timeout=5)
class Both:
    least: int

    def run(self, view):
        counted(self)
        rows = [row["name"] for row in view[values].range("value", start=self.least)]
        return {"rows": rows, "texts": tuple(row["text"] for row in view[texts].all())}


@shelf.query(reads=[goods, notes])
class BothUncached:
    least: int

    def run(self, view):
        rows = [row["name"] for row in view[values].range("value", start=self.least)]
        return {"rows": rows, "texts": tuple(row["text"] for row in view[texts].all())}


@shelf.query(reads=[goods, notes], cache=True)
class TextsWhenMany:
    """What it touches depends on what it finds."""

    def run(self, view):
        counted(self)
        if len(view[values]) < 3:
            return "few"
        return len(view[texts])


@shelf.query(reads=[goods, notes])
class TextsWhenManyUncached:
    def run(self, view):
        return "few" if len(view[values]) < 3 else len(view[texts])


@shelf.query(reads=[goods], cache=True)
class Odd:
    """Answers that can't be kept, one way or another."""

    how: str

    def run(self, view):
        counted(self)
        match self.how:
            case "position":
                return view.position(goods)
            case "no encoding":
                return object
            case "iterator":
                return iter(view[values].all())
            case "fails":
                raise KeyError("nothing there")
            case "exact":
                return {1: Decimal("1.50"), "t": (1, [2.0, frozenset({"a"})], None, b"x")}


@shelf.query(reads=[goods], timeout=0.2)
class Hangs:
    def run(self, view):
        assert release.wait(PATIENCE)


release = threading.Event()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    held = Held(monkeypatch)
    yield held
    held.release()


@pytest.fixture
def system(store_path: Path, held: Held) -> Iterator[System]:
    runs.clear()
    with System.open(store_path, shelf, replicas=2) as system:
        yield system
        held.release()


def put(system: System, name: str, value: int) -> int:
    return system.append("goods", [Put(name, value)]).position


def note(system: System, text: str) -> int:
    return system.append("notes", [Noted(text)]).position


def health_of(system: System) -> CacheHealth:
    health = system.health().cache
    assert health is not None
    return health


# -- of use -----------------------------------------------------------------------------------
def test_a_result_is_found_once_and_kept_until_its_table_changes(system: System) -> None:
    at = put(system, "a", 1)
    assert [system.query(ValueOf("a"), after=at) for _ in range(5)] == [1] * 5
    assert runs == {"ValueOf": 1}
    at = put(system, "a", 2)
    assert [system.query(ValueOf("a"), after=at) for _ in range(5)] == [2] * 5
    assert runs == {"ValueOf": 2}
    health = health_of(system)
    assert (health.hits, health.misses, health.entries, health.uncacheable) == (8, 2, 1, 0)
    assert health.hit_ratio == 0.8


def test_events_that_change_nothing_there_keep_it_valid_for_the_newest_readers_too(system: System) -> None:
    put(system, "a", 1)
    assert system.query(ValueOf("a"), consistency="strong") == 1
    for number in range(20):
        note(system, f"n{number}")
        assert system.query(ValueOf("a"), consistency="strong") == 1
    assert runs == {"ValueOf": 1}
    assert system.query_at(ValueOf("a"), consistency="strong") == (1, system.position)


def test_results_are_shared_by_replicas_callers_and_event_loops(system: System) -> None:
    put(system, "a", 1)
    system.wait_applied()
    assert {system.query(ValueOf("a")) for _ in range(6)} == {1}
    assert asyncio.run(system.aquery(ValueOf("a"))) == 1
    assert asyncio.run(system.aquery_many([ValueOf("a"), ValueOf("a")])) == [1, 1]
    assert system.query_many([ValueOf("a")] * 3) == [1, 1, 1]
    assert runs == {"ValueOf": 1}


def test_a_hit_asks_no_query_actor(system: System) -> None:
    put(system, "a", 1)
    system.wait_applied()
    assert system.query(ValueOf("a")) == 1
    served = [replica.queries_served for replica in system.health().replicas]
    assert system.query(ValueOf("a")) == 1
    assert [replica.queries_served for replica in system.health().replicas] == served


def test_results_go_into_an_entry_for_each_query_and_class(system: System) -> None:
    put(system, "a", 1)
    put(system, "b", 2)
    system.wait_applied()
    assert system.query_many([ValueOf("a"), ValueOf("b"), ValueOfUncached("a"), ValueOf("c")]) == [
        1,
        2,
        1,
        None,
    ]
    assert health_of(system).entries == 3
    assert system.query_many([ValueOf("b"), ValueOf("c"), ValueOf("a")]) == [2, None, 1]
    assert runs == {"ValueOf": 3}


def test_the_bytes_are_bounded_and_zero_or_no_such_query_keeps_nothing(store_path: Path) -> None:
    with System.open(store_path, shelf, replicas=1, result_cache=5_000) as system:
        system.append("goods", [Put(f"n{number}", number) for number in range(50)])
        for number in range(50):
            assert system.query(ValueOf(f"n{number}"), consistency="strong") == number
        assert 0 < health_of(system).bytes <= 5_000
        assert 0 < health_of(system).entries < 10
    with System.open(store_path, shelf, replicas=1, result_cache=0) as system:
        assert system.health().cache is None
        assert system.query(ValueOf("n1"), consistency="strong") == 1
    for wrong in (-1, True, 1.5, "1"):
        with pytest.raises(ValueError, match="result_cache= must be a number of bytes, 0 for none"):
            System.open(store_path, shelf, result_cache=wrong)


# -- never wrong ------------------------------------------------------------------------------
def test_a_hit_has_to_be_as_fresh_as_asked(system: System, held: Held) -> None:
    put(system, "a", 1)
    system.wait_applied()
    assert system.query(ValueOf("a")) == 1
    held.hold("replica-1", "replica-2")
    at = note(system, "n")
    assert system.query(ValueOf("a")) == 1
    for level in ({"after": at}, {"consistency": "strong"}, {"max_lag": 0}, {"max_lag": 0.0}):
        with pytest.raises(ConsistencyTimeout):
            system.query(ValueOf("a"), timeout=0.05, **level)
    with pytest.raises(ConsistencyTimeout):
        system.session(at).query(ValueOf("a"), timeout=0.05)
    held.release()
    assert system.query(ValueOf("a"), after=at) == 1
    assert runs == {"ValueOf": 1}


def test_a_session_does_not_go_back_through_the_cache(system: System, held: Held) -> None:
    put(system, "a", 1)
    system.wait_applied()
    assert system.query(ValueOf("a")) == 1
    held.hold("replica-1")
    session = system.session()
    at = put(system, "a", 2)
    # Both values are right for some replica now; the session saw the newer one.
    assert session.query(ValueOf("a"), after=at, timeout=PATIENCE) == 2
    assert [session.query(ValueOf("a")) for _ in range(6)] == [2] * 6
    assert session.position == at


def test_a_model_that_is_stopped_everywhere_gives_no_kept_result_either(system: System) -> None:
    put(system, "a", 1)
    system.wait_applied()
    assert system.query(ValueOf("a")) == 1
    system.append("goods", [Spoilt("a")])
    with pytest.raises(ModelStopped):
        system.query(ValueOf("a"), consistency="strong")
    with pytest.raises(ModelStopped):
        system.wait_applied()


def test_what_a_caller_does_to_its_result_is_its_own_business(system: System) -> None:
    put(system, "a", 1)
    for _ in range(3):
        answer = system.query(Both(0), consistency="strong")
        assert answer == {"rows": ["a"], "texts": ()}
        answer["rows"].append("mine")
    assert runs == {"Both": 1}


def test_results_keep_their_types_and_iterators_are_lists(system: System) -> None:
    put(system, "a", 1)
    system.wait_applied()
    first, second = (system.query(Odd("exact")) for _ in range(2))
    assert first == second == {1: Decimal("1.50"), "t": (1, [2.0, frozenset({"a"})], None, b"x")}
    assert type(second["t"]) is tuple
    assert str(second[1]) == "1.50"
    assert [system.query(Odd("iterator")) for _ in range(2)] == [[{"name": "a", "value": 1}]] * 2
    assert runs == {"Odd": 2}


def test_what_can_not_be_kept_is_run_each_time_and_counted(system: System) -> None:
    put(system, "a", 1)
    assert system.query(Odd("position"), consistency="strong") == 1
    note(system, "n")
    assert system.query(Odd("position"), consistency="strong") == 2
    assert [system.query(Odd("no encoding")) for _ in range(2)] == [object, object]
    assert health_of(system).uncacheable == 4
    for _ in range(2):
        with pytest.raises(QueryFailed, match="nothing there"):
            system.query(Odd("fails"))
    assert runs == {"Odd": 6}
    assert health_of(system).entries == 0


def test_answers_are_those_without_the_cache_at_the_same_position(system: System) -> None:
    """Random events from several writers; pairs of a cached query and its twin, on one snapshot each."""
    stop = threading.Event()
    pairs = [
        (ValueOf("a"), ValueOfUncached("a")),
        (ValueOf("b"), ValueOfUncached("b")),
        (Both(5), BothUncached(5)),
        (TextsWhenMany(), TextsWhenManyUncached()),
    ]

    def write(number: int) -> None:
        dice = random.Random(number)
        while not stop.is_set():
            if dice.random() < 0.15:
                put(system, dice.choice("abcd"), dice.randrange(10))
            else:
                note(system, f"n{dice.randrange(30)}")

    def read(number: int) -> None:
        dice = random.Random(number)
        session = system.session()
        for _ in range(150):
            cached, plain = dice.choice(pairs)
            level: Any = dice.choice([{}, {"max_lag": 3}, {"consistency": "strong"}])
            # The cached answer is that of some position; asked until both are of the same one.
            for _ in range(1000):
                found, at = system.query_at(cached, **level)
                expected, then = system.query_at(plain, after=at)
                if at == then:
                    assert found == expected, (cached, at)
                    break
            session.query(cached)

    with Threads() as threads:
        writers = [threads.start(write, number) for number in range(2)]
        readers = [threads.start(read, number) for number in range(10, 13)]
        for reader in readers:
            reader.join(60)
        stop.set()
        for writer in writers:
            writer.join(PATIENCE)
    system.wait_applied()
    for cached, plain in pairs:
        for _ in range(4):
            assert system.query(cached, consistency="strong") == system.query(plain, consistency="strong")
    assert health_of(system).hits > 100


# -- what a query class says ------------------------------------------------------------------
def test_a_query_class_has_a_time_out_of_its_own_that_a_caller_may_override(system: System) -> None:
    release.clear()
    try:
        with pytest.raises(QueryTimeout, match=r"within 0\.2 s"):
            system.query(Hangs())
        with pytest.raises((QueryTimeout, ConsistencyTimeout), match=r"within 0\.1 s"):
            system.query(Hangs(), timeout=0.1)
        with pytest.raises((QueryTimeout, ConsistencyTimeout), match=r"within 0\.2 s"):
            asyncio.run(system.aquery_many([Hangs()]))
    finally:
        release.set()


def test_a_time_out_or_a_cache_that_makes_no_sense_is_a_mistake_in_the_domain() -> None:
    domain = Domain("wrong")

    @domain.event(state=None)
    class Happened:
        name: str

    model = domain.read_model("model")
    model.table("rows", key="name")

    for timeout in (0, -1, True, "2", float("inf")):

        @domain.query(reads=[model], timeout=timeout, name=f"Query{timeout}")
        class Query:
            def run(self, view):
                return None

    @domain.query(reads=[model], cache="yes")
    class Kept:
        def run(self, view):
            return None

    with pytest.raises(DomainError) as caught:
        domain.compile()
    text = str(caught.value)
    assert text.count("timeout must be a number of seconds above 0") == 5
    assert "query Kept: cache must be True or False, got 'yes'" in text
