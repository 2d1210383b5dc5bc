from __future__ import annotations

import pickle
import threading

import pytest

from actors.kernel.actor import SupervisedActor
from actors.kernel.mailbox import Mailbox, Request
from actors.kernel.supervisor import ActorSlot, Supervisor
from tests.helpers import wait_until


class Work(Request):
    def __init__(self, name, error=None):
        self.name = name
        self.error = error


class Hand(SupervisedActor):
    """Notes what it handles; raises what a message brings along."""

    def __init__(self, name, mailbox, exited, handled):
        super().__init__(name, mailbox, exited)
        self._handled = handled

    def on_receive(self, message):
        if not isinstance(message, Work):
            super().on_receive(message)
            return
        if message.error is not None:
            raise message.error
        self._handled.append(message.name)


class Crew:
    """A supervisor over some hands, with what they handled and what was started."""

    def __init__(self, names=("one", "two"), housekeeping=lambda: None):
        self.handled = {name: [] for name in names}
        self.started = []
        self.start_errors = []
        self.slots = {name: ActorSlot(name, Mailbox(), self._start) for name in names}
        self.supervisor = Supervisor("supervisor", self.slots, housekeeping)

    def _start(self, slot):
        if self.start_errors:
            raise self.start_errors.pop()
        self.started.append(slot.name)
        return Hand.start(slot.name, slot.mailbox, self.supervisor.actor_exited, self.handled[slot.name])

    def __enter__(self):
        self.supervisor.begin()
        assert self.supervisor.wait_started(10)
        return self

    def __exit__(self, *_):
        self.supervisor.stop_starting()
        for slot in self.slots.values():
            if slot.alive:
                slot.stop()
                assert slot.exited.wait(10)
        assert self.supervisor.end(10)

    def give(self, name, *work):
        for one in work:
            self.slots[name].mailbox.put(one)


def test_children_are_started_in_order():
    with Crew(["a", "b", "c"]) as crew:
        assert crew.started == ["a", "b", "c"]
        assert all(slot.alive and slot.starts == 1 for slot in crew.slots.values())
        for name in crew.slots:
            crew.give(name, Work("hello"))
            wait_until(lambda name=name: crew.handled[name] == ["hello"])


def test_a_dead_child_comes_back_and_handles_what_waited():
    with Crew() as crew:
        crew.give("one", Work("before"), Work("bad", ValueError("no good")), Work("after"), Work("last"))
        wait_until(lambda: crew.handled["one"] == ["before", "after", "last"])
        slot = crew.slots["one"]
        assert (slot.starts, slot.last_error) == (2, "ValueError: no good")
        assert crew.slots["two"].starts == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_whatever_a_child_dies_of_stays_its_own(error):
    with Crew() as crew:
        crew.give("one", Work("bad", error), Work("after"))
        wait_until(lambda: crew.handled["one"] == ["after"])
        crew.give("two", Work("fine"))
        wait_until(lambda: crew.handled["two"] == ["fine"])
        assert crew.slots["two"].starts == 1


def test_a_killed_child_is_back_when_kill_returns():
    with Crew() as crew:
        crew.give("one", *(Work(number) for number in range(100)))
        assert crew.supervisor.kill("one", 10)
        assert crew.slots["one"].alive
        assert crew.slots["one"].last_error.startswith("ActorKilled")
        wait_until(lambda: crew.handled["one"] == list(range(100)))


def test_killing_an_unknown_child_says_so():
    with Crew() as crew:
        for name in ("nobody", ["one"]):
            with pytest.raises(KeyError) as caught:
                crew.supervisor.kill(name, 1)
            assert str(caught.value) == f"there is no actor {name!r}; there are: one, two"
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_each_death_in_a_row_waits_longer_and_a_steady_life_begins_anew(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("actors.kernel.supervisor.time.monotonic", lambda: now[0])
    slot = ActorSlot("one", Mailbox(), lambda slot: None)
    waits = []
    for _ in range(10):
        slot.start()
        slot.note_exit(ValueError("again"))
        waits.append(round(slot.due - now[0], 3))
    assert waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.0, 5.0]
    slot.start()
    now[0] += 11
    slot.note_exit(None)
    assert round(slot.due - now[0], 3) == 0.02
    assert slot.last_error == "ValueError: again"


def test_a_child_that_can_not_be_started_is_tried_again_and_the_others_run():
    crew = Crew()
    crew.start_errors.append(RuntimeError("can't start new thread"))
    with crew:
        wait_until(lambda: all(slot.alive for slot in crew.slots.values()))
        assert sorted(crew.started) == ["one", "two"]
        assert crew.slots["one"].last_error == "RuntimeError: can't start new thread"
        crew.give("one", Work("hello"))
        wait_until(lambda: crew.handled["one"] == ["hello"])


def test_a_start_is_counted_before_the_child_does_anything_and_one_that_fails_is_not():
    counted = []
    slot = ActorSlot("one", Mailbox(), lambda slot: counted.append(slot.starts))
    slot.start()
    assert (counted, slot.starts) == ([1], 1)

    def failing(slot):
        raise RuntimeError("can't start new thread")

    slot = ActorSlot("two", Mailbox(), failing)
    slot.start()
    assert (slot.starts, slot.alive) == (0, False)


def test_nobody_is_started_once_it_is_closing():
    with Crew() as crew:
        crew.supervisor.stop_starting()
        crew.give("one", Work("bad", ValueError()))
        assert crew.slots["one"].exited.wait(10)
        assert not crew.supervisor.kill("one", 0.05)
        assert crew.slots["one"].starts == 1
    assert crew.started == ["one", "two"]


def test_housekeeping_is_done_at_every_tick_even_after_it_failed(monkeypatch):
    monkeypatch.setattr("actors.kernel.supervisor.HOUSEKEEPING_INTERVAL", 0.005)
    done = []

    def housekeeping():
        done.append(threading.current_thread().name)
        if len(done) == 1:
            raise RuntimeError("dust")

    with Crew(housekeeping=housekeeping):
        wait_until(lambda: len(done) > 3)
    assert set(done) == {"onewriter-supervisor"}


def test_an_actor_that_died_is_back_after_its_backoff_and_not_at_the_next_housekeeping(monkeypatch):
    monkeypatch.setattr("actors.kernel.supervisor.HOUSEKEEPING_INTERVAL", 3600.0)
    with Crew() as crew:
        for starts in (2, 3, 4):
            crew.give("one", Work("bad", ValueError()))
            wait_until(lambda wanted=starts: crew.slots["one"].starts == wanted)
        crew.give("one", Work("good"))
        wait_until(lambda: crew.handled["one"] == ["good"])
        assert crew.slots["two"].starts == 1
