"""The skip of an event is taken back: the model is rebuilt, and the event counts again on every replica."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors import Domain, DomainError, ModelStopped, System, UnknownName
from actors.replication.skipped_events import skip_note, unskip_notes
from storage import EventLog
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system import yard
from tests.system.tallies import Tallies
from tests.system.test_skip import counts, poisoned, stopped
from tests.system.yard import POISON, Count


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped model is not tried again by itself before the test is over."""
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 10 * PATIENCE)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 10 * PATIENCE)


def fixed(_version: int, _position: int) -> None:
    """A projection that stands every event."""


@pytest.fixture
def tallies() -> Tallies:
    tallies = Tallies(1)
    tallies.before = poisoned(7)
    return tallies


def skipped(tallies: Tallies, path: Path, replicas: int) -> None:
    """A store of ten events, of which the model of these replicas skips the seventh; then it is fixed."""
    with System.open(path, tallies.domain, replicas=replicas) as system:
        tallies.note(system, *range(1, 11))
        wait_until(lambda: stopped(system) == [7] * replicas)
        system.skip_event(tallies.model, 7, "the till was broken")
        system.wait_applied()
        assert counts(tallies, system) == [9] * replicas
    tallies.before = fixed


def test_the_event_counts_again_on_every_replica_once_the_model_is_rebuilt(
    tallies: Tallies, store_path: Path
) -> None:
    skipped(tallies, store_path, 3)
    with System.open(store_path, tallies.domain, replicas=3) as system:
        assert counts(tallies, system) == [9, 9, 9]
        [one] = system.skipped_events(tallies.model)
        assert (one.position, one.reason) == (7, "the till was broken")
        system.unskip_event(tallies.model, 7)
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10, 10, 10]
        assert system.skipped_events() == system.skipped_events(tallies.model) == []
        assert (system.health().skipped_events, system.position) == (0, 10)
    with System.open(store_path, tallies.domain, replicas=3) as system:
        assert system.rebuilds() == (), "it is rebuilt once"
        assert counts(tallies, system) == [10, 10, 10]


def test_a_replica_that_is_not_open_meanwhile_is_rebuilt_when_it_is(
    tallies: Tallies, store_path: Path
) -> None:
    skipped(tallies, store_path, 2)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        system.unskip_event(tallies.model, 7)
        system.wait_rebuilt(tallies.model, PATIENCE)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10, 10]


def test_if_the_program_ends_before_the_rebuild_began_it_begins_with_the_next_one(
    tallies: Tallies, store_path: Path
) -> None:
    skipped(tallies, store_path, 2)
    with EventLog.open(store_path, tallies.domain.compile().codec, siblings=["replicas"]) as log:
        log.append([], notes=unskip_notes("tally", 7, 1))
    with System.open(store_path, tallies.domain, replicas=2) as system:
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10, 10]


def test_a_rebuild_that_began_before_is_begun_again(tallies: Tallies, store_path: Path) -> None:
    skipped(tallies, store_path, 1)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.before = poisoned(9)
        system.rebuild(tallies.model)
        wait_until(lambda: [one.state for one in system.rebuilds()] == ["stopped"])
        tallies.before = fixed
        system.unskip_event(tallies.model, 7)
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10]


def test_a_model_that_still_fails_goes_on_serving_without_the_event(
    tallies: Tallies, store_path: Path
) -> None:
    skipped(tallies, store_path, 2)
    tallies.before = poisoned(7)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        system.unskip_event(tallies.model, 7)
        with pytest.raises(ModelStopped, match="at position 7"):
            system.wait_rebuilt(tallies.model, PATIENCE)
        system.wait_applied(tallies.note(system, 11))
        assert counts(tallies, system) == [10, 10]
        wait_until(lambda: [one.state for one in system.rebuilds()] == ["stopped", "stopped"])
        system.skip_event(tallies.model, 7, "after all")
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10, 10]


def test_each_skip_is_taken_back_by_itself(tallies: Tallies, store_path: Path) -> None:
    tallies.before = poisoned(3, 7)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.note(system, *range(1, 11))
        for position in (3, 7):
            wait_until(lambda at=position: stopped(system) == [at])
            system.skip_event(tallies.model, position)
        system.wait_applied()
        tallies.before = fixed
        system.unskip_event(tallies.model, 3)
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [9]
        assert [one.position for one in system.skipped_events()] == [7]
        system.unskip_event(tallies.model, 7)
        system.wait_rebuilt(tallies.model, PATIENCE)
        assert counts(tallies, system) == [10]


def test_only_a_skip_that_there_is_can_be_taken_back(tallies: Tallies, store_path: Path) -> None:
    skipped(tallies, store_path, 1)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        with pytest.raises(UnknownName, match="skipped event of model 'tally', at position 8; there are: 7"):
            system.unskip_event(tallies.model, 8)
        with pytest.raises(ValueError, match="position"):
            system.unskip_event(tallies.model, "seven")  # type: ignore[arg-type]
        assert system.rebuilds() == ()
        assert inside.skips(system).of("tally") == {7}


def test_the_tables_of_an_inline_model_are_not_rebuilt_so_nothing_is_taken_back(store_path: Path) -> None:
    domain = Domain("numbers")

    @domain.event(state=None)
    class Counted:
        number: int

    model = domain.read_model("kept", inline=True)
    table = model.table("rows", key="number")

    @model.on
    def on_counted(event: Counted, tables: Any) -> None:
        tables[table].put({"number": event.number})

    with EventLog.open(store_path, domain.compile().codec) as log:
        log.append([], notes=[skip_note("kept", 1, "")])
    with System.open(store_path, domain, replicas=1) as system:
        with pytest.raises(DomainError, match="'kept' is inline"):
            system.unskip_event(model, 1)
        assert len(system.skipped_events()) == 1


def test_workers_rebuild_the_model_and_meet_the_event_again(store_path: Path) -> None:
    with System.open(store_path, yard.yard, replicas=2, workers="process") as system:
        system.execute_many([Count("a"), Count(POISON), Count("b")])
        wait_until(lambda: stopped_of(system) == [2, 2])
        system.skip_event(yard.fragile, 2)
        system.wait_applied()
        system.unskip_event(yard.fragile, 2)
        with pytest.raises(ModelStopped, match="it is poison"):
            system.wait_rebuilt(yard.fragile, PATIENCE)
        for name in system.replica_names:
            assert system.dump(name, yard.fragile) == {"seen": [{"name": "a"}, {"name": "b"}]}


def stopped_of(system: System) -> list[int | None]:
    replicas = system.health().replicas
    return [model.stopped_at for one in replicas for model in one.models if model.name == "fragile"]
