"""A model that can't be read fails the queries that read it, and no others, also where they wait together."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from actors import QueryTimeout, StorageError, System
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_job import QueryJob
from storage.engines.sqlite import pool as sqlite_pool
from tests.helpers import PATIENCE
from tests.system import crews
from tests.system.crews import (
    NO_SNAPSHOTS,
    Berths,
    Held,
    Joined,
    Roll,
    Tally,
    asked_together,
    let_go,
    roll,
    sailors,
)

ACTOR = "replica-1.query-1"


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Holds the memory model's projection while it has its objects, from `Held.wait` on, until it is set."""
    release = threading.Event()
    yield release
    Held.wait = None
    release.set()


@contextmanager
def one_replica(tmp_path: Path, **settings: Any) -> Iterator[System]:
    """A system of one replica, which has the first sailor."""
    with System.open(tmp_path / "crews", crews.crews, replicas=1, **settings) as system:
        system.append("crew", [Joined(1)])
        system.wait_applied()
        yield system


@contextmanager
def held_projection(tmp_path: Path, held: threading.Event) -> Iterator[System]:
    """The same, while the memory model's projection is held at the second sailor."""
    at_work = threading.Event()

    def wait() -> None:
        at_work.set()
        assert held.wait(PATIENCE)

    with one_replica(tmp_path, query_actors=1) as system:
        Held.wait = wait
        system.append("crew", [Joined(2)])
        assert at_work.wait(PATIENCE)
        yield system


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_queries_that_wait_together_fail_for_their_own_models_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: Literal["thread", "process"]
) -> None:
    monkeypatch.setenv(NO_SNAPSHOTS, "yes")
    with one_replica(tmp_path, query_actors=1, workers=workers) as system:
        monkeypatch.setattr(sqlite_pool, "MAX_OPEN", 0)
        folder = tmp_path / "held"
        jobs = asked_together(system, ACTOR, folder, Berths(), Roll(), Tally(), Roll(), Berths())
        let_go(folder)
        outcomes: list[Any] = []
        for job in jobs:
            try:
                outcomes.append(job.future.result(PATIENCE)[0])
            except StorageError as error:
                outcomes.append(str(error).partition(" has ")[2])
        full = "0 snapshots open already; close some"
        assert outcomes == [[1], full, [1], full, [1]]
        assert system.query_many([Berths(), Tally()]) == [[1], [1]]
        with pytest.raises(StorageError, match="snapshots open already"):
            system.query_many([Berths(), Roll()])
        with system.watch(Berths()) as watch:
            assert next(watch) == [1]


def test_queries_that_wait_together_do_not_wait_for_models_that_they_do_not_read(
    tmp_path: Path, held: threading.Event
) -> None:
    with held_projection(tmp_path, held) as system:
        folder = tmp_path / "held"
        tallied, *others = asked_together(system, ACTOR, folder, Tally(), Berths(), Roll())
        let_go(folder)
        assert [job.future.result(PATIENCE) for job in others] == [[[1]], [[1]]]
        assert not tallied.future.done()
        held.set()
        assert tallied.future.result(PATIENCE) in ([[1]], [[1, 2]])


def test_a_query_that_waited_for_a_model_until_its_end_says_that_its_time_is_over(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_of = QueryDispatcher._job

    def with_a_patient_caller(*args: Any) -> tuple[QueryJob, float]:
        return job_of(*args)[0], PATIENCE

    with held_projection(tmp_path, held) as system:
        monkeypatch.setattr(QueryDispatcher, "_job", with_a_patient_caller)
        with pytest.raises(QueryTimeout, match="not run"):
            system.query(Tally(), timeout=0.05)
        held.set()


def test_a_view_of_one_model_can_be_had_while_another_one_has_none_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_replica(tmp_path) as system, ExitStack() as views:
        monkeypatch.setattr(sqlite_pool, "MAX_OPEN", 1)
        views.enter_context(system.view(roll))
        with pytest.raises(StorageError, match="snapshots open already"):
            system.view(sailors, roll)
        with system.view(sailors) as view:
            assert len(view[crews.berths]) == 1
