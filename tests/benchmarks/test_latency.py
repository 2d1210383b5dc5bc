from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.latency import measure as measuring
from benchmarks.latency import subjects as all_subjects
from benchmarks.latency.load import Call, closed_load, open_load, submitted_load
from benchmarks.latency.measure import COMMANDS, LOADS, QUERIES, measure
from benchmarks.latency.schedule import constant, of_clients, poisson
from benchmarks.latency.section import section_of
from benchmarks.latency.subjects import (
    OnewriterExecute,
    OnewriterQuery,
    OnewriterSubmit,
    SqliteCommands,
    SqliteQueries,
    Subject,
)


def test_constant_arrivals_are_equally_far_apart_and_end_in_time() -> None:
    moments = constant(200.0, 3.0, seed=1)
    assert len(moments) == 600
    assert 0 <= moments[0] < 1 / 200
    assert moments[-1] < 3.0
    assert [after - before for before, after in pairwise(moments)] == pytest.approx([1 / 200] * 599)


def test_poisson_arrivals_have_their_rate_and_the_spread_of_an_exponential_distribution() -> None:
    moments = poisson(1_000.0, 20.0, seed=1)
    distances = [after - before for before, after in pairwise(moments)]
    assert len(moments) / 20.0 == pytest.approx(1_000, rel=0.03)
    assert min(distances) > 0
    assert moments[-1] < 20.0
    assert statistics.stdev(distances) == pytest.approx(statistics.mean(distances), rel=0.05)
    # Of an exponential distribution, 1 - 1/e lies below the mean.
    assert sum(one < 1 / 1_000 for one in distances) / len(distances) == pytest.approx(0.632, abs=0.02)


@pytest.mark.parametrize("arrivals", [constant, poisson])
def test_the_same_seed_gives_the_same_moments_and_another_gives_others(arrivals: Any) -> None:
    assert arrivals(100.0, 1.0, 5) == arrivals(100.0, 1.0, 5)
    assert arrivals(100.0, 1.0, 5) != arrivals(100.0, 1.0, 6)


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_each_client_has_its_share_of_a_rate_and_a_rate_that_brings_nothing_brings_one(arrivals: str) -> None:
    assert sum(map(len, of_clients(arrivals, 1_000.0, 2.0, 1, 4))) == pytest.approx(2_000, rel=0.1)
    assert of_clients(arrivals, 1e-6, 0.05, 7, 3) == [[0.0], [], []]


def test_what_a_client_was_late_with_counts_in_an_open_load_although_the_call_itself_was_quick() -> None:
    # The first call goes on until the second one has been due for a while.
    due = [0.0, 0.0, 0.0]
    stood_still = 0.05
    waiting = threading.Event()
    calls: Iterator[int] = count()
    measured = open_load([lambda _: next(calls) or waiting.wait(stood_still)], [["a", "b", "c"]], [due])
    assert len(measured.latency) == len(measured.called) == 3
    assert measured.latency.quantiles((0.0,))[0] >= stood_still * 0.99
    assert measured.called.quantiles((0.5,))[0] < measured.latency.quantiles((0.0,))[0]


def test_an_operation_is_not_begun_before_it_is_due() -> None:
    done: list[str] = []
    measured = open_load([done.append], [["a", "b"]], [[0.01, 0.02]])
    assert done == ["a", "b"]
    assert measured.seconds >= 0.02


def test_a_closed_load_takes_the_next_items_until_the_time_is_over_or_there_are_none() -> None:
    done: list[int] = []
    assert len(closed_load([done.append], [iter(range(10))], 60.0).called) == 10
    assert done == list(range(10))
    assert len(closed_load([done.append], [count()], 0.0).called) == 1


def test_a_client_that_fails_ends_the_load_with_its_error() -> None:
    def fail(_: object) -> None:
        raise OSError("no such store")

    with pytest.raises(OSError, match="no such store"):
        closed_load([fail, fail], [[1], [1]], 1.0)


def test_submitted_operations_count_until_their_own_reply_whatever_the_order_of_replies() -> None:
    futures: list[Future[int]] = []

    def submit(number: int) -> Future[int]:
        future: Future[int] = Future()
        futures.append(future)
        if number == 2:
            for waiting in reversed(futures):
                waiting.set_result(1)
        return future

    measured = submitted_load(submit, [0, 1, 2], [0.0, 0.0, 0.0])
    assert len(measured.latency) == len(measured.called) == 3
    assert max(measured.latency.quantiles((1,))) <= measured.seconds


class Slow(Subject):
    key = "slow"
    label = "not installed"

    def setup(self, folder: Path) -> list[Call]:
        raise ModuleNotFoundError("No module named 'slow'", name="slow")

    def items(self, client: int) -> Iterator[Any]:
        return iter(())


def test_a_small_run_has_a_line_for_every_load_and_leaves_out_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some() -> tuple[list[Subject], list[Subject]]:
        return (
            [OnewriterExecute(), OnewriterSubmit(), SqliteCommands(), Slow()],
            [OnewriterQuery(), SqliteQueries()],
        )

    monkeypatch.setattr(measuring, "subjects", some)
    # Each is made by a command of its own.
    monkeypatch.setattr(all_subjects, "PRODUCTS", 100)
    monkeypatch.setattr(measuring, "FIRST_TRIAL", 200)
    stores = tmp_path / "stores"
    stores.mkdir()
    latencies = measure(stores, seconds=0.05, rounds=1, arrivals="poisson")
    found = section_of(latencies)
    assert len(found.rows) == 5 * len(LOADS) + len(latencies.nothing)
    assert all(len(row) == len(found.header) for row in found.rows)
    assert latencies.missing == {"not installed": "not installed: No module named 'slow'"}
    for kind, key in ((COMMANDS, "onewriter-thread-submit"), (QUERIES, "sqlite")):
        figures = [
            found.figures[f"latency/{kind}/{key}/50/{name}"] for name in ("p50", "p90", "p99", "p999", "max")
        ]
        assert figures[0] > 0
        assert figures == sorted(figures)
    assert list(stores.iterdir()) == []
    pytest.importorskip("matplotlib")
    assert [(tmp_path / draw(tmp_path)).read_text()[:5] for draw in found.plots[:1]] == ["<?xml"]
