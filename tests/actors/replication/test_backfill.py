"""What a replica fills between live batches, and when: without threads, files or a clock that runs."""

from __future__ import annotations

import pytest

from actors.replication.backfill import (
    LONG_SLICE_SECONDS,
    MAX_EVENTS,
    MIN_EVENTS,
    SLICE_SECONDS,
    Backfill,
    rebuilds_of,
)
from actors.replication.build_progress import ProjectionFailure
from actors.replication.rebuild_lock import RebuildQueue
from actors.replication.rebuild_rate import RebuildRate
from actors.replication.rebuild_throttle import LONGEST, RebuildThrottle, adapted_limit
from storage import RecordedEvent


class Model:
    def __init__(self, name, version=1):
        self.name, self.version = name, version


class Run:
    def __init__(self, name, checkpoint, version=1):
        self.model = Model(name, version)
        self.key = f"{name}@{version}"
        self.checkpoint = checkpoint
        self.failure = None
        self.rate = RebuildRate()
        self.waiting = False


class Log:
    """A log of a thousand events."""

    head = 1000

    def read_commands(self, after, limit, until):
        last = min(after + limit, until, 1000)
        return [RecordedEvent(at, "s", at, None, "E", 0, f"c-{at}") for at in range(after + 1, last + 1)]


class Projector:
    """Applies nothing but moves checkpoints; each event takes some time of the clock."""

    def __init__(self, clock, runs, building=()):
        self.clock, self.runs, self.building, self.frozen = clock, list(runs), list(building), []
        self.cost = 0.0
        self.poison = None
        self.switched = []
        self.batches = []

    def serving(self, name):
        run = next(run for run in self.runs if run.model.name == name)
        return run.model.version, run.checkpoint, run.failure

    def apply(self, events, runs):
        self.batches.append(([run.key for run in runs], events[0].position, events[-1].position))
        self.clock.now += self.cost * len(events)
        stopped = []
        for run in runs:
            last = events[-1].position
            if self.poison is not None and run.checkpoint < self.poison <= last:
                run.checkpoint = self.poison - 1
                attempts = run.failure.attempts + 1 if run.failure else 1
                run.failure = ProjectionFailure(self.poison, "E", RuntimeError("poison"), attempts)
                stopped.append(run)
            else:
                run.checkpoint = max(run.checkpoint, last)
        return stopped

    def skips(self, run, position):
        return False

    def switch(self, run):
        self.switched.append(run.key)
        self.building.remove(run)
        self.runs = [run if one.model.name == run.model.name else one for one in self.runs]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Replica:
    def __init__(self, runs, building=(), *, name="a", rebuild_lock=None, share=0.5, position=1000):
        self.clock = Clock()
        self.position = position
        self.projector = Projector(self.clock, runs, building)
        self.rebuild_lock = rebuild_lock or RebuildQueue()
        self.woken = []
        self.stopped = []
        self.told = []
        self.filling = Backfill(
            name,
            self.projector,
            Log(),
            self.rebuild_lock,
            share,
            wake=lambda: self.woken.append(name),
            moved=lambda runs: None,
            stopped=self.stopped.append,
            switched=self.told.append,
            clock=self.clock,
        )

    def wait(self):
        return self.filling.wait(self.position)

    def run_slice(self):
        self.filling.run_slice(self.position)


def test_there_is_nothing_to_fill_where_all_have_what_the_replica_had():
    replica = Replica([Run("m", 1000), Run("n", 1000)])
    assert replica.wait() is None
    replica.run_slice()
    assert replica.projector.batches == []


def test_models_that_are_behind_are_filled_together_and_at_once():
    old, new, newer = Run("m", 1000), Run("n", 0), Run("o", 100)
    replica = Replica([old, new, newer])
    while replica.wait() is not None:
        assert replica.wait() == 0.0
        replica.run_slice()
    assert [run.checkpoint for run in (old, new, newer)] == [1000] * 3
    assert replica.projector.batches[0] == (["n@1", "o@1"], 1, 200)
    assert all("m@1" not in keys for keys, _, _ in replica.projector.batches)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9, 1.0])
