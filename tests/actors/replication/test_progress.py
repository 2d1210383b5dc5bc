from __future__ import annotations

import threading
import time

import pytest

from actors.replication.progress import Progress
from tests.helpers import Threads


@pytest.fixture
def progress():
    """Two models on two replicas at position 10 of a log at 10."""
    progress = Progress(10, ["m", "n"], ["a", "b"])
    for replica in ("a", "b"):
        progress.applied(replica, [("m", 10), ("n", 10)])
    return progress


def test_a_model_that_never_reported_is_fresh_for_nothing():
    progress = Progress(10, ["m"], ["a"])
    assert progress.fresh(["m"], 1) == []
    assert progress.fresh(["m"], 0) == ["a"]


def test_a_replica_is_fresh_when_every_model_that_is_read_is(progress):
    progress.committed(12)
    progress.applied("a", [("m", 12)])
    assert progress.fresh(["m"], 12) == ["a"]
    assert progress.fresh(["m", "n"], 12) == []
    assert progress.fresh(["m", "n"], 10) == ["b"], "on a they show two moments"
    progress.applied("a", [("n", 12)])
    assert progress.fresh(["m", "n"], 12) == ["a"]
    assert progress.fresh(["m", "n"], 10) == ["a", "b"]
    assert progress.fresh([], 12) == ["a", "b"]


def test_everywhere_means_every_model_on_every_replica(progress):
    assert progress.everywhere(10)
    assert not progress.everywhere(11)
    progress.stopped("b", "n", 10, "broken")
    assert not progress.everywhere(10)


def test_a_stopped_model_is_not_fresh_until_it_runs_again(progress):
    progress.stopped("a", "m", 10, "broken")
    assert progress.fresh(["m"], 10) == ["b"]
    assert progress.fresh(["n"], 10) == ["a", "b"]
    assert progress.any_stopped() == ("a", "m", "broken")
    assert progress.stopped_model(["m"]) is None, "it runs on the other replica"
    progress.stopped("b", "m", 9, "broken too")
    assert progress.stopped_model(["n", "m"]) == ("m", "broken")
    progress.applied("a", [("m", 10)])
    assert progress.fresh(["m"], 10) == ["a"]
    assert progress.stopped_model(["m"]) is None


def test_a_waiter_is_called_once_when_its_position_is_reached(progress):
    called = []
    progress.committed(20)
    assert progress.fresh_or_call(("m",), 10, lambda: called.append("early")) == ["a", "b"]
    assert progress.fresh_or_call(("m",), 15, lambda: called.append(15)) == []
    assert progress.fresh_or_call(("m", "n"), 14, lambda: called.append(14)) == []
    progress.applied("a", [("m", 14)])
    assert called == []
    progress.applied("a", [("m", 16), ("n", 13)])
    assert called == [15]
    progress.applied("b", [("m", 20), ("n", 20)])
    progress.applied("a", [("m", 20), ("n", 20)])
    assert called == [15, 14]


def test_a_waiter_that_gave_up_is_not_called(progress):
    called = []

    def callback():
        called.append(1)

    progress.fresh_or_call(("m",), 11, callback)
    progress.forget(callback)
    progress.applied("a", [("m", 11)])
    assert called == []


def test_waiters_are_called_when_their_model_stops_and_when_the_system_closes(progress):
    called = []
    progress.fresh_or_call(("m",), 11, lambda: called.append("m"))
    progress.fresh_or_call(("n",), 11, lambda: called.append("n"))
    progress.stopped("a", "m", 10, "broken")
    assert called == ["m"]
    progress.close()
    assert called == ["m", "n"]
    assert progress.closed


def test_a_waiter_of_a_closed_system_is_called_at_once(progress):
    called = []
    progress.close()
    assert progress.fresh_or_call(("m",), 11, lambda: called.append("m")) == []
    assert called == ["m"]


