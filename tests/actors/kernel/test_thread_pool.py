"""The pool for what follows a `yield` after a `submit`: it never starves itself, and loses no job."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest

from actors.kernel.thread_pool import BUSY_SHARE, CORE_THREADS, ThreadPool, threads_to_start
from storage import LimitReached
from tests.helpers import PATIENCE, wait_until


class Job:
    """Does `work`, and keeps what became of it."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.given_up = False

    def __call__(self) -> None:
        self.work()
        self.over.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.over.set()

    def give_up(self) -> None:
        self.given_up = True
        self.over.set()


def done(jobs: list[Job]) -> bool:
    return all(job.over.wait(PATIENCE) and not job.error and not job.given_up for job in jobs)


@pytest.fixture
def pool() -> Any:
    pool = ThreadPool("test-pool")
    yield pool
    assert pool.close(PATIENCE)


def submitted(pool: ThreadPool, works: Any) -> list[Job]:
    jobs = [Job(work) for work in works]
    for job in jobs:
        pool.submit(job)
    return jobs


def test_as_many_jobs_as_wait_for_each_other_are_done(pool: ThreadPool) -> None:
    barrier = threading.Barrier(60)
    assert done(submitted(pool, [lambda: barrier.wait(PATIENCE)] * 60))


def test_jobs_that_wait_for_jobs_of_their_own_are_done(pool: ThreadPool) -> None:
    def outer() -> None:
        inner = Job(lambda: None)
        pool.submit(inner)
        assert inner.over.wait(PATIENCE)

    assert done(submitted(pool, [outer] * 40))


def test_a_job_does_not_wait_for_those_that_were_there_before_it(pool: ThreadPool) -> None:
    gate = threading.Event()
    hanging = submitted(pool, [lambda: gate.wait(PATIENCE)] * 40)
    assert done(submitted(pool, [lambda: None]))
    gate.set()
    assert done(hanging)


def test_jobs_that_find_no_thread_are_begun_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.kernel.thread_pool.threads_to_start", lambda *_seen: 0)
    order: list[int] = []
    pool = ThreadPool("test-pool", core=1)
    assert done(submitted(pool, [lambda number=number: order.append(number) for number in range(500)]))
    assert order == list(range(500))
    assert pool.close(PATIENCE)


def test_threads_without_a_job_end_and_new_ones_are_begun() -> None:
    pool = ThreadPool("test-pool", idle_seconds=0.01)
    for _ in range(3):
        assert done(submitted(pool, [lambda: None] * 10))
        wait_until(lambda: not len(pool))
    assert pool.close(PATIENCE)


def test_the_last_thread_to_become_idle_is_the_first_to_be_given_a_job(pool: ThreadPool) -> None:
    names: set[str] = set()
    barrier = threading.Barrier(3)
    assert done(submitted(pool, [lambda: barrier.wait(PATIENCE)] * 3))
    wait_until(lambda: len(pool._idle) == 3)
    for _ in range(10):
        assert done(submitted(pool, [lambda: names.add(threading.current_thread().name)]))
        wait_until(lambda: len(pool._idle) == 3)
    assert len(names) == 1


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, MemoryError])
def test_what_a_job_dies_of_is_its_own(pool: ThreadPool, error: type[BaseException]) -> None:
    def die() -> None:
        raise error("dead")

    jobs = submitted(pool, [die] * 10)
    assert all(job.over.wait(PATIENCE) for job in jobs)
    assert {type(job.error) for job in jobs} == {error}
    assert done(submitted(pool, [lambda: None] * 10))


# -- without threads ---------------------------------------------------------------------------
ERRORS = pytest.mark.parametrize(
    "error",
    [RuntimeError("can't start new thread"), MemoryError(), OSError(11, "no more processes")],
    ids=repr,
)