def test_a_build_beside_one_that_serves_takes_its_share_of_the_time(share):
    build = Run("m", 0, version=2)
    replica = Replica([Run("m", 1000)], [build], share=share)
    replica.projector.cost = 0.000_1
    began, worked = replica.clock.now, 0.0
    while replica.projector.building:
        replica.clock.now += replica.wait()
        before = replica.clock.now
        replica.run_slice()
        worked += replica.clock.now - before
    # The pause after the last slice is still to come.
    elapsed = replica.clock.now - began + max(replica.filling._pause_until - replica.clock.now, 0.0)
    assert worked / elapsed == pytest.approx(share)
    assert replica.projector.switched == ["m@2"]


def test_a_slice_that_is_not_due_is_not_filled():
    replica = Replica([Run("m", 1000)], [Run("m", 0, version=2)])
    replica.projector.cost = 0.000_1
    replica.run_slice()
    assert len(replica.projector.batches) == 1
    replica.run_slice()
    assert len(replica.projector.batches) == 1
    replica.clock.now += replica.wait()
    replica.run_slice()
    assert len(replica.projector.batches) == 2


def test_a_build_that_nobody_serves_beside_is_not_throttled_and_needs_no_turn():
    rebuild_lock = RebuildQueue()
    assert rebuild_lock.acquire("b", lambda: None)
    replica = Replica(
        [Run("m", 0)], [Run("m", 0, version=2)], rebuild_lock=rebuild_lock, position=0, share=0.1
    )
    replica.position = 0
    replica.projector.cost = 1.0
    assert replica.wait() == 0.0
    replica.run_slice()
    assert replica.projector.switched == ["m@2"]


def test_what_is_behind_comes_before_a_build():
    replica = Replica([Run("m", 1000), Run("n", 900)], [Run("m", 0, version=2)])
    replica.run_slice()
    assert replica.projector.batches == [(["n@1"], 901, 1000)]
    replica.run_slice()
    assert replica.projector.batches[1][0] == ["m@2"]


@pytest.mark.parametrize(("cost", "least", "most"), [(0.000_01, 400, MAX_EVENTS), (0.01, MIN_EVENTS, 50)])
def test_slices_are_as_long_as_they_should_be(cost, least, most):
    replica = Replica([Run("m", 1_000_000)], [Run("m", 0, version=2)], share=1.0, position=1000)
    replica.projector.cost = cost
    for _ in range(6):
        replica.run_slice()
    _, first, last = replica.projector.batches[-1]
    took = (last - first + 1) * cost
    assert least <= replica.filling._limit <= most
    assert took <= max(2 * SLICE_SECONDS, MIN_EVENTS * cost * 1.01)


@pytest.mark.parametrize(
    ("runs", "seconds"),
    [
        ([Run("m", 0), Run("n", 0)], LONG_SLICE_SECONDS),
        ([Run("m", 0), Run("n", 1000)], SLICE_SECONDS),
    ],
    ids=["nobody waits for live events", "one model is live"],
)
def test_slices_are_long_where_they_keep_no_live_events_waiting(runs, seconds):
    replica = Replica(runs, position=1_000_000)
    replica.filling._limit = MAX_EVENTS
    replica.projector.cost = 0.001
    runs[-1].checkpoint = 1_000_000 if seconds == SLICE_SECONDS else 0
    replica.run_slice()
    assert replica.filling._limit == max(int(MAX_EVENTS * max(seconds / 1.0, 0.25)), MIN_EVENTS)
    replica.filling._limit = int(seconds / 2 / 0.001) - 1
    runs[0].checkpoint = 0
    replica.run_slice()
    assert replica.filling._limit == 2 * (int(seconds / 2 / 0.001) - 1)


def test_the_number_of_events_follows_the_time_that_they_take():
    assert adapted_limit(100, 0.1, 100, 1.0, 10, 150) == 150, "twice as many, but not above the most"
    assert adapted_limit(100, 0.1, 99, 1.0, 10, 1000) == 100, "what was not asked for says nothing"
    assert adapted_limit(100, 0.7, 100, 1.0, 10, 1000) == 100
    assert adapted_limit(100, 2.0, 100, 1.0, 10, 1000) == 50
    assert adapted_limit(100, 60.0, 100, 1.0, 10, 1000) == 25, "one slow slice is no reason to crawl"
    assert adapted_limit(20, 60.0, 20, 1.0, 10, 1000) == 10


