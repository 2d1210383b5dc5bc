"""A model's new version is filled beside the old one, which serves until each replica switches, one after
another.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors import ConsistencyTimeout, DomainError, ModelStopped, QueryFailed, System, UnknownMessage
from actors.replication.projector import Projector
from tests import inside
from tests.forked import Forked
from tests.helpers import PATIENCE, Threads, wait_until
from tests.system.tallies import Gate, Tallies, held_builds

Patch = pytest.MonkeyPatch


@pytest.fixture
def gate(monkeypatch: Patch) -> Iterator[Gate]:
    """Builds beside serving ones are held back until the test lets them go."""
    with held_builds(monkeypatch) as gate:
        yield gate


def written(path: Path, count: int, *versions: int, replicas: int = 2) -> None:
    """A store with the numbers 1, 2, ... that these versions have applied everywhere."""
    tallies = Tallies(*versions)
    with System.open(path, tallies.domain, replicas=replicas) as system:
        tallies.note(system, *range(1, count + 1))
        system.wait_applied()
        wait_until(lambda: not system.rebuilds())


def versions_of(tallies: Tallies, system: System) -> dict[str, int]:
    return {
        name: inside.store(system, name).state.version("tally") for name in inside.holders(system, "tally")
    }


def switched(system: System) -> bool:
    return not system.rebuilds()


def filled(system: System) -> list[int]:
    """How far each build is that is being filled: shown just after its slice was let through."""
    return [one.position for one in system.rebuilds() if one.state == "building"]


def test_a_model_can_be_rebuilt_as_often_as_one_likes(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        for number in range(1, 51):
            tallies.note(system, number)
            system.rebuild(tallies.model, wait=True)
            assert tallies.ask(system, consistency="strong") == 1
        assert system.health().replicas[0].models[0].applied == 50


# -- the switch -------------------------------------------------------------------------------
def test_the_old_version_serves_and_is_updated_until_the_new_one_has_caught_up(
    store_path: Path, gate: Gate
) -> None:
    written(store_path, 30, 1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        assert {tallies.ask(system) for _ in range(4)} == {1}
        receipt = tallies.note(system, 31, 32)
        assert tallies.ask(system, after=receipt) == 1
        assert tallies.ask(system, consistency="strong") == 1
        assert system.wait_applied() == 32
        with system.view(tallies.model) as view:
            assert view.version(tallies.model) == 1
            assert view[tallies.models[1].tables[0]].get("all")["count"] == 32
            assert view[tallies.models[2].tables[0]].get("all")["count"] == 32
        gate.let(system, 2)
        assert tallies.ask(system, after=tallies.note(system, 33)) == 1
        with pytest.raises(ConsistencyTimeout, match="was not rebuilt on every replica"):
            system.wait_rebuilt(tallies.model, timeout=0.01)
        gate.open(system)
        assert system.wait_rebuilt(tallies.model, timeout=PATIENCE) is None
        assert versions_of(tallies, system) == {"replica-1": 2, "replica-2": 2}
        assert tallies.ask(system, consistency="strong") == 2
        assert tallies.ask(system, after=tallies.note(system, 34)) == 2
        system.wait_applied()
        first, second = tallies.dumps(system)
        assert first == second
        with system.view(tallies.model) as view:
            assert view.version(tallies.model) == 2
        assert [model.version for replica in system.health().replicas for model in replica.models] == [2, 2]


def test_a_view_that_was_open_at_the_switch_goes_on_with_the_old_version(
    store_path: Path, gate: Gate
) -> None:
    written(store_path, 30, 1, replicas=1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        with system.view(tallies.model) as view:
            gate.open(system)
            wait_until(lambda: switched(system))
            tallies.note(system, 31)
            system.wait_applied()
            rows = {row["name"]: row for row in view[tallies.rows].all()}
            assert tallies.check(rows, 30) == 1
        assert tallies.ask(system) == 2


def test_under_load_every_answer_is_of_one_version_at_one_position(store_path: Path) -> None:
    written(store_path, 3_000, 1)
    tallies = Tallies(1, 2, others=("count",))
    seen: set[int] = set()
    done = threading.Event()
    with (
        System.open(store_path, tallies.domain, replicas=2, rebuild_share=0.9) as system,
        Threads() as threads,
    ):

        def ask() -> None:
            last = 0
            while not done.is_set():
                rows, position = system.query_at(tallies.Whole(), after=last)
                assert position >= last
                seen.add(tallies.check(rows, position))
                last = position

        def ask_both() -> None:
            while not done.is_set():
                (rows, count), position = system.query_at(tallies.Both())
                assert rows.get("all", {"count": 0})["count"] == count == position
                tallies.check(rows, position)

        def write() -> None:
            number = 3_000
            while not done.is_set():
                number += 1
                assert tallies.note(system, number).last == number

        try:
            for target in (ask, ask, ask_both, write):
                threads.start(target)
            wait_until(lambda: threads.failed() or (2 in seen and switched(system)), 60)
        finally:
            done.set()
    assert seen == {1, 2}


def test_replicas_build_and_switch_one_after_another(
    store_path: Path, gate: Gate, monkeypatch: Patch
) -> None:
    written(store_path, 60, 1, replicas=3)
    switches: list[str] = []
    switch = Projector.switch

    def noted(self: Projector, run: object) -> None:
        name = threading.current_thread().name.removeprefix("onewriter-")
        switches.append(name)
        assert set(gate.fills) == set(switches), "no other one has begun before this one is done"
        switch(self, run)  # type: ignore[arg-type]

    monkeypatch.setattr(Projector, "switch", noted)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=3) as system:
        gate.let(system, 1)
        states = {one.replica: one.state for one in system.rebuilds()}
        assert sorted(states.values()) == ["building", "waiting", "waiting"]
        gate.open(system)
        wait_until(lambda: switched(system))
    assert sorted(switches) == ["replica-1", "replica-2", "replica-3"]
    turns = [name for index, name in enumerate(gate.fills) if index == 0 or gate.fills[index - 1] != name]
    assert turns == switches


def test_a_replica_that_dies_in_its_turn_goes_on_when_it_is_back(store_path: Path, gate: Gate) -> None:
    written(store_path, 60, 1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        gate.let(system, 2)
        wait_until(lambda: filled(system) == [20])
        [building] = [one for one in system.rebuilds() if one.state == "building"]
        assert system.kill(building.replica)
        gate.let(system, 1)
        wait_until(lambda: filled(system) == [30])
        [again] = [one for one in system.rebuilds() if one.state == "building"]
        assert again.replica == building.replica
        gate.open(system)
        wait_until(lambda: switched(system))
        assert sorted(tallies.applied) == sorted([(2, position) for position in range(1, 61)] * 2)


# -- what is shown ----------------------------------------------------------------------------
def test_progress_shows_in_rebuilds_and_in_health(store_path: Path, gate: Gate) -> None:
    written(store_path, 50, 1, replicas=1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        gate.let(system, 3)
        wait_until(lambda: filled(system) == [30])
        [one] = system.rebuilds()
        assert (one.model, one.replica, one.from_version, one.to_version) == ("tally", "replica-1", 1, 2)
        assert (one.position, one.head, one.state, one.frozen, one.failure) == (
            30,
            50,
            "building",
            False,
            None,
        )
        [shown] = system.health().rebuilds
        assert (shown.model, shown.position) == ("tally", 30)
        assert system.health().status == "ok"
        gate.open(system)
        wait_until(lambda: switched(system))
        assert system.health().rebuilds == ()


# -- restarts ---------------------------------------------------------------------------------
def test_a_rebuild_goes_on_after_a_restart(store_path: Path, gate: Gate) -> None:
    written(store_path, 60, 1, replicas=1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        gate.let(system, 3)
    again = Tallies(1, 2)
    with System.open(store_path, again.domain, replicas=1) as system:
        [one] = system.rebuilds()
        assert one.position == 30
        assert again.ask(system, consistency="strong") == 1
        gate.open(system)
        wait_until(lambda: switched(system))
        assert again.ask(system, consistency="strong") == 2
        assert again.applied == [(2, position) for position in range(31, 61)]
    with System.open(store_path, Tallies(2).domain, replicas=1) as system:
        assert system.rebuilds() == ()


CHILD = """
import sys
import threading