def no_thread(monkeypatch: pytest.MonkeyPatch, error: BaseException, begun: bool = False) -> None:
    """Have no thread begin, or one begin and nobody know."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if begun:
            start(thread)
        raise error

    monkeypatch.setattr(threading.Thread, "start", fail)


@ERRORS
def test_without_any_thread_a_job_fails_and_says_why(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patched:
        no_thread(patched, error)
        jobs = submitted(pool, [lambda: None] * 3 * CORE_THREADS)
    assert [type(job.error) for job in jobs] == [LimitReached] * 3 * CORE_THREADS
    assert "ulimit" in str(jobs[0].error)
    assert not len(pool)
    barrier = threading.Barrier(3 * CORE_THREADS)
    assert done(submitted(pool, [lambda: barrier.wait(PATIENCE)] * 3 * CORE_THREADS))


@ERRORS
def test_a_watcher_that_can_not_be_had_is_begun_for_the_next_job(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    pool = ThreadPool("test-pool", core=1)
    barrier = threading.Barrier(3)
    jobs = submitted(pool, [lambda: barrier.wait(PATIENCE)])
    wait_until(lambda: not pool._jobs)
    with monkeypatch.context() as patched:
        no_thread(patched, error)
        jobs += submitted(pool, [lambda: barrier.wait(PATIENCE)])
    jobs += submitted(pool, [lambda: barrier.wait(PATIENCE)])
    assert done(jobs)
    assert pool.close(PATIENCE)


def test_a_watcher_that_dies_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = ThreadPool("test-pool", core=1)
    barrier = threading.Barrier(3)
    with monkeypatch.context() as patched:
        patched.setattr("actors.kernel.thread_pool.threads_to_start", lambda *_seen: 1 // 0)
        jobs = submitted(pool, [lambda: barrier.wait(PATIENCE)] * 2)
        wait_until(lambda: "the watcher of test-pool ended" in caplog.text)
    jobs += submitted(pool, [lambda: barrier.wait(PATIENCE)])
    assert done(jobs)
    assert pool.close(PATIENCE)


@pytest.mark.parametrize("core", [1, CORE_THREADS])
@pytest.mark.parametrize("begun", [False, True])
def test_an_interrupt_while_a_thread_is_begun_is_the_submitters_and_nobody_elses(
    monkeypatch: pytest.MonkeyPatch, core: int, begun: bool
) -> None:
    pool = ThreadPool("test-pool", core=core)
    gate = threading.Event()
    hanging = submitted(pool, [lambda: gate.wait(PATIENCE)])
    wait_until(lambda: not pool._jobs)
    with monkeypatch.context() as patched:
        no_thread(patched, KeyboardInterrupt(), begun)
        for _ in range(3 * CORE_THREADS):
            with suppress(KeyboardInterrupt):
                pool.submit(Job(lambda: None))
    barrier = threading.Barrier(3 * CORE_THREADS)
    assert done(submitted(pool, [lambda: barrier.wait(PATIENCE)] * 3 * CORE_THREADS))
    gate.set()
    assert done(hanging)
    assert pool.close(PATIENCE)
    assert not len(pool)


def test_who_counts_on_a_thread_whose_beginning_is_interrupted_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = ThreadPool("test-pool", core=1)
    others: list[Job] = []
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        if not others:
            with monkeypatch.context() as patched:
                # It waits for the one that is being begun.
                patched.setattr(threading.Thread, "start", start)
                others.extend(submitted(pool, [lambda: None]))
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr("actors.kernel.thread_pool.threads_to_start", lambda *_seen: 0)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    mine = Job(lambda: None)
    with pytest.raises(KeyboardInterrupt):
        pool.submit(mine)
    assert done(others)
    assert pool.close(PATIENCE)
    assert not mine.over.is_set()


def test_without_a_further_thread_a_job_waits_for_one_that_is_there(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    hanging = submitted(pool, [lambda: gate.wait(PATIENCE)])
    with monkeypatch.context() as patched:
        no_thread(patched, MemoryError())
        jobs = submitted(pool, [lambda: None] * 10)
        gate.set()
        assert done([*hanging, *jobs])


# -- the end -----------------------------------------------------------------------------------
def test_a_closing_waits_for_what_is_at_hand_and_takes_nothing_more(pool: ThreadPool) -> None:
    gate = threading.Event()
    jobs = submitted(pool, [lambda: gate.wait(PATIENCE)] * 20)
    closing = threading.Thread(target=pool.close, args=(PATIENCE,))
    closing.start()
    wait_until(lambda: pool._closed)
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(Job(lambda: None))
    gate.set()
    closing.join(PATIENCE)
    assert done(jobs)
    wait_until(lambda: not len(pool))


def test_a_closing_gives_up_what_no_thread_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool("test-pool", core=1)
    gate = threading.Event()
    hanging = submitted(pool, [lambda: gate.wait(PATIENCE)])
    with monkeypatch.context() as patched:
        no_thread(patched, RuntimeError("can't start new thread"))
        jobs = submitted(pool, [lambda: None] * 3)
        assert not pool.close(0)
    assert [job.given_up for job in jobs] == [True] * 3
    gate.set()
    assert done(hanging)
    assert pool.close(PATIENCE)


def test_a_job_that_closes_its_pool_does_not_wait_for_itself() -> None:
    pool = ThreadPool("test-pool")
    results: list[bool] = []
    assert done(submitted(pool, [lambda: results.append(pool.close(PATIENCE))]))
    assert results == [False]
    assert pool.close(PATIENCE)


# -- how many ----------------------------------------------------------------------------------
def test_threads_double_while_the_processor_is_free() -> None:
    assert threads_to_start(waiting=100, threads=4, busy=0.1, idle_looks=0) == 4
    assert threads_to_start(waiting=3, threads=8, busy=0.1, idle_looks=0) == 3
    assert threads_to_start(waiting=1, threads=0, busy=0.1, idle_looks=0) == 1


def test_on_a_busy_processor_a_thread_is_begun_now_and_then_where_nothing_is_done() -> None:
    assert threads_to_start(waiting=100, threads=4, busy=BUSY_SHARE, idle_looks=3) == 0
    assert threads_to_start(waiting=100, threads=4, busy=BUSY_SHARE, idle_looks=4) == 1


@pytest.mark.parametrize("waiting", [0, -3])
def test_no_thread_is_begun_where_nothing_waits(waiting: int) -> None:
    assert threads_to_start(waiting, 4, 0.0, 9) == threads_to_start(waiting, 4, 1.0, 9) == 0