def test_a_waiter_for_a_model_that_is_stopped_everywhere_is_called_at_once(progress):
    called = []
    progress.stopped("a", "m", 10, "broken")
    assert progress.fresh_or_call(("m",), 11, lambda: called.append("early")) == []
    assert called == []
    progress.stopped("b", "m", 10, "broken")
    assert called == ["early"]
    assert progress.fresh_or_call(("m",), 11, lambda: called.append("late")) == []
    assert called == ["early", "late"]


def test_the_most_advanced_replicas_are_those_whose_worst_model_is_furthest(progress):
    assert progress.most_advanced(["m", "n"]) == ["a", "b"]
    progress.applied("a", [("m", 12)])
    assert progress.most_advanced(["m", "n"]) == ["b"], "on a they show two moments"
    assert progress.most_advanced(["m"]) == ["a"]
    progress.stopped("a", "m", 12, "broken")
    assert progress.most_advanced(["m"]) == ["b"]
    progress.stopped("b", "m", 12, "broken")
    assert progress.most_advanced(["m"]) == []


def test_a_model_that_stands_still_readable_is_not_read_together_with_one_that_goes_on(progress):
    progress.stopped("a", "m", 10, "no room", readable=True)
    progress.stopped("b", "m", 10, "no room", readable=True)
    assert progress.fresh(["m", "n"], 10) == ["a", "b"]
    progress.applied("a", [("n", 11)])
    progress.applied("b", [("n", 11)])
    assert progress.fresh(["m"], 10) == ["a", "b"]
    assert progress.fresh(["m", "n"], 10) == []
    assert progress.most_advanced(["m", "n"]) == []


def test_a_replica_that_is_begun_anew_is_left_out_until_it_has_what_was_committed_then(progress):
    progress.exclude("a")
    assert progress.fresh(["m"], 0) == ["b"]
    assert not progress.everywhere(10)
    progress.applied("a", [("m", 10), ("n", 10)])
    assert progress.fresh(["m"], 0) == ["b"], "that was the old one's last word"
    progress.committed(12)
    progress.mark_reset("a")
    progress.exclude("b")
    progress.applied("a", [("m", 11), ("n", 11)])
    assert progress.fresh(["m"], 0) == progress.most_advanced(["m"]) == []
    called = []
    assert progress.fresh_or_call(("m",), 0, lambda: called.append("now")) == []
    progress.applied("a", [("m", 12), ("n", 12)])
    assert called == ["now"]
    assert progress.fresh(["m"], 0) == progress.most_advanced(["m"]) == ["a"]


def test_a_model_that_is_on_some_replicas_is_asked_and_awaited_there_alone():
    progress = Progress(10, ["m", "n", "o"], ["a", "b"], {"n": ["b"], "o": ["a"]})
    assert {name: sorted(models) for name, models in progress.replicas.items()} == {
        "a": ["m", "o"],
        "b": ["m", "n"],
    }
    progress.applied("a", [("m", 10), ("o", 10)])
    assert not progress.everywhere(10)
    progress.applied("b", [("m", 10), ("n", 10)])
    assert progress.everywhere(10)
    assert progress.fresh(["m"], 10) == ["a", "b"]
    assert progress.fresh(["n"], 10) == progress.fresh(["m", "n"], 10) == ["b"]
    assert progress.most_advanced(["o"]) == ["a"]
    assert progress.holders(["n", "o"]) == progress.fresh(["n", "o"], 0) == []
    progress.stopped("b", "n", 10, "broken")
    assert progress.stopped_model(["m", "n"]) == ("n", "broken")


def test_an_occupied_replica_is_asked_for_what_no_other_has():
    progress = Progress(0, ["m", "n"], ["a", "b"], {"n": ["b"]})
    progress.set_occupied(["b"])
    assert progress.fresh(["m"], 0) == progress.most_advanced(["m"]) == ["a"]
    assert progress.fresh(["m", "n"], 0) == progress.most_advanced(["n"]) == ["b"]