def test_a_build_waits_for_the_turn_of_its_replica():
    rebuild_lock = RebuildQueue()
    first = Replica(
        [Run("m", 1000)], [Run("m", 0, version=2)], name="a", rebuild_lock=rebuild_lock, share=1.0
    )
    second = Replica(
        [Run("m", 1000)], [Run("m", 0, version=2)], name="b", rebuild_lock=rebuild_lock, share=1.0
    )
    assert first.wait() == 0.0
    assert second.wait() is None
    second.run_slice()
    assert second.projector.batches == []
    assert [one.state for one in rebuilds_of("b", second.projector, 1000, 0.0)] == ["waiting"]
    while first.projector.building:
        first.run_slice()
    assert second.woken == ["b"]
    assert second.wait() == 0.0
    assert first.wait() is None


def test_a_build_that_stops_hands_its_turn_on_and_is_tried_again():
    rebuild_lock = RebuildQueue()
    replica = Replica(
        [Run("m", 1000)], [Run("m", 0, version=2)], name="a", rebuild_lock=rebuild_lock, share=1.0
    )
    replica.projector.poison = 50
    replica.run_slice()
    assert [run.key for run in replica.stopped] == ["m@2"]
    assert replica.wait() is None
    assert rebuild_lock.holder is None
    [one] = rebuilds_of("a", replica.projector, 1000, 0.0)
    assert (one.state, one.position) == ("stopped", 49)
    assert "RuntimeError: poison" in one.failure
    replica.projector.poison = None
    replica.clock.now += 0.2
    while replica.projector.building:
        replica.run_slice()
    assert replica.projector.switched == ["m@2"]


def test_a_model_that_stopped_is_tried_again_after_growing_pauses():
    run = Run("m", 10)
    replica = Replica([run])
    replica.projector.poison = 11
    tries = []
    for _ in range(1000):
        before = len(replica.projector.batches)
        replica.run_slice()
        if len(replica.projector.batches) > before:
            tries.append(replica.clock.now - 100)
        replica.clock.now += 0.01
    assert tries[:6] == pytest.approx([0.0, 0.1, 0.3, 0.7, 1.5, 3.1], abs=0.1)
    assert run.failure.attempts == len(tries)


def test_a_model_that_fell_back_is_brought_to_where_it_failed_before_that_is_tried_again():
    run = Run("m", 0)
    replica = Replica([run])
    run.failure = ProjectionFailure(310, "E", RuntimeError("poison"), 1, 305)
    replica.projector.poison = 310
    while not replica.stopped:
        replica.run_slice()
    assert [(first, last) for _, first, last in replica.projector.batches[-2:]] == [(201, 305), (306, 705)]


def test_a_model_that_failed_for_days_is_still_tried_again():
    run = Run("m", 10)
    replica = Replica([run])
    replica.projector.poison = 11
    run.failure = ProjectionFailure(11, "E", RuntimeError("poison"), 5_000)
    replica.run_slice()
    assert run.failure.attempts == 5_001
    replica.projector.poison = None
    replica.clock.now += 31.0
    replica.run_slice()
    assert run.failure is None


def test_a_build_that_is_behind_frozen_tables_does_not_take_their_place():
    build = Run("m", 0, version=2)
    replica = Replica([Run("m", 900)], [build], position=300, share=1.0)
    while replica.projector.building:
        replica.run_slice()
    assert build.checkpoint == 900
    assert replica.told == [build]


def test_the_rate_is_measured_over_the_last_seconds():
    rate = RebuildRate()
    assert rate.per_second(0, 5.0) is None
    for tenth in range(10_000):
        rate.at(tenth / 10, tenth * 10, 100_000)
    assert rate.per_second(99_990, 999.9) == pytest.approx(100, rel=0.02)
    rate.at(1001, 100_000, 100_000)
    slower = rate.per_second(100_000, 1_010)
    assert slower is not None
    assert 50 < slower < 100


def test_the_seconds_left_count_what_is_committed_meanwhile():
    rate = RebuildRate()
    assert rate.seconds_left(0, 5.0) is None
    for second in range(6):
        rate.at(second, 100 * second, 1000 + 50 * second)
    assert rate.seconds_left(500, 5.0) == pytest.approx(750 / 50)


