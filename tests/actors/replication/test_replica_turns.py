from __future__ import annotations

import threading

import pytest

from actors.replication import replica_turns
from actors.replication.replica_turns import ReplicaTurns
from tests.helpers import PATIENCE, Threads


def test_a_replica_waits_for_the_turn_of_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_turns, "TURN_SECONDS", PATIENCE)
    turns, order, waits = ReplicaTurns(), [], threading.Event()

    def second() -> None:
        waits.set()
        with turns.turn():
            order.append("second")

    with Threads() as threads, turns.turn():
        threads.start(second)
        assert waits.wait(PATIENCE)
        order.append("first")
    assert order == ["first", "second"]


def test_a_replica_that_takes_too_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_turns, "TURN_SECONDS", 0.01)
    turns, done = ReplicaTurns(), threading.Event()

    def second() -> None:
        with turns.turn():
            done.set()

    with Threads() as threads, turns.turn():
        threads.start(second)
        assert done.wait(PATIENCE)
    # It did not take the turn, so it did not end it either; the next one gets it at once.
    with turns.turn():
        assert turns._turn.locked()


def test_a_turn_ends_with_an_error_too() -> None:
    turns = ReplicaTurns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    assert not turns._turn.locked()
