"""Pauses grow up to their limit, however often something fails."""

from __future__ import annotations

import pytest

from actors.kernel.backoff import backoff
from actors.kernel.mailbox import Mailbox
from actors.kernel.supervisor import BACKOFF_LAST, ActorSlot
from actors.process_managers.failure_state import FailureState


@pytest.mark.parametrize(
    ("doublings", "seconds"), [(0, 0.1), (1, 0.2), (4, 1.6), (9, 30.0), (1_100, 30.0), (10**9, 30.0)]
)
def test_each_pause_is_twice_the_one_before_up_to_a_limit(doublings: int, seconds: float) -> None:
    assert backoff(0.1, 30.0, doublings) == pytest.approx(seconds)


def test_an_actor_that_failed_for_hours_is_started_again() -> None:
    child = ActorSlot("writer", Mailbox(), lambda _child: None)
    for _ in range(1_200):
        child.note_exit(OSError("no space left"))
    assert child.due is not None
    child.start()
    child.note_exit(OSError("no space left"))
    assert child.due is not None
    assert child.due - child._since <= BACKOFF_LAST + 1.0


def test_a_manager_that_failed_for_days_is_tried_again() -> None:
    failures = FailureState("worker")
    for _ in range(1_200):
        failures.stop("worker:1", "an event", RuntimeError("bug"), 100.0)
        failures.retry_later("no room", 100.0)
    assert failures.must_wait(159.0)
    assert not failures.must_wait(160.0)
