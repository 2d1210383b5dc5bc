"""Process managers in a running system: exactly once whatever dies, timers, compensation, effects, other
versions.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import (
    ConsistencyTimeout,
    Do,
    Domain,
    DomainError,
    NotStopped,
    ProcessManagerStopped,
    StoreFull,
    UnknownName,
)
from actors.process_managers.manager_actor import ManagerActor
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.outbox_actor import OutboxActor
from actors.process_managers.planner import Planner
from actors.testing import TestSystem
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import wait_until
from tests.system.jobs import DELAY, Begin, Newer, Nudge, Old, Undone, Work, Worked, World, jobs_of, unmarked

LATER = DELAY + timedelta(seconds=30)


@contextmanager
def opened(path: Path, domain: Domain, **settings: Any) -> Iterator[TestSystem]:
    with TestSystem.open(path, domain, **{"replicas": 1, **settings}) as system:
        yield system


def events_of(system: TestSystem, kind: type) -> list[Any]:
    return [one.event for one in system.recorded_events() if type(one.event) is kind]


def works(system: TestSystem) -> Counter[str]:
    return Counter(event.job for event in events_of(system, Worked))


# -- events in, commands out ---------------------------------------------------------------------
def test_an_event_leads_to_its_command_once_and_hands_on_its_correlation(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a"), command_id="mine", correlation_id="all of it")
        system.wait_process_managers()
        system.execute(Begin("b"), command_id="another")
        assert system.wait_process_managers() == 4
        [_, first, _, second] = system.recorded_events()
        assert (unmarked(first.command_id), first.causation_id, first.correlation_id) == (
            "worker:1:0",
            "mine",
            "all of it",
        )
        assert (unmarked(second.command_id), second.correlation_id) == ("worker:3:0", "another")
        assert system.process_manager_state("worker", "a") == Old("a", 1)
        assert system.process_manager_state("worker", "nobody") is None
        assert [key for key, _ in system.process_manager_states("worker")] == ["a", "b"]
        assert [key for key, _ in system.process_manager_states("worker", after="a")] == ["b"]


def test_many_events_are_handled_in_few_commits_and_none_is_left_out(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute_many([Begin(f"j{number}") for number in range(1_000)])
        system.wait_process_managers(30)
        assert works(system) == {f"j{number}": 1 for number in range(1_000)}
        assert system.health().writer.batches < 500
        [manager] = system.process_managers()
        assert (manager.instances, manager.timers, manager.lag) == (1_000, 1_000, 0)


def test_an_instance_hears_of_a_rejection_before_its_next_event(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute_many([Begin("a", "refused"), Nudge("a"), Begin("b"), Nudge("b")])
        system.wait_process_managers()
        notes = {event.job: event.note for event in events_of(system, Worked) if event.note != "first"}
        assert notes["a"] == "nudged after 0work.refused"
        assert events_of(system, Undone) == [Undone("a", "work.refused: no such work")]


def test_a_command_that_its_own_validate_refuses_is_rejected_like_any_other(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a", "invalid"))
        system.wait_process_managers()
        assert events_of(system, Undone) == [Undone("a", "work.invalid: not valid")]


def test_what_does_not_concern_the_manager_is_passed_over_and_not_looked_at_again(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a", "idle"))
        system.wait_process_managers()
        batches = system.health().writer.batches
        for _ in range(5):
            system.execute(Work("b"))
        system.wait_process_managers()
        assert system.health().writer.batches <= batches + 5
    with EventLog.open(store_path, jobs_of().compile().codec, siblings=["replicas"]) as log:
        assert ManagerState("worker", 1, jobs_of().compile().codec, log).checkpoint.position == 6


# -- where it starts -----------------------------------------------------------------------------
def test_start_now_begins_at_the_first_opening_and_remembers_that(store_path: Path) -> None:
    with opened(store_path, jobs_of(manager=False)) as system:
        system.execute(Begin("before"))
    with opened(store_path, jobs_of(start="now")) as system:
        system.execute(Begin("first"))
        system.wait_process_managers()
    without, left = jobs_of(manager=False), ["Later", "Progress", "worker"]
    with pytest.raises(DomainError, match=r"process manager worker .* has left 1 instance and 1 timer"):
        TestSystem.open(store_path, without, replicas=1)
    with opened(store_path, without, accept=left) as system:
        system.execute(Begin("meanwhile"))
    with opened(store_path, jobs_of(start="now")) as system:
        system.wait_process_managers()
        assert works(system) == {"first": 1, "meanwhile": 1}


def test_start_beginning_handles_what_was_there_already(store_path: Path) -> None:
    with opened(store_path, jobs_of(manager=False)) as system:
        system.execute(Begin("before"))
    with opened(store_path, jobs_of()) as system:
        system.wait_process_managers()
        assert works(system) == {"before": 1}


# -- exactly once --------------------------------------------------------------------------------
@pytest.mark.parametrize("victim", ["manager-worker", "outbox-worker", "command-handler"])
def test_actors_that_die_again_and_again_leave_nothing_out_and_do_nothing_twice(
    store_path: Path, victim: str
) -> None:
    world = World()
    with opened(store_path, jobs_of(world)) as system:
        for number in range(10):
            system.execute_many([Begin(f"{number}-{job}") for job in range(30)])
            assert system.kill(victim)
        system.wait_process_managers(30)
        assert works(system) == {f"{number}-{job}": 1 for number in range(10) for job in range(30)}
        assert len({key for _, key in world.sent}) == 300
        assert {unmarked(key) for _, key in world.sent} == {
            f"worker:{one.position}:e0" for one in system.recorded_events() if type(one.event) is Worked
        }


def test_a_step_that_an_earlier_incarnation_left_in_the_mailbox_is_done_once(store_path: Path) -> None:
    gate, entered = threading.Event(), threading.Event()

    def hold(_first: int, _last: int) -> None:
        entered.set()
        gate.wait(20)

    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a"))
        system.wait_process_managers()
        system.on_committed(hold)
        future = system.submit(Begin("b"))
        assert entered.wait(20)
        mailbox = inside.writer_mailbox(system)
        for incarnation in range(1, 4):
            # The writer stands still: each incarnation hands over the same step.
            wait_until(lambda count=incarnation: len(mailbox) >= count)
            assert system.kill("manager-worker")
        gate.set()
        future.result(20)
        system.wait_process_managers()
        assert works(system) == {"a": 1, "b": 1}


@pytest.mark.parametrize("after", [False, True])
def test_a_commit_that_fails_half_way_is_looked_up_and_the_step_is_not_repeated(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a", "idle"))
        system.wait_process_managers()
        failed = put_fault(
            monkeypatch,
            EventLog,
            "_commit",
            lambda: lmdb.DiskError("commit"),
            after=after,
            only=lambda *_: (
                bool(in_flight := inside.writer_state(system).in_flight) and hasattr(in_flight[0], "guard")
            ),
        )
        system.execute(Begin("b"))
        system.wait_process_managers()
        system.execute(Begin("c"))
        system.wait_process_managers()
        assert failed() == 1
        assert works(system) == {"b": 1, "c": 1}
        assert system.process_managers()[0].trouble is None


def test_a_full_store_delays_the_step_and_is_shown(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = threading.Event()

    def no_room(_log: Any, _transaction: Any, batch: Any) -> bool:
        return any(key.startswith(b"pm/") for key in batch.notes) and not room.is_set()

    with opened(store_path, jobs_of()) as system:
        put_fault(monkeypatch, EventLog, "_write", lambda: StoreFull("no room"), times=1 << 30, only=no_room)
        system.execute(Begin("a"))
        wait_until(lambda: system.process_managers()[0].trouble)
        assert any("tries a step again" in problem for problem in system.health().problems)
        room.set()
        system.wait_process_managers()
        assert works(system) == {"a": 1}


def test_a_writer_whose_mailbox_is_full_delays_the_manager_only(store_path: Path) -> None:
    with opened(store_path, jobs_of(), mailbox_size=2) as system:
        futures = [system.submit(Begin(f"j{number}")) for number in range(200)]
        for future in futures:
            future.result(20)
        system.wait_process_managers(30)
        assert len(works(system)) == 200
        assert set(works(system).values()) == {1}


# -- what stops a whole manager -------------------------------------------------------------------
def test_an_event_whose_instance_cannot_be_told_stops_the_manager_until_it_is_mended(
    store_path: Path,
) -> None:
    world = World(bugs={"key"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a"), Begin("b", "key"), Begin("c")])
        with pytest.raises(ProcessManagerStopped, match="position 2"):
            system.wait_process_managers()
        wait_until(lambda: works(system) == {"a": 1})
        [manager] = system.process_managers()
        assert manager.position < 2 or "position 2" in manager.stopped_at
        assert "a bug in the key" in manager.failure
        assert system.health().status == "degraded"
        world.bugs.clear()
        wait_until(lambda: system.process_managers()[0].stopped_at is None)
        system.wait_process_managers()
        assert works(system) == {"a": 1, "b": 1, "c": 1}


def test_an_operator_passes_over_the_input_and_that_is_remembered(store_path: Path) -> None:
    world = World(bugs={"key"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a"), Begin("b", "key"), Begin("c")])
        wait_until(lambda: system.process_managers()[0].stopped_at)
        assert system.skip_process_manager("worker", "not ours") == "worker:2"
        system.wait_process_managers()
        with pytest.raises(NotStopped, match="not stopped"):
            system.skip_process_manager("worker")
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Begin("d"))
        system.wait_process_managers()
        assert works(system) == {"a": 1, "c": 1, "d": 1}
        assert system.process_manager_state("worker", "b") is None


def test_a_manager_that_is_stopped_tries_again_with_pauses_and_does_not_spin(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [0]
    sound = Planner.plan

    def counted(*args: Any) -> Any:
        plans[0] += 1
        return sound(*args)

    world = World(bugs={"key"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Begin("a", "key"))
        wait_until(lambda: inside.manager(system, "worker").board.status.failure)
        monkeypatch.setattr(Planner, "plan", counted)
        status = inside.manager(system, "worker").board
        wait_until(lambda: status.status.failure.attempts >= 3)
        # It wakes up for each commit, and does not try for that.
        for number in range(50):
            system.execute(Work(f"x{number}"))
        assert plans[0] <= 6


def test_an_event_that_cannot_be_decoded_and_that_the_manager_does_not_want_is_passed_over(
    store_path: Path,
) -> None:
    extra = jobs_of(manager=False)

    @extra.event(state=None)
    class Gone:
        what: int

    with opened(store_path, extra) as system:
        system.append("gone", [Gone(1)])
        system.execute(Begin("a"))
        system.append("gone", [Gone(2)])
    with opened(store_path, jobs_of(), accept=["Gone"]) as system:
        system.wait_process_managers()
        assert works_after(system, 3) == {"a": 1}
        assert system.process_managers()[0].position >= 3
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("b"))
        system.wait_process_managers()
        assert works_after(system, 4) == {"b": 1}


def test_an_event_that_cannot_be_decoded_stops_the_manager_that_wants_it_and_can_be_skipped(
    store_path: Path,
) -> None:
    earlier = Domain("jobs")

    @earlier.event(state=None, name="Begun")
    class EarlierBegun:
        what: int

    with opened(store_path, earlier) as system:
        system.append("gone", [EarlierBegun(1)])
    with opened(store_path, jobs_of(manager=False), accept=["Begun"]) as system:
        system.execute(Begin("a"))
    with opened(store_path, jobs_of()) as system:
        with pytest.raises(ProcessManagerStopped, match="the event at position 1") as caught:
            system.wait_process_managers()
        assert "write an upcaster" in str(caught.value)
        assert "skip" not in str(caught.value)
        assert system.skip_process_manager("worker") == "worker:1"
        wait_until(lambda: works_after(system, 1) == {"a": 1})


def works_after(system: TestSystem, position: int) -> Counter[str]:
    events = [one.event for one in system.recorded_events(position)]
    return Counter(event.job for event in events if type(event) is Worked)


# -- timers --------------------------------------------------------------------------------------
def test_a_timer_fires_when_it_is_due_and_not_before(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a", "idle"))
        system.wait_process_managers()
        system.advance(DELAY - timedelta(minutes=1))
        system.wait_process_managers()
        assert events_of(system, Undone) == []
        system.advance(timedelta(minutes=2))
        system.wait_process_managers()
        assert events_of(system, Undone) == [Undone("a", "late")]
        [fired] = [one for one in system.recorded_events() if type(one.event) is Undone]
        assert (unmarked(fired.command_id), fired.causation_id) == ("worker:1:t0:0", "worker:1:t0")
        assert system.process_managers()[0].timers == 0
        assert system.process_manager_state("worker", "a") is None


def test_timers_survive_a_restart_and_those_overdue_fire_in_order(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        for job in ("c", "a", "b"):
            system.execute(Begin(job, "idle"))
        system.wait_process_managers()
    with opened(store_path, jobs_of()) as system:
        assert system.process_managers()[0].timers == 3
        system.advance(LATER)
        system.wait_process_managers()
        assert [event.job for event in events_of(system, Undone)] == ["c", "a", "b"]
    with opened(store_path, jobs_of()) as system:
        system.advance(LATER)
        system.wait_process_managers()
        assert len(events_of(system, Undone)) == 3


def alarms() -> tuple[Domain, type, type]:
    """A domain whose manager notes the alarms that went off, each set for a time of its own."""
    domain = Domain("alarms")

    @domain.event(state=None)
    class Wanted:
        name: str
        at: datetime

    @domain.state(stream="alarm-{name}")
    class Alarm:
        name: str

    @domain.event(Alarm, state=None)
    class Rung:
        name: str

    @domain.command(Alarm)
    class Ring:
        name: str

    @domain.decide(Ring)
    def ring(_alarm: Any, command: Any):
        yield Rung(command.name)

    clock = domain.process_manager("clock", key="name", start="beginning")

    @clock.state
    class Set:
        name: str

    @clock.timer
    class Due:
        name: str

    @clock.on(Wanted)
    def on_wanted(state: None, event: Any, do: Do) -> Any:
        do.at(event.at, Due(event.name))
        return Set(event.name)

    @clock.on_timer(Due)
    def on_due(_state: Any, timer: Any, do: Do) -> None:
        do.execute(Ring(timer.name))
        do.end()

    return domain, Wanted, Rung


def test_timers_that_are_set_at_instants_fire_in_their_order_and_past_ones_at_once(store_path: Path) -> None:
    now = datetime.now(timezone(timedelta(hours=-5)))
    times = {"later": now + 2 * LATER, "soon": now + LATER, "past": now - LATER}
    domain, wanted, rung = alarms()
    with opened(store_path, domain) as system:
        system.append("wanted", [wanted(name, time) for name, time in times.items()])
        system.wait_process_managers()
        assert events_of(system, rung) == [rung("past")]
    domain, wanted, rung = alarms()
    with opened(store_path, domain) as system:
        system.advance(3 * LATER)
        system.wait_process_managers()
        assert events_of(system, rung) == [rung("past"), rung("soon"), rung("later")]


def test_a_real_clock_wakes_the_manager_for_its_timer(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.system.jobs.DELAY", timedelta(milliseconds=50))
    with opened(store_path, jobs_of()) as system:
        system.execute(Begin("a", "idle"))
        wait_until(lambda: events_of(system, Undone))


# -- effects -------------------------------------------------------------------------------------
def test_an_effect_is_delivered_after_the_commit_and_leaves_the_outbox(store_path: Path) -> None:
    world = World()
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Begin("a"))
        system.wait_process_managers()
        assert [(payload, unmarked(key)) for payload, key in world.sent] == [(["a", "first"], "worker:2:e0")]
        assert system.effects("worker") == []
    with opened(store_path, jobs_of(world)) as system:
        system.wait_process_managers()
        assert len(world.sent) == 1


def test_an_effect_that_fails_is_tried_again_with_its_key_then_parked_and_can_be_released(
    store_path: Path,
) -> None:
    world = World()
    broken = {"a"}

    def send(payload: Any, _key: str) -> None:
        if payload[0] in broken:
            raise ConnectionError("nobody answers")

    world.send = send
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a"), Begin("b")])
        [parked] = wait_until(lambda: [one for one in system.effects("worker") if one.parked])
        assert (parked.name, parked.instance, parked.payload) == ("tell", "a", ["a", "first"])
        assert "nobody answers" in parked.parked
        assert [key for payload, key in world.sent if payload[0] == "a"] == [parked.key] * 3
        assert any("1 parked effect" in problem for problem in system.health().problems)
        broken.clear()
        system.retry_effect("worker", parked.key)
        system.wait_process_managers()
        assert [key for payload, key in world.sent if payload[0] == "a"] == [parked.key] * 4
        assert system.effects("worker") == []
        with pytest.raises(UnknownName, match="there is no parked effect of process manager 'worker'"):
            system.drop_effect("worker", parked.key)


def test_a_parked_effect_may_be_dropped(store_path: Path) -> None:
    world = World(send=lambda _payload, _key: 1 / 0)
    with opened(store_path, jobs_of(world, attempts=1)) as system:
        system.execute(Begin("a"))
        [parked] = wait_until(lambda: [one for one in system.effects("worker") if one.parked])
        system.drop_effect("worker", parked.key)
        assert system.effects("worker") == []
        assert len(world.sent) == 1


def test_what_an_effect_s_handler_returns_is_executed_once_even_if_it_is_delivered_again(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(send=lambda payload, _key: Work(payload[0], "", "paid") if payload[1] == "first" else None)
    with opened(store_path, jobs_of(world)) as system:
        died = put_fault(monkeypatch, OutboxActor, "_hand_over", after=True, times=2)
        system.execute_many([Begin("a"), Begin("b")])
        system.wait_process_managers()
        assert died() == 2
        assert works(system) == {"a": 2, "b": 2}
        assert len({key for payload, key in world.sent if payload[1] == "first"}) == 2


@pytest.mark.parametrize("wrong", [Work(5), Work("a", "broken")], ids=["a field", "validate"])  # type: ignore[arg-type]
def test_what_an_effect_s_handler_returned_and_cannot_be_a_command_is_parked_after_its_attempts(
    store_path: Path, wrong: Work
) -> None:
    world = World(send=lambda _payload, _key: wrong)
    with opened(store_path, jobs_of(world, attempts=2)) as system:
        system.execute(Begin("a"))
        wait_until(lambda: system.process_managers()[0].parked)
        system.wait_process_managers()
        assert len(world.sent) == 1
        [parked] = system.effects("worker")
        assert "a bug in validate" in parked.parked or "Work.job must be str" in parked.parked


def test_a_rejection_of_what_an_effect_s_handler_returned_comes_to_the_instance(store_path: Path) -> None:
    world = World(send=lambda payload, _key: [Work(payload[0], "refused")])
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Begin("a"))
        system.wait_process_managers()
        assert events_of(system, Undone) == [Undone("a", "work.refused: no such work")]


def test_the_effects_of_an_instance_keep_their_order_while_others_go_on(store_path: Path) -> None:
    failing = {"a": 2}

    def send(payload: Any, _key: str) -> None:
        if failing.get(payload[0], 0):
            failing[payload[0]] -= 1
            raise ConnectionError

    world = World(send=send)
    with opened(store_path, jobs_of(world, attempts=5)) as system:
        system.execute_many([Begin("a"), Begin("b")])
        wait_until(lambda: len(works(system)) == 2)
        system.execute_many([Nudge("a"), Nudge("b")])
        system.wait_process_managers()
        told = [payload[1] for payload, _ in world.sent if payload[0] == "a"]
        assert told == ["first", "first", "first", "nudged after 1"]


def test_effects_whose_declarations_are_all_gone_are_parked_with_that_reason(store_path: Path) -> None:
    gate = threading.Event()

    def send(_payload: Any, _key: str) -> None:
        gate.set()
        raise ConnectionError

    with opened(store_path, jobs_of(World(send=send), attempts=100)) as system:
        system.execute(Begin("a"))
        assert gate.wait(20)
    domain = jobs_of()
    domain.declarations.process_managers[0].effects.clear()
    with opened(store_path, domain) as system:
        system.wait_process_managers()
        [parked] = system.effects("worker")
        assert "no handler delivers effect 'tell'" in parked.parked
        assert any("1 parked effect" in problem for problem in system.health().problems)
        system.drop_effect("worker", parked.key)
        assert system.effects("worker") == []


def test_the_attempts_of_an_effect_are_shown_and_counted_on_at_the_next_opening(store_path: Path) -> None:
    world = World(send=lambda _payload, _key: 1 / 0)
    for failed in (1, 2):
        with opened(store_path, jobs_of(world, attempts=100)) as system:
            if failed == 1:
                system.execute(Begin("a"))
            [effect] = wait_until(
                lambda n=failed: [one for one in system.effects("worker") if one.attempts >= n]
            )
            assert effect.parked is None
            assert "ZeroDivisionError" in effect.error
    tried = effect.attempts
    with opened(store_path, jobs_of(world, attempts=tried + 1)) as system:
        system.wait_process_managers()
        [parked] = system.effects("worker")
        assert parked.attempts > tried
        assert parked.error == parked.parked
        assert inside.notes(system, b"outbox/worker/tried/") == []
        system.retry_effect("worker", parked.key)
        wait_until(lambda: [one for one in system.effects("worker") if 0 < one.attempts <= tried])


def test_many_effects_behind_one_that_fails_leave_room_for_those_of_other_instances(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.process_managers.loaded_effects.MAX_LOADED", 8)
    broken = {"a"}

    def send(payload: Any, _key: str) -> None:
        if payload[0] in broken:
            raise ConnectionError

    world = World(send=send)
    with opened(store_path, jobs_of(world, attempts=1_000)) as system:
        system.execute_many([Begin("a"), *(Work("a", note=f"{number}") for number in range(100))])
        system.execute_many([Begin(f"b{number}") for number in range(20)])
        wait_until(lambda: len({payload[0] for payload, _ in world.sent}) == 21)
        assert {payload[1] for payload, _ in world.sent if payload[0] == "a"} <= {"0", "first"}
        broken.clear()
        system.wait_process_managers(60)
        keys = list(dict.fromkeys(key for payload, key in world.sent if payload[0] == "a"))
        assert len(keys) == 101
        assert keys == sorted(keys, key=lambda key: int(key.split(":")[1]))


def test_an_effect_s_handler_that_executes_by_itself_is_told_to_return_the_command(store_path: Path) -> None:
    world = World()
    with opened(store_path, jobs_of(world, attempts=1)) as system:
        world.send = lambda payload, _key: system.execute(Work(payload[0]))
        system.execute(Begin("a"))
        [parked] = wait_until(lambda: [one for one in system.effects("worker") if one.parked])
        assert "WrongThread" in parked.parked


# -- other versions ------------------------------------------------------------------------------
def run_first_version(path: Path, world: World) -> int:
    """A store that the first version has worked on: one job worked, one refused, one late, one under way."""
    with opened(path, jobs_of(world)) as system:
        system.execute(Begin("late", "idle"))
        system.wait_process_managers()
        system.advance(LATER)
        system.wait_process_managers()
    with opened(path, jobs_of(world)) as system:
        system.execute_many([Begin("good"), Begin("bad", "refused"), Begin("idle", "idle")])
        system.wait_process_managers()
        system.execute(Nudge("good"))
        system.wait_process_managers()
        return system.position


def test_a_raised_version_builds_its_states_from_the_events_and_does_nothing_meanwhile(
    store_path: Path,
) -> None:
    world = World()
    position = run_first_version(store_path, world)
    sent = list(world.sent)
    with opened(store_path, jobs_of(world, version=2)) as system:
        system.wait_process_managers()
        assert (system.position, world.sent) == (position, sent)
        assert dict(system.process_manager_states("worker")) == {
            "good": Newer("good", ("begun", "worked", "nudged", "worked")),
            "bad": Newer("bad", ("begun", "work.refused", "undone")),
            "idle": Newer("idle", ("begun",)),
        }
        [manager] = system.process_managers()
        assert (manager.version, manager.instances, manager.timers) == (2, 3, 3)
        system.execute(Begin("new"))
        system.wait_process_managers()
        [(payload, key)] = world.sent[len(sent) :]
        assert (payload, unmarked(key)) == ("begun", f"worker:{position + 1}:e0")
        system.advance(LATER)
        system.wait_process_managers()
        assert {event.job for event in events_of(system, Undone) if event.why == "late"} == {
            "late",
            "good",
            "bad",
            "idle",
            "new",
        }


def test_a_rebuild_of_the_states_survives_that_its_actors_die(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.process_managers.manager_actor.STEP_INPUTS", 3)
    monkeypatch.setattr("actors.process_managers.rebuild.CHUNK", 4)
    with opened(store_path, jobs_of()) as system:
        system.execute_many(
            [Begin(f"j{number}", ("", "refused", "idle")[number % 3]) for number in range(60)]
        )
        system.wait_process_managers(30)
        position = system.position
    died = put_fault(monkeypatch, ManagerActor, "_step_succeeded", times=7)
    with opened(store_path, jobs_of(version=2)) as system:
        system.wait_process_managers(30)
        assert died() == 7
        assert system.position == position
        heard = Counter(state.heard for _, state in system.process_manager_states("worker"))
        assert heard == {
            ("begun", "worked"): 20,
            ("begun", "work.refused", "undone"): 20,
            ("begun",): 20,
        }


def test_a_program_older_than_the_store_is_stopped_with_the_reason(store_path: Path) -> None:
    with opened(store_path, jobs_of(version=2)) as system:
        system.execute(Begin("a", "idle"))
        system.wait_process_managers()
    with pytest.raises(DomainError, match="value Newer has no class in this code; 1 record of"):
        TestSystem.open(store_path, jobs_of(version=1), replicas=1)
    with opened(store_path, jobs_of(version=1), accept=["Newer"]) as system:
        with pytest.raises(ProcessManagerStopped, match=r"version 2.* or raise the version$"):
            system.wait_process_managers()
        with pytest.raises(NotStopped, match=r"can't be skipped: .*version 2"):
            system.skip_process_manager("worker")


# -- asking --------------------------------------------------------------------------------------
def test_names_that_are_not_declared_are_refused_with_those_that_are(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        for call in (
            lambda: system.process_manager_state("walker", "a"),
            lambda: system.skip_process_manager("walker"),
            lambda: system.effects("walker"),
        ):
            with pytest.raises(UnknownName, match="there are: worker"):
                call()


@pytest.mark.parametrize("timeout", [None, "x", -1, True, float("nan"), float("inf")])
def test_what_is_no_number_of_seconds_is_refused_before_anything_is_done(
    store_path: Path, timeout: object
) -> None:
    with opened(store_path, jobs_of()) as system:
        for call in (
            lambda: system.wait_process_managers(timeout=timeout),
            lambda: system.skip_process_manager("worker", timeout=timeout),
            lambda: system.retry_effect("worker", "x", timeout=timeout),
            lambda: system.drop_effect("worker", "x", timeout=timeout),
            lambda: system.wait_applied(timeout=timeout),
            lambda: system.kill("replica-1", timeout=timeout),
        ):
            with pytest.raises(ValueError, match="number of seconds"):
                call()


def test_a_page_of_instances_takes_a_number_and_a_key(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        system.execute_many([Begin("a", "idle"), Begin("b", "idle"), Begin("c", "idle")])
        system.wait_process_managers()
        assert [key for key, _ in system.process_manager_states("worker", 1, "a")] == ["b"]
        for limit in (-1, "x", True, None):
            with pytest.raises(ValueError, match="limit="):
                system.process_manager_states("worker", limit)
        for call in (
            lambda: system.process_manager_states("worker", after=5),
            lambda: system.skip_process_manager("worker", 5),
        ):
            with pytest.raises(TypeError, match="a text, not 5"):
                call()


def test_waiting_for_managers_that_do_not_come_to_rest_ends_with_its_time_out(store_path: Path) -> None:
    gate = threading.Event()
    world = World(send=lambda _payload, _key: gate.wait(20) and None)
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Begin("a"))
        with pytest.raises(ConsistencyTimeout, match="'worker' has effects to deliver, or to try again: 1"):
            system.wait_process_managers(timeout=0.2)
        gate.set()
        system.wait_process_managers()


def test_a_system_without_managers_has_none_and_waits_for_none(store_path: Path) -> None:
    with opened(store_path, jobs_of(manager=False)) as system:
        system.execute(Begin("a"))
        assert system.process_managers() == []
        assert system.wait_process_managers() == 1
        assert system.health().process_managers == ()
