"""Turns of readers of data that a batch changes in place: each waits within its time, interrupted or not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage.engines.base import TryAgain
from storage.errors import StorageError
from storage.replica import reader_turns
from storage.replica.reader_turns import ReaderTurns
from tests.helpers import PATIENCE, Threads, in_a_thread, wait_until


class Waited:
    """A store that can be read immediately."""

    def await_readable(self, timeout: float = 10.0) -> None:
        assert timeout >= 0


STORE: Any = Waited()


def in_turn(work: Callable[[], Any]) -> Callable[[Any], Any]:
    """An attempt that comes too early at first, so that `work` runs while the turn is held."""

    def attempt(waited: Any) -> Any:
        if waited is None:
            raise TryAgain(STORE)
        return work()

    return attempt


class Held:
    """A turn that a reader holds during the block."""

    def __init__(self, turns: ReaderTurns) -> None:
        self._turns = turns
        self._threads = Threads()
        self._has, self._done = threading.Event(), threading.Event()

    def _stay(self) -> None:
        self._has.set()
        assert self._done.wait(PATIENCE)

    def __enter__(self) -> Held:
        self._threads.start(self._turns.run, in_turn(self._stay))
        assert self._has.wait(PATIENCE)
        return self

    def let_go(self) -> None:
        self._done.set()

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._threads.join()


@pytest.fixture
def turns(tmp_path: Path) -> ReaderTurns:
    return ReaderTurns(tmp_path)


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_reader_waits_for_anothers_turn_no_longer_than_its_time(turns: ReaderTurns, seconds: float) -> None:
    def late() -> None:
        with pytest.raises(StorageError, match="could not be read at one moment in time; try again"):
            turns.run(in_turn(lambda: None), time.monotonic() + seconds)

    with Held(turns):
        in_a_thread(late)


def test_a_reader_without_an_end_waits_for_anothers_turn_as_long_as_readers_do(
    turns: ReaderTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late() -> None:
        with pytest.raises(StorageError, match="could not be read at one moment"):
            turns.run(in_turn(lambda: None), math.inf)

    with Held(turns):
        monkeypatch.setattr(reader_turns, "PATIENCE", 0.02)
        in_a_thread(late)


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_reader_waits_for_the_end_of_a_commit_no_longer_than_its_time(
    turns: ReaderTurns, seconds: float
) -> None:
    def late() -> None:
        with pytest.raises(StorageError, match="could not be read at one moment in time; try again"):
            turns.run(lambda _waited: "read", time.monotonic() + seconds)

    with turns.commit():
        in_a_thread(late)
    assert turns.run(lambda _waited: "read") == "read"


def test_who_waits_in_time_comes_after_the_turn_before(turns: ReaderTurns) -> None:
    order: list[str] = []
    with Held(turns) as held, Threads() as threads:
        threads.start(turns.run, in_turn(lambda: order.append("reader")))
        threads.start(lambda: (turns.wait_for_readers(), order.append("batch")))
        assert not order
        held.let_go()
    assert sorted(order) == ["batch", "reader"]
    assert turns.run(in_turn(lambda: "read")) == "read"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, StorageError])
def test_what_is_raised_in_a_turn_ends_it(turns: ReaderTurns, error: type[BaseException]) -> None:
    def fails() -> None:
        raise error("in a turn")

    with pytest.raises(error):
        turns.run(in_turn(fails))
    in_a_thread(turns.wait_for_readers)
    assert in_a_thread(lambda: turns.run(in_turn(lambda: "read"))) == "read"


def test_an_interrupt_between_taking_a_turn_and_going_on_gives_it_back(
    turns: ReaderTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = ReaderTurns._takes

    def struck(self: ReaderTurns, mine: Any) -> bool:
        takes(self, mine)
        raise KeyboardInterrupt

    with monkeypatch.context() as striking:
        striking.setattr(ReaderTurns, "_takes", struck)
        with pytest.raises(KeyboardInterrupt):
            turns.run(in_turn(lambda: None))
    in_a_thread(turns.wait_for_readers)
    assert in_a_thread(lambda: turns.run(in_turn(lambda: "read"))) == "read"


def test_a_waiter_that_was_interrupted_when_it_had_come_through_keeps_nobody_out(
    turns: ReaderTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_turns, "LOOK_AGAIN", 0.02)
    with Held(turns) as held, Threads() as threads:
        mine = turns._turn
        assert mine is not None
        threads.start(mine.acquire)  # and never released
        threads.start(turns.wait_for_readers)
        threads.start(turns.run, in_turn(lambda: None))
        held.let_go()
    wait_until(lambda: turns._turn is None)