def test_there_is_no_telling_when_a_build_is_done_that_does_not_gain():
    rate = RebuildRate()
    for second in range(6):
        rate.at(second, 100 * second, 1000 + 100 * second)
    assert rate.per_second(500, 5.0) == pytest.approx(100)
    assert rate.seconds_left(500, 5.0) is None


# -- under a load that leaves no time ---------------------------------------------------------
class Endless(Log):
    """A log that a writer which is never slow appends to."""

    def __init__(self, clock, per_second):
        self.clock, self.per_second, self.began = clock, per_second, clock.now

    @property
    def head(self):
        return 1000 + int((self.clock.now - self.began) * self.per_second)

    def read_commands(self, after, limit, until):
        last = min(after + limit, until, self.head)
        return [RecordedEvent(at, "s", at, None, "E", 0, f"c-{at}") for at in range(after + 1, last + 1)]


def under_load(per_second, *, share, cost, live_cost, seconds, batch=200):
    """A replica whose thread applies a live batch and then fills, as long as the build is not done."""
    replica = Replica([Run("m", 1000)], [Run("m", 0, version=2)], share=share)
    log = replica.filling._log = Endless(replica.clock, per_second)
    replica.projector.cost = cost
    shares = []
    end = replica.clock.now + seconds
    while replica.projector.building and replica.clock.now < end:
        events = min(log.head - replica.position, batch)
        replica.clock.now += max(events * live_cost, 0.001)
        replica.position += events
        replica.projector.runs[0].checkpoint = replica.position
        if replica.wait() == 0.0:
            replica.run_slice()
            shares.append(replica.filling._throttle.share)
    return replica, shares


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 1.0])
def test_a_build_is_done_even_if_more_is_committed_than_can_be_applied(share):
    replica, shares = under_load(20_000, share=share, cost=0.000_1, live_cost=0.000_1, seconds=300)
    assert replica.projector.switched == ["m@2"]
    assert max(shares) <= max(share, 0.9)
    assert not replica.filling.pressed
    assert replica.filling._throttle.share == share


def test_a_build_that_gains_with_its_share_gets_no_more():
    replica, shares = under_load(1_000, share=0.5, cost=0.000_1, live_cost=0.000_01, seconds=300)
    assert replica.projector.switched == ["m@2"]
    assert set(shares) == {0.5}


def test_live_events_wait_a_second_at_most_for_a_build_under_pressure():
    throttle = RebuildThrottle(0.5)
    assert throttle.budget(5.0) == 0.0
    throttle.note(0.0, 0, 1000, 1000)
    throttle.note(1.0, 0, 2000, 2000)
    assert not throttle.pressed
    throttle.note(2.0, 100, 2000, 2000)
    assert throttle.pressed
    assert throttle.share == pytest.approx(0.6)
    assert throttle.budget(0.1) == pytest.approx(0.15)
    assert throttle.budget(50.0) == LONGEST


def test_the_share_is_held_while_a_build_gains_and_given_back_when_the_setting_does():
    throttle = RebuildThrottle(0.5)
    throttle.note(0.0, 0, 1000, 1000)
    throttle.note(2.0, 100, 1200, 1200)
    throttle.note(4.0, 200, 1400, 1400)
    assert throttle.share == pytest.approx(0.7)
    throttle.note(6.0, 500, 1600, 1600)
    assert throttle.share == pytest.approx(0.7), "it gains, but with less it would not"
    throttle.note(8.0, 800, 1650, 1650)
    assert not throttle.pressed
    assert throttle.share == 0.5


# -- rebuild_lock ------------------------------------------------------------------------------------
def test_the_turn_is_handed_on_in_the_order_of_asking():
    rebuild_lock, woken = RebuildQueue(), []
    assert rebuild_lock.acquire("a", lambda: woken.append("a"))
    assert not rebuild_lock.acquire("b", lambda: woken.append("b"))
    assert not rebuild_lock.acquire("c", lambda: woken.append("c"))
    assert not rebuild_lock.acquire("b", lambda: woken.append("b again"))
    assert rebuild_lock.acquire("a", lambda: None), "who has it keeps it"
    rebuild_lock.release("c")
    rebuild_lock.release("a")
    assert woken == ["b"]
    assert rebuild_lock.holder == "b"
    rebuild_lock.release("b")
    assert rebuild_lock.holder is None
    assert rebuild_lock.acquire("c", lambda: None)
