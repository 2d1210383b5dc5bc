"""An operator has a model pass over an event: noted in the log, and so for every replica, version and
rebuild.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors import Domain, NotStopped, System, SystemClosed, UnknownMessage
from tests.helpers import PATIENCE, wait_until
from tests.system.tallies import Tallies


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped model is not tried again by itself before the test is over."""
    monkeypatch.setattr("actors.replication.backfill.RETRY_FIRST", 10 * PATIENCE)
    monkeypatch.setattr("actors.replication.backfill.RETRY_LAST", 10 * PATIENCE)


def poisoned(*at: int) -> Callable[[int, int], None]:
    def before(version: int, position: int) -> None:
        if position in at:
            raise RuntimeError(f"version {version} can't stand {position}")

    return before


def counts(tallies: Tallies, system: System) -> list[int]:
    return [rows["rows"][0]["count"] for rows in tallies.dumps(system)]


def stopped(system: System) -> list[int | None]:
    return [model.stopped_at for replica in system.health().replicas for model in replica.models]


@pytest.fixture
def tallies() -> Tallies:
    tallies = Tallies(1)
    tallies.before = poisoned(7, 12)
    return tallies


def test_a_skipped_event_lets_every_replica_go_on_at_once(tallies: Tallies, store_path: Path) -> None:
    with System.open(store_path, tallies.domain, replicas=3) as system:
        tallies.note(system, *range(1, 21))
        wait_until(lambda: stopped(system) == [7, 7, 7])
        system.skip_event(tallies.model, 7, "the till was broken")
        wait_until(lambda: stopped(system) == [12, 12, 12])
        system.skip_event(tallies.model, 12)
        system.wait_applied()
        assert counts(tallies, system) == [18, 18, 18]
        health = system.health()
        assert (health.status, health.skipped_events) == ("ok", 2)
        first, second = system.skipped_events()
        assert (first.model, first.position, first.reason) == ("tally", 7, "the till was broken")
        assert (second.model, second.position, second.reason) == ("tally", 12, "")
        assert abs((datetime.now(UTC) - first.time).total_seconds()) < PATIENCE
        assert system.position == 20, "it is a note, not an event"


def test_a_skip_holds_after_reopening_for_new_replicas_and_for_mended_code(
    tallies: Tallies, store_path: Path
) -> None:
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.note(system, *range(1, 11))
        wait_until(lambda: stopped(system) == [7])
        system.skip_event(tallies.model, 7)
        system.wait_applied()
    shutil.rmtree(store_path / "replicas")
    mended = Tallies(1)
    with System.open(store_path, mended.domain, replicas=2) as system:
        system.wait_applied()
        assert counts(mended, system) == [9, 9]
        assert [one.position for one in system.skipped_events()] == [7]
        assert system.health().skipped_events == 1


def test_a_skip_holds_for_another_version_and_for_a_rebuild(tallies: Tallies, store_path: Path) -> None:
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 11))
        wait_until(lambda: stopped(system) == [7, 7])
        system.skip_event(tallies.model, 7)
        system.wait_applied()
    newer = Tallies(1, 2)
    with System.open(store_path, newer.domain, replicas=2) as system:
        wait_until(lambda: not system.rebuilds())
        assert counts(newer, system) == [9, 9]
        system.rebuild(newer.model, wait=True, timeout=PATIENCE)
        assert counts(newer, system) == [9, 9]
        assert all(position != 7 for _, position in newer.applied)


def test_a_new_build_that_is_stopped_goes_on_after_a_skip(store_path: Path) -> None:
    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 11))
        system.wait_applied()
    tallies = Tallies(1, 2)
    tallies.before = lambda version, position: 1 / (version == 1 or position - 7)  # type: ignore[assignment, return-value]
    with System.open(store_path, tallies.domain, replicas=2) as system:
        wait_until(lambda: [one for one in system.rebuilds() if one.state == "stopped"])
        assert counts(tallies, system) == [10, 10]
        system.skip_event(tallies.models[1], 7)
        wait_until(lambda: not system.rebuilds())
        assert counts(tallies, system) == [9, 9]


def test_only_an_event_that_the_model_is_stopped_at_can_be_skipped(
    tallies: Tallies, store_path: Path
) -> None:
    with System.open(store_path, tallies.domain, replicas=2) as system:
        tallies.note(system, *range(1, 11))
        wait_until(lambda: stopped(system) == [7, 7])
        with pytest.raises(
            NotStopped,
            match=r"'tally' is not stopped at position 8, .* "
            r"it is stopped at 7 on replica-1, at 7 on replica-2",
        ):
            system.skip_event(tallies.model, 8)
        for position in (0, 11):
            with pytest.raises(ValueError, match=f"position {position} is not in the log, which ends at 10"):
                system.skip_event(tallies.model, position)
        with pytest.raises(ValueError, match="position= takes a receipt or a position from 0 on, got '7'"):
            system.skip_event(tallies.model, "7")  # type: ignore[arg-type]
        with pytest.raises(UnknownMessage):
            system.skip_event(Tallies(1).model, 7)
        assert system.skipped_events() == []
        assert stopped(system) == [7, 7]
        system.skip_event(tallies.model, 7)
        system.skip_event(tallies.model, 7, "again")
        assert [one.reason for one in system.skipped_events()] == [""]
    with pytest.raises(SystemClosed):
        system.skip_event(tallies.model, 7)


def test_an_event_that_cannot_be_decoded_can_be_skipped(store_path: Path) -> None:
    earlier = Domain("tallies")

    @earlier.event(state=None, stream="numbers", name="Noted")
    class EarlierNoted:
        another: int

    tallies = Tallies(1)
    with System.open(store_path, tallies.domain, replicas=1) as system:
        tallies.note(system, 1, 2)
    with System.open(store_path, earlier, replicas=1, accept=["Noted"]) as system:
        system.append("numbers", [EarlierNoted(3)])
    shutil.rmtree(store_path / "replicas")
    with System.open(store_path, tallies.domain, replicas=2, accept=["Noted"]) as system:
        tallies.note(system, 4)
        wait_until(lambda: stopped(system) == [3, 3])
        system.skip_event(tallies.model, 3, "nobody knows it any more")
        system.wait_applied()
        assert counts(tallies, system) == [3, 3]
        system.wait_applied(tallies.note(system, 5))
    shutil.rmtree(store_path / "replicas")
    with System.open(store_path, tallies.domain, replicas=1) as system:
        system.wait_applied()
        assert counts(tallies, system) == [4]