from actors import System
from actors.replication.backfill import Backfill
from tests.system.tallies import Tallies

fill = Backfill._fill
def small(self, runs, until):
    self._limit = 10
    stopped = fill(self, runs, until)
    print("slice", flush=True)
    sys.stdin.readline()
    return stopped
Backfill._fill = small
system = System.open(sys.argv[1], Tallies(1, 2).domain, replicas=1)
threading.Event().wait()
"""


@pytest.mark.kill
@pytest.mark.parametrize("slices", [1, 3, 6])
def test_a_rebuild_goes_on_after_a_kill(store_path: Path, slices: int) -> None:
    written(store_path, 60, 1, replicas=1)
    with Forked("-c", CHILD, str(store_path), stdin=True) as child:
        assert child.stdin is not None
        try:
            for number in range(slices):
                if number:
                    child.stdin.write("\n")
                    child.stdin.flush()
                assert child.stdout.readline() == "slice\n"
        finally:
            child.kill()
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        assert tallies.ask(system, consistency="strong") in (1, 2)
        wait_until(lambda: switched(system))
        assert tallies.ask(system, consistency="strong") == 2
        applied = [position for version, position in tallies.applied if version == 2]
        assert applied == list(range(10 * slices + 1, 61))


# -- code that is gone, code that is new ------------------------------------------------------
def test_without_the_old_code_the_old_tables_answer_eventually_and_nothing_else(
    store_path: Path, gate: Gate
) -> None:
    written(store_path, 30, 1)
    tallies = Tallies(2)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        assert tallies.ask(system) == 1
        receipt = tallies.note(system, 31)
        rows, position = system.query_at(tallies.Whole())
        assert (tallies.check(rows, position), position) == (1, 30)
        for option in ({"after": receipt}, {"consistency": "strong"}, {"max_lag": 0}):
            with pytest.raises(ConsistencyTimeout):
                tallies.ask(system, timeout=0.01, **option)
        assert tallies.ask(system, after=30) == 1
        assert all(one.frozen for one in system.rebuilds())
        assert [model.frozen for replica in system.health().replicas for model in replica.models] == [
            True,
            True,
        ]
        with Threads() as threads:
            answers: list[int] = []
            threads.start(lambda: answers.append(tallies.ask(system, after=receipt)))
            gate.open(system)
        assert answers == [2]
        wait_until(lambda: switched(system))
        assert system.wait_applied() == 31
        assert {tallies.ask(system) for _ in range(4)} == {2}


def test_frozen_tables_are_not_read_together_with_a_model_that_goes_on(store_path: Path, gate: Gate) -> None:
    tallies = Tallies(1, others=("count",))
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.note(system, *range(1, 31))
        system.wait_applied()
    tallies = Tallies(2, others=("count",))
    with System.open(store_path, tallies.domain, replicas=1) as system:
        (rows, count), _ = system.query_at(tallies.Both())
        assert (tallies.check(rows, 30), count) == (1, 30), "both are at the same position"
        tallies.note(system, 31)
        wait_until(lambda: system.dump("replica-1", tallies.others["count"])["counts"][0]["count"] == 31)
        with pytest.raises(ConsistencyTimeout):
            system.query(tallies.Both(), timeout=0.5)
        with pytest.raises(ConsistencyTimeout):
            system.view(timeout=0.01)
        assert tallies.ask(system) == 1
        gate.open(system)
        (rows, count), position = system.query_at(tallies.Both())
        assert (tallies.check(rows, position), count, position) == (2, 31, 31)


def test_a_model_that_is_new_is_filled_at_once_and_keeps_no_other_waiting(
    store_path: Path, monkeypatch: Patch
) -> None:
    written(store_path, 100, 1, replicas=1)
    from actors.replication.backfill import Backfill

    go_on = threading.Event()
    fill = Backfill._fill

    def held(self: Backfill, runs: object, until: int) -> None:
        if go_on.is_set():
            fill(self, runs, until)  # type: ignore[arg-type]

    monkeypatch.setattr(Backfill, "_fill", held)
    tallies = Tallies(1, others=("count",))
    with System.open(store_path, tallies.domain, replicas=1) as system:
        receipt = tallies.note(system, 101)
        assert tallies.ask(system, after=receipt) == 1
        assert system.rebuilds() == ()
        with pytest.raises(ConsistencyTimeout):
            system.query(tallies.Both(), timeout=0.5)
        go_on.set()
        (rows, count), position = system.query_at(tallies.Both())
        assert (tallies.check(rows, position), count, position) == (1, 101, 101)


# -- a forced rebuild -------------------------------------------------------------------------
def test_a_forced_rebuild_fills_what_a_mended_projection_had_filled_wrongly(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 41))
        system.wait_applied()
        before = [store.active("tally").generation for store in inside.stores(system).values()]
        tallies.applied.clear()
        assert system.rebuild(tallies.model, wait=True, timeout=PATIENCE) is None
        assert sorted(tallies.applied) == sorted([(1, position) for position in range(1, 41)] * 2)
        after = [store.active("tally").generation for store in inside.stores(system).values()]
        assert [later - earlier for earlier, later in zip(before, after, strict=True)] == [1, 1]
        assert tallies.ask(system, consistency="strong") == 1
        assert tallies.ask(system, after=tallies.note(system, 41)) == 1


def test_a_rebuild_that_is_under_way_is_not_begun_again(store_path: Path, gate: Gate) -> None:
    written(store_path, 40, 1)
    tallies = Tallies(1, 2)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        gate.let(system, 2)
        with pytest.raises(ConsistencyTimeout, match="it goes on, see rebuilds"):
            system.rebuild(tallies.model, wait=True, timeout=0.01)
        wait_until(lambda: max(one.position for one in system.rebuilds()) == 20)
        gate.open(system)
        system.rebuild(tallies.models[1], wait=True, timeout=PATIENCE)
        assert tallies.ask(system, consistency="strong") == 2


def test_a_model_of_another_domain_is_refused(store_path: Path) -> None:
    with System.open(store_path, Tallies(1).domain, replicas=1) as system, pytest.raises(UnknownMessage):
        system.rebuild(Tallies(1).model)


# -- a build that stops -----------------------------------------------------------------------
def poisoned(at: int) -> Callable[[int, int], None]:
    def before(version: int, position: int) -> None:
        if version == 2 and position == at:
            raise RuntimeError("the new code can't stand it")

    return before


def test_a_new_version_that_fails_stops_alone_and_is_shown(store_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 0.01)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 0.01)
    written(store_path, 40, 1)
    tallies = Tallies(1, 2)
    tallies.before = poisoned(25)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        stopped = wait_until(
            lambda: [one for one in system.rebuilds() if one.state == "stopped" and one.position]
        )
        assert stopped[0].position == 24
        assert stopped[0].failure.startswith("event Noted at position 25: Traceback")
        assert f"the rebuild of model tally on {stopped[0].replica} is stopped after position 24" in (
            wait_until(lambda: system.health().problems)
        )
        with pytest.raises(
            ModelStopped, match=r"the rebuild of 'tally' on .* stopped at event Noted at position 25"
        ):
            system.rebuild(tallies.model, wait=True, timeout=PATIENCE)
        assert tallies.ask(system, after=tallies.note(system, 41)) == 1
        assert system.wait_applied() == 41
        tallies.before = lambda version, position: None
        wait_until(lambda: switched(system))
        assert tallies.ask(system, consistency="strong") == 2
        assert system.health().status == "ok"


def test_a_new_version_mends_a_model_that_is_stopped(store_path: Path) -> None:
    tallies = Tallies(1)
    tallies.before = lambda version, position: 1 / (position - 25)  # type: ignore[assignment, return-value]
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 41))
        wait_until(lambda: len(system.health().problems) == 2)
    tallies = Tallies(1, 2)
    tallies.before = lambda version, position: 1 / (version - 1 or position - 25)  # type: ignore[assignment, return-value]
    with System.open(store_path, tallies.domain, replicas=2) as system:
        assert tallies.ask(system, consistency="strong") == 2
        wait_until(lambda: switched(system))
        assert system.health().status == "ok"


# -- placement --------------------------------------------------------------------------------
def test_a_model_may_be_on_some_replicas_only(store_path: Path) -> None:
    tallies = Tallies(1, replicas=[2, 9], others=("count",))
    with System.open(store_path, tallies.domain, replicas=3) as system:
        receipt = tallies.note(system, *range(1, 11))
        for _ in range(6):
            assert tallies.ask(system, after=receipt) == 1
        assert system.query(tallies.Both(), consistency="strong")[1] == 10
        assert system.wait_applied() == 10
        models = {replica.name: [one.name for one in replica.models] for replica in system.health().replicas}
        assert models == {"replica-1": ["count"], "replica-2": ["tally", "count"], "replica-3": ["count"]}
        with system.view(tallies.model) as view:
            assert view.replica == "replica-2"
        assert system.dump("replica-2", tallies.model)["rows"]
        with pytest.raises(KeyError, match="there is no model on replica-1 'tally'; there are: count"):
            system.dump("replica-1", tallies.model)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        system.rebuild(tallies.model, wait=True, timeout=PATIENCE)
        assert tallies.ask(system, consistency="strong") == 1


def test_a_number_of_replicas_stands_for_the_first_ones(store_path: Path) -> None:
    tallies = Tallies(1, replicas=2)
    with System.open(store_path, tallies.domain, replicas=3) as system:
        assert inside.holders(system, "tally") == ["replica-1", "replica-2"]
    shutil.rmtree(store_path)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        assert inside.holders(system, "tally") == ["replica-1"]


def test_a_model_without_a_replica_is_refused_at_opening(store_path: Path) -> None:
    tallies = Tallies(1, replicas=[3, 4])
    with pytest.raises(DomainError, match=r"read model 'tally' is on replicas \[3, 4\], .* opened with 2"):
        System.open(store_path, tallies.domain, replicas=2)
    assert not store_path.exists()


def test_models_that_are_nowhere_together_are_not_read_together(store_path: Path) -> None:
    tallies = Tallies(1, replicas=[1])
    tallies.others["apart"] = apart = tallies._other("apart")
    apart.replicas = [2]
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, 1)
        system.wait_applied()
        with pytest.raises(DomainError, match="no replica has all of tally, apart"):
            system.view()
    tallies = Tallies(1, replicas=[1], others=("count",))
    tallies.others["count"].replicas = [2]
    with pytest.raises(
        DomainError, match="query Both reads models that are on no replica together: tally is on"
    ):
        System.open(store_path, tallies.domain, replicas=2)


def test_a_query_that_needs_an_index_of_the_new_version_can_ask_which_one_serves(
    store_path: Path, gate: Gate
) -> None:
    written(store_path, 6, 1, replicas=1)
    tallies = Tallies(1, 2)

    @tallies.domain.query(reads=[tallies.model])
    class Highest:
        careful: bool

        def run(self, view):  # type: ignore[no-untyped-def]
            if self.careful and view.version(tallies.model) < 2:
                return max(view[tallies.rows].all(), key=lambda row: row["sum"])["name"]
            return next(iter(view[tallies.rows].range("sum", reverse=True, limit=1)))["name"]

    with System.open(store_path, tallies.domain, replicas=1) as system:
        assert system.query(Highest(careful=True)) == "all"
        with pytest.raises(QueryFailed):
            system.query(Highest(careful=False))
        gate.open(system)
        wait_until(lambda: switched(system))
        assert system.query(Highest(careful=False)) == system.query(Highest(careful=True)) == "all"