def test_an_occupied_replica_is_left_out_as_long_as_there_is_another(progress):
    progress.set_occupied(["a"])
    assert progress.fresh(["m"], 10) == ["b"]
    assert progress.most_advanced(["m"]) == ["b"]
    assert progress.everywhere(10)
    progress.set_occupied(["a", "b"])
    assert progress.fresh(["m"], 10) == ["a", "b"]


def test_who_waits_for_another_replica_gets_the_occupied_one_once_it_is_free(progress):
    progress.committed(11)
    progress.applied("a", [("m", 11)])
    progress.set_occupied(["a"])
    called = []
    assert progress.fresh_or_call(("m",), 11, lambda: called.append(1)) == []
    progress.set_occupied([])
    assert called == [1]


def test_waiting_for_a_commit_ends_with_it_with_the_timeout_or_with_the_system(progress):
    assert progress.wait_committed(10, 0)
    assert not progress.wait_committed(11, 0.001)
    with Threads() as threads:
        threads.start(progress.committed, 11)
        assert progress.wait_committed(11, 10)
        threads.start(progress.close)
        assert progress.wait_committed(99, 10)
    assert progress.head == 11


def test_wait_until_asks_again_whenever_something_is_published(progress):
    with Threads() as threads:
        threads.start(progress.applied, "a", [("m", 11)])
        assert progress.wait_until(lambda: progress.fresh(["m"], 11), 10)
    assert not progress.wait_until(lambda: False, 0.001)


def test_who_begins_to_wait_for_replicas_has_held_news_told(progress):
    nudged = []
    progress.on_wait = lambda: nudged.append(progress.has_waiters)
    assert progress.fresh_or_call(("m",), 10, lambda: None) == ["a", "b"]
    assert nudged == [], "nobody waits"
    assert progress.fresh_or_call(("m",), 11, lambda: None) == []
    assert nudged == [True], "what is told after that is told at once"
    assert progress.wait_until(lambda: True, 0)
    assert nudged == [True, True]


def test_lag_in_seconds_is_the_age_of_the_oldest_commit_not_applied(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(10, ["m"], ["a"])
    now[0] = 101.0
    assert progress.lag_seconds(10) == 0.0
    assert progress.lag_seconds(9) == 1.0, "what was there before counts from the opening"
    progress.committed(12)
    now[0] = 103.0
    progress.committed(13)
    now[0] = 104.0
    assert [progress.lag_seconds(position) for position in (10, 11, 12, 13)] == [3.0, 3.0, 1.0, 0.0]


def test_the_position_of_some_seconds_ago_is_the_last_one_committed_by_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = Progress(10, ["m"], ["a"])
    for second, position in ((101, 11), (102, 15), (103, 16)):
        now[0] = float(second)
        progress.committed(position)
    now[0] = 104.0
    assert progress.position_before(0) == 16
    assert progress.position_before(1.5) == 15
    assert progress.position_before(2.5) == 11
    assert progress.position_before(60) == 10


def test_a_long_history_of_commits_is_forgotten_on_the_strict_side(monkeypatch):
    monkeypatch.setattr("actors.replication.commit_times.REMEMBERED_COMMITS", 3)
    progress = Progress(0, ["m"], ["a"])
    for position in range(1, 11):
        progress.committed(position)
    assert progress.position_before(3600) == 8, "more than was promised, never less"


def test_no_wake_up_is_lost_between_waiters_and_publishers():
    progress = Progress(0, ["m"], ["a", "b"])
    positions = range(1, 301)
    reached = {position: threading.Event() for position in positions}

    def publish(replica):
        for position in positions:
            progress.applied(replica, [("m", position)])

    def wait_for(start):
        for position in range(start, 301, 4):
            if progress.fresh_or_call(("m",), position, reached[position].set):
                reached[position].set()

    with Threads() as threads:
        for start in range(1, 5):
            threads.start(wait_for, start)
        for replica in ("a", "b"):
            threads.start(publish, replica)
    assert all(event.is_set() for event in reached.values())
