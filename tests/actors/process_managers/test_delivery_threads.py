"""The threads that deliver effects: one as a rule, others where it takes its time, and no more than may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from actors.kernel.running_calls import RunningCalls
from actors.process_managers.delivery_threads import DeliveryThreads
from actors.process_managers.records import OutboxEntry
from tests.helpers import PATIENCE, wait_until


def run_of(instance: str, *numbers: int) -> list[tuple[bytes, OutboxEntry]]:
    return [
        (f"{instance}{number}".encode(), OutboxEntry(f"{instance}{number}", instance, "mail", None, 0, None))
        for number in numbers
    ]


class Office:
    """Threads whose effects wait, by instance, until they are let go; and who is told."""

    def __init__(self, most: int = 2, slow: float = 0.0) -> None:
        self.calls = RunningCalls()
        self.told = threading.Semaphore(0)
        self.gates: dict[str, threading.Event] = {}
        self.sent: list[str] = []
        self.outcome: dict[str, Any] = {}
        self.threads = DeliveryThreads("mailer", self.calls, self.told.release, most, slow)
        self.threads.send = self.send

    def send(self, _key: bytes, entry: OutboxEntry) -> list[Any]:
        gate = self.gates.get(entry.key)
        assert gate is None or gate.wait(PATIENCE)
        self.sent.append(entry.id)
        given = self.outcome.get(entry.id, [])
        if isinstance(given, BaseException):
            raise given
        return list(given)

    def give(self, *runs: list[tuple[bytes, OutboxEntry]]) -> None:
        self.threads.expect_notification()
        self.threads.submit(runs)
        self.threads.add_thread_if_slow()

    def count(self) -> int:
        return len(self.threads._slots)


@pytest.fixture
def office() -> Iterator[Office]:
    made = Office()
    yield made
    for gate in made.gates.values():
        gate.set()
    made.threads.close(PATIENCE)


def test_a_run_is_delivered_in_order_and_each_outcome_is_given_once(office: Office) -> None:
    office.give(run_of("a", 1, 2, 3))
    assert office.told.acquire(timeout=PATIENCE)
    wait_until(lambda: not office.threads.busy_instances())
    assert office.sent == ["a1", "a2", "a3"]
    assert [office.threads.take_outcome(key) for key, _ in run_of("a", 1, 2, 3)] == [[], [], []]
    assert office.threads.take_outcome(b"a1") is None


@pytest.mark.parametrize("outcome", [["a command"], ValueError("no")], ids=["commands", "an error"])
def test_what_follows_in_the_run_waits_for_what_came_of_it(office: Office, outcome: Any) -> None:
    office.outcome["a1"] = outcome
    office.give(run_of("a", 1, 2))
    wait_until(lambda: not office.threads.busy_instances())
    assert office.sent == ["a1"]
    assert office.threads.take_outcome(b"a1") in (outcome, ["a command"])
    office.give(run_of("a", 2))
    wait_until(lambda: not office.threads.busy_instances())
    assert office.sent == ["a1", "a2"]


def test_sys_exit_in_a_handler_does_not_take_the_thread_along(office: Office) -> None:
    office.outcome["a1"] = SystemExit(3)
    office.give(run_of("a", 1), run_of("b", 1))
    wait_until(lambda: not office.threads.busy_instances())
    assert isinstance(office.threads.take_outcome(b"a1"), SystemExit)
    assert office.sent == ["a1", "b1"]


def test_another_thread_takes_what_waits_behind_a_slow_one_and_ends_when_both_are_idle(
    office: Office,
) -> None:
    office.gates["a"] = threading.Event()
    office.give(run_of("a", 1, 2))
    wait_until(lambda: office.threads.slow_effects())
    assert office.threads.slow_effects() == {b"a1": "a"}
    office.give(run_of("b", 1))
    wait_until(lambda: office.sent == ["b1"])
    assert office.threads.busy_instances() == {"a"}
    office.gates["a"].set()
    wait_until(lambda: office.sent == ["b1", "a1", "a2"])
    wait_until(lambda: office.count() == 1)


def test_no_other_thread_begins_before_the_first_is_slow() -> None:
    office = Office(slow=1_000.0)
    office.gates["a"] = threading.Event()
    office.give(run_of("a", 1))
    wait_until(lambda: any(slot.what for slot in office.threads._slots))
    office.give(run_of("b", 1))
    assert 0 < (office.threads.add_thread_if_slow() or 0.0) <= 1_000.0
    assert office.count() == 1
    office.gates["a"].set()
    wait_until(lambda: office.sent == ["a1", "b1"])
    office.threads.close(PATIENCE)


def test_there_are_no_more_threads_than_may_be(office: Office) -> None:
    for name in "abc":
        office.gates[name] = threading.Event()
        office.give(run_of(name, 1))
        wait_until(lambda: office.threads.add_thread_if_slow() is None or office.count() == 2)
    wait_until(lambda: len(office.threads.slow_effects()) == 2)
    office.threads.add_thread_if_slow()
    assert office.count() == 2
    for gate in office.gates.values():
        gate.set()
    wait_until(lambda: sorted(office.sent) == ["a1", "b1", "c1"])


def test_closing_waits_for_an_effect_that_has_just_begun_and_for_none_that_hangs() -> None:
    office = Office()
    office.gates["a"] = threading.Event()
    office.give(run_of("a", 1, 2))
    wait_until(lambda: office.threads.slow_effects())
    office.threads.close(hangs=0.0)
    assert office.sent == []
    closing = threading.Thread(target=office.threads.close, args=(PATIENCE,), daemon=True)
    closing.start()
    office.gates["a"].set()
    closing.join(PATIENCE)
    assert office.sent == ["a1"], "what follows in its run is not begun"
    assert office.threads.take_outcome(b"a1") == []
    office.give(run_of("b", 1))
    assert office.threads.busy_instances() == set()
    wait_until(lambda: office.count() == 0)
