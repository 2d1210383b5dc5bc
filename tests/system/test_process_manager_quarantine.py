"""One bad instance does not stop a process manager: it is set aside, shown, tried again, and may be passed
over.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors import Do, Domain, InvalidMessage, NotStopped, ProcessManagerStopped, UnknownName
from actors.process_managers import quarantine_actions
from actors.process_managers.manager_actor import ManagerActor
from actors.testing import TestSystem
from storage import DamagedStore, EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import wait_until
from tests.system.jobs import DELAY, Begin, Nudge, Undone, Work, World, jobs_of
from tests.system.test_process_managers import LATER, events_of, opened, works

Patch = pytest.MonkeyPatch


def set_aside(system: TestSystem) -> list[str]:
    return [one.key for one in system.quarantined_instances("worker")]


# -- others go on ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["decider", "handler", "handler exits"])
def test_a_bug_sets_that_instance_aside_until_it_is_mended_and_others_go_on(
    store_path: Path, kind: str
) -> None:
    world = World(bugs={kind})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a"), Begin("b", kind), Begin("c"), Nudge("b")])
        with pytest.raises(
            ProcessManagerStopped, match=r"set aside instance 'b' at .*position 2: .*skip_instance\('w"
        ):
            system.wait_process_managers()
        assert works(system) == {"a": 1, "c": 1}
        [manager] = system.process_managers()
        assert (manager.stopped_at, manager.lag, manager.quarantined) == (None, 0, 1)
        [one] = system.quarantined_instances("worker")
        assert (one.key, one.waiting) == ("b", 2)
        assert f"a bug in the {kind.split()[0]}" in one.traceback
        assert system.health().status == "degraded"
        assert "process manager worker has set aside 1 instance: 'b' at " in " ".join(
            system.health().problems
        )
        world.bugs.clear()
        wait_until(lambda: system.process_managers()[0].quarantined == 0)
        system.wait_process_managers()
        assert works(system) == {"a": 1, "b": 2, "c": 1}
        assert system.health().status == "ok"


def test_what_a_handler_that_failed_had_changed_in_a_state_is_as_it_was(store_path: Path) -> None:
    domain = Domain("things")

    @domain.event(state=None)
    class Seen:
        name: str
        number: int

    keeper = domain.process_manager("keeper", key="name", start="beginning")
    failing = {3}

    @keeper.state
    class Known:
        name: str
        seen: list[int]

    @keeper.on(Seen)
    def on_seen(state: Known | None, event: Any, do: Do) -> Any:
        if state is None:
            return Known(event.name, [event.number])
        state.seen.append(event.number)
        if event.number in failing:
            raise LookupError("only after the change")
        return state

    with opened(store_path, domain) as system:
        system.append("things", [Seen(name, number) for number in range(5) for name in ("a", "b")])
        wait_until(lambda: system.process_managers()[0].quarantined == 2)
        wait_until(lambda: system.process_manager_state("keeper", "a") == Known("a", [0, 1, 2]))
        for _ in range(3):  # each attempt makes the change and fails again
            assert not system.retry_instance("keeper", "a")
        failing.clear()
        wait_until(lambda: system.process_managers()[0].quarantined == 0)
        system.wait_process_managers()
        for name in ("a", "b"):
            assert system.process_manager_state("keeper", name) == Known(name, [0, 1, 2, 3, 4])


def thing_of(misdeed: Any, key: Any = "name", version: int = 1) -> tuple[Domain, type, type]:
    """A domain whose manager `keeper` does a misdeed for the thing "bad": `misdeed(do, timer)` is called in
    its handler.
    """
    domain = Domain("things")

    @domain.event(state=None)
    class Seen:
        name: str

    @domain.state(stream="{name}")
    class Thing:
        name: str

    @domain.event(Thing, state=None)
    class Kept:
        name: str

    @domain.command(Thing)
    class Keep:
        name: str

    @domain.decide(Keep)
    def keep(_thing: Any, command: Any):
        yield Kept(command.name)

    keeper = domain.process_manager("keeper", key=key, start="beginning", version=version)

    @keeper.state
    class Known:
        name: str
        more: Any = None

    @keeper.timer
    class Later:
        name: str

    @keeper.on(Seen)
    def on_seen(state: Known | None, event: Any, do: Do) -> Any:
        do.execute(Keep(event.name))
        if event.name == "bad":
            return misdeed(do, Known, Later)
        return Known(event.name)

    keeper.on_timer(Later)(lambda _state, _timer, _do: None)
    keeper.effect("tell")(lambda _payload, _key: None)
    return domain, Seen, Kept


def long_after(do: Do, known: Any, timer: Any) -> Any:
    do.after(timedelta(days=3_000_000), timer("bad"))
    return known("bad")


def no_effect_s_payload(do: Do, known: Any, _timer: Any) -> Any:
    do.effect("tell", object())
    return known("bad")


def no_command(do: Do, known: Any, _timer: Any) -> Any:
    do.execute(known("bad"))


def naive(do: Do, _known: Any, timer: Any) -> None:
    do.at(datetime(2030, 1, 1), timer("bad"))


def raises(_do: Do, _known: Any, _timer: Any) -> None:
    raise RecursionError("too deep")


MISDEEDS = {
    "raises": raises,
    "returns no state": lambda _do, _known, _timer: 5,
    "a state that can't be stored": lambda _do, known, _timer: known("bad", object()),
    "a timer after the year 9999": long_after,
    "a time without a zone": naive,
    "an effect that can't be stored": no_effect_s_payload,
    "no command": no_command,
}


@pytest.mark.parametrize("misdeed", MISDEEDS.values(), ids=MISDEEDS.keys())
def test_whatever_a_handler_gets_wrong_is_its_instance_s_alone(store_path: Path, misdeed: Any) -> None:
    domain, seen, kept = thing_of(misdeed)
    with opened(store_path, domain) as system:
        system.append("seen", [seen("1"), seen("bad"), seen("2"), seen("bad")])
        with pytest.raises(ProcessManagerStopped, match="set aside instance 'bad'"):
            system.wait_process_managers()
        assert [event.name for event in events_of(system, kept)] == ["1", "2"]
        [one] = system.quarantined_instances("keeper")
        assert (one.id, one.waiting) == ("keeper:2", 2)
    domain, seen, kept = thing_of(lambda _do, known, _timer: known("bad"))
    with opened(store_path, domain) as system:
        system.wait_process_managers()
        assert [event.name for event in events_of(system, kept)] == ["1", "2", "bad", "bad"]


# -- keys ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "key", ["", "x" * 401, "ü" * 201, "\U0001f600" * 101], ids=["empty", "x", "ü", "emoji"]
)
def test_a_field_that_can_tell_no_instance_is_refused_before_it_is_written(
    store_path: Path, key: str
) -> None:
    domain, seen, _ = thing_of(raises)
    with opened(store_path, domain) as system:
        text = r"Seen.name must be 1 to 400 bytes of text.*instance of process manager 'keeper'"
        with pytest.raises(InvalidMessage, match=text):
            system.append("seen", [seen("fine"), seen(key)])
        assert system.position == 0
        system.append("seen", [seen("ü" * 200), seen("\U0001f600" * 100)])
        system.wait_process_managers()
        assert system.process_managers()[0].instances == 2


@pytest.mark.parametrize("key", ["", "x" * 401, "\ud800"], ids=["empty", "long", "surrogate"])
def test_a_key_that_a_function_gives_and_that_is_none_is_set_aside_alone(store_path: Path, key: str) -> None:
    keys = {"bad": key}
    domain, seen, kept = thing_of(
        lambda _do, known, _timer: known("bad"), lambda event: keys.get(event.name, event.name)
    )
    with opened(store_path, domain) as system:
        system.append("seen", [seen("1"), seen("bad"), seen("2"), seen("bad")])
        if key == "\ud800":
            system.wait_process_managers()
            return
        with pytest.raises(ProcessManagerStopped, match="an instance is told by a text of 1 to 400 bytes"):
            system.wait_process_managers()
        assert [event.name for event in events_of(system, kept)] == ["1", "2"]
        [one] = system.quarantined_instances("keeper")
        assert one.waiting == 2
        assert len(one.key) <= 400
        assert system.skip_instance("keeper", key, "no key") == "keeper:2"
        wait_until(lambda: [one.id for one in system.quarantined_instances("keeper")] == ["keeper:4"])
        keys.clear()  # A release that makes a key of it.
        assert system.retry_instance("keeper", one.key)
        system.wait_process_managers()
        assert [event.name for event in events_of(system, kept)] == ["1", "2", "bad"]
        assert [key for key, _ in system.process_manager_states("keeper")] == ["1", "2", "bad"]


def test_a_store_that_holds_keys_which_are_refused_today_is_readable(store_path: Path) -> None:
    domain = Domain("things")

    @domain.event(state=None)
    class Seen:
        name: str

    with opened(store_path, domain) as system:
        system.append("seen", [Seen("1"), Seen(""), Seen("x" * 401), Seen("2")])
    domain, _, kept = thing_of(raises)
    with opened(store_path, domain) as system:
        wait_until(lambda: [event.name for event in events_of(system, kept)] == ["1", "2"])
        assert sorted(one.id for one in system.quarantined_instances("keeper")) == ["keeper:2", "keeper:3"]


# -- what waits ------------------------------------------------------------------------------------
def test_timers_rejections_and_answers_wait_with_their_instance_and_come_in_order(store_path: Path) -> None:
    world = World(send=lambda payload, _key: [Work(payload[0], "refused")] if payload[1] == "first" else None)
    hold = threading.Event()
    answers = world.send

    def send(payload: Any, key: str) -> Any:
        assert hold.wait(20)
        return answers(payload, key)

    world.send = send
    domain = jobs_of(world)
    heard: list[str] = []
    stop = {"a"}
    spec = domain.compile().process_managers["worker"]

    def watched(handler: Any) -> Any:
        def run(state: Any, message: Any, do: Do) -> Any:
            if do.key in stop and type(message).__name__ == "Nudged":
                raise RuntimeError("not now")
            if do.key == "a":
                heard.append(type(getattr(message, "command", message)).__name__)
            return handler(state, message, do)

        return run

    for kind in ("events", "rejections", "timers"):
        for rule in getattr(spec, kind).values():
            handlers = rule.handlers if kind == "events" else rule
            for state, handler in list(handlers.items()):
                handlers[state] = watched(handler)
    with opened(store_path, domain) as system:
        inside.manager(system, "worker").spec.events.update(spec.events)
        inside.manager(system, "worker").spec.rejections.update(spec.rejections)
        inside.manager(system, "worker").spec.timers.update(spec.timers)
        system.execute_many([Begin("a"), Begin("b")])
        wait_until(lambda: works(system) == {"a": 1, "b": 1})
        system.execute(Nudge("a"))
        wait_until(lambda: set_aside(system) == ["a"])
        hold.set()
        wait_until(lambda: system.quarantined_instances("worker")[0].waiting == 2)
        system.advance(LATER)
        wait_until(lambda: system.quarantined_instances("worker")[0].waiting == 3)
        wait_until(lambda: Undone("b", "late") in events_of(system, Undone))
        assert heard == ["Begun", "Worked"]
        stop.clear()
        assert system.retry_instance("worker", "a")
        system.wait_process_managers()
        assert heard[:5] == ["Begun", "Worked", "Nudged", "Work", "Later"]
        assert events_of(system, Undone).count(Undone("a", "late")) == 1


def forgetful(version: int, *, other_state: bool) -> tuple[Domain, type]:
    """A manager whose state's class gets another name, so that what is stored of it can't be read."""
    domain = Domain("forgetful")

    @domain.event(state=None, name="Seen")
    class Seen:
        name: str

    keeper = domain.process_manager("keeper", key="name", start="beginning", version=version)

    @keeper.state(name="Another" if other_state else "Known")
    class Known:
        name: str
        times: int = 1

    @keeper.timer(name="Later")
    class Later:
        name: str

    @keeper.on(Seen)
    def on_seen(state: Known | None, event: Any, do: Do) -> Any:
        do.after(DELAY, Later(event.name))
        return Known(event.name, state.times + 1 if state else 1)

    @keeper.on_timer(Later)
    def on_later(state: Known, _timer: Any, _do: Do) -> Any:
        return Known(state.name, state.times + 100)

    return domain, Seen


def test_states_that_a_release_can_not_read_are_set_aside_with_their_timers_and_built_anew(
    store_path: Path,
) -> None:
    domain, seen = forgetful(1, other_state=False)
    with opened(store_path, domain) as system:
        system.append("seen", [seen("a"), seen("b")])
        system.wait_process_managers()
    domain, seen = forgetful(1, other_state=True)
    with opened(store_path, domain, accept=["Known"]) as system:
        system.append("seen", [seen("a"), seen("c")])
        system.advance(LATER)
        wait_until(lambda: [one.waiting for one in system.quarantined_instances("keeper")] == [2, 1])
        assert [one.key for one in system.quarantined_instances("keeper")] == ["a", "b"]
        assert all("Known" in one.error for one in system.quarantined_instances("keeper"))
        assert system.process_manager_state("keeper", "c").times in (1, 101)
        assert system.skip_instance("keeper", "b") == "keeper:2:t0"
        wait_until(lambda: [one.key for one in system.quarantined_instances("keeper")] == ["a"])
    domain, seen = forgetful(2, other_state=True)
    with opened(store_path, domain) as system:
        system.advance(3 * LATER)
        system.wait_process_managers()
        assert system.process_manager_state("keeper", "a").times == 202
        assert system.process_manager_state("keeper", "b").times == 1


# -- looking after -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["decider", "handler"])
def test_an_operator_passes_over_what_an_instance_fails_on_and_that_is_remembered(
    store_path: Path, kind: str
) -> None:
    world = World(bugs={kind})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a"), Begin("b", kind), Begin("c")])
        wait_until(lambda: set_aside(system) == ["b"])
        with pytest.raises(NotStopped, match="is not stopped"):
            system.skip_process_manager("worker")
        with pytest.raises(NotStopped, match="instance 'a' of process manager 'worker' is not set aside"):
            system.skip_instance("worker", "a")
        assert system.retry_instance("worker", "b") is False
        assert system.skip_instance("worker", "b", "not ours") == "worker:2"
        system.wait_process_managers()
        with pytest.raises(NotStopped):
            system.retry_instance("worker", "b")
        assert system.process_managers()[0].quarantined == 0
    with opened(store_path, jobs_of(world, version=2)) as system:
        system.execute(Begin("d"))
        system.wait_process_managers()
        assert works(system) == {"a": 1, "c": 1, "d": 1}
        assert system.process_manager_state("worker", "b") is None
        for call in (
            lambda: system.quarantined_instances("walker"),
            lambda: system.skip_instance("walker", "a"),
            lambda: system.retry_instance("walker", "a"),
        ):
            with pytest.raises(UnknownName, match="there are: worker"):
                call()


def test_what_asks_for_no_instance_is_refused(store_path: Path) -> None:
    with opened(store_path, jobs_of()) as system:
        for call in (
            lambda: system.quarantined_instances("worker", after=5),
            lambda: system.skip_instance("worker", 5),
            lambda: system.skip_instance("worker", "a", 5),
            lambda: system.retry_instance("worker", None),
        ):
            with pytest.raises(TypeError, match="text, not"):
                call()
        with pytest.raises(ValueError, match="limit="):
            system.quarantined_instances("worker", -1)


def test_after_a_restart_it_is_the_same_and_a_release_that_mends_the_handler_goes_on(
    store_path: Path,
) -> None:
    world = World(bugs={"handler"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a", "handler"), Begin("b")])
        wait_until(lambda: set_aside(system) == ["a"])
    with opened(store_path, jobs_of(world)) as system:
        system.execute(Nudge("a"))
        with pytest.raises(
            ProcessManagerStopped, match="set aside instance 'a' at event Begun at position 1"
        ):
            system.wait_process_managers()
        assert system.quarantined_instances("worker")[0].waiting == 2
    with opened(store_path, jobs_of()) as system:
        system.wait_process_managers()
        assert works(system) == {"a": 2, "b": 1}


def test_a_raised_version_goes_on_with_instances_that_are_set_aside_and_leaves_nothing_out(
    store_path: Path,
) -> None:
    world = World(bugs={"handler"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin("a", "handler"), Begin("b"), Nudge("a")])
        wait_until(lambda: set_aside(system) == ["a"])
    with opened(store_path, jobs_of(version=2)) as system:
        system.wait_process_managers()
        assert works(system) == {"a": 1, "b": 1}
        assert system.process_manager_state("worker", "a").heard == ("begun", "nudged", "worked")


def test_a_handler_that_fails_for_all_is_shown_plainly_and_mended_for_all(
    store_path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.process_managers.retry_schedule.MAX_SCHEDULED", 7)
    monkeypatch.setattr(quarantine_actions, "MAX_TRACEBACKS", 3)
    world = World(bugs={"handler"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many([Begin(f"j{number:02}", "handler") for number in range(50)])
        with pytest.raises(ProcessManagerStopped, match=r"set aside instance 'j00' at .* and 49 more"):
            system.wait_process_managers(30)
        [problem] = system.health().problems
        assert "has set aside 50 instances: 'j00' at event Begun at position 1: RuntimeError" in problem
        assert problem.endswith(", ...")
        assert len(set_aside(system)) == 50
        assert system.health().as_dict()["process_managers"][0]["quarantined"] == 50
        assert sum(one.exc_info is not None for one in caplog.records) == 3
        world.bugs.clear()
        wait_until(lambda: system.process_managers()[0].quarantined == 0, 60)
        system.wait_process_managers(30)
        assert works(system) == {f"j{number:02}": 1 for number in range(50)}


def test_an_instance_that_is_set_aside_is_tried_again_with_pauses_and_does_not_spin(store_path: Path) -> None:
    world = World(bugs={"handler"})
    tries = [0]
    domain = jobs_of(world)
    with opened(store_path, domain) as system:
        spec = inside.manager(system, "worker").spec
        [rule] = [rule for cls, rule in spec.events.items() if cls.__name__ == "Begun"]
        handler = rule.handlers[None]

        def counted(*args: Any) -> Any:
            tries[0] += 1
            return handler(*args)

        rule.handlers[None] = counted
        system.execute(Begin("a", "handler"))
        wait_until(lambda: tries[0] >= 3)
        before = tries[0]
        for number in range(50):
            system.execute(Work(f"x{number}"))
        system.execute(Begin("b"))
        wait_until(lambda: works(system)["b"])
        assert tries[0] <= before + 6


# -- what is not the instance's fault ----------------------------------------------------------------
def test_a_store_that_can_not_be_read_stops_the_manager_and_sets_nothing_aside(
    store_path: Path, monkeypatch: Patch
) -> None:
    damaged = threading.Event()
    damaged.set()

    def of_an_instance(_log: EventLog, key: bytes) -> bool:
        return damaged.is_set() and key.startswith(b"pm/worker/state/")

    with opened(store_path, jobs_of()) as system:
        put_fault(
            monkeypatch, EventLog, "note", lambda: DamagedStore("a page"), times=1 << 30, only=of_an_instance
        )
        system.execute(Begin("a"))
        with pytest.raises(
            ProcessManagerStopped, match="is stopped at event Begun at position 1: DamagedStore"
        ):
            system.wait_process_managers()
        assert set_aside(system) == []
        damaged.clear()
        wait_until(lambda: system.process_managers()[0].stopped_at is None)
        system.wait_process_managers()
        assert works(system) == {"a": 1}


# -- exactly once ------------------------------------------------------------------------------------
@pytest.mark.parametrize("victim", ["manager-worker", "command-handler"])
def test_what_waited_is_done_once_though_actors_die_again_and_again(store_path: Path, victim: str) -> None:
    world = World(bugs={"handler", "decider"})
    with opened(store_path, jobs_of(world)) as system:
        system.execute_many(
            [Begin(f"{number}", ("handler", "decider", "")[number % 3]) for number in range(30)]
        )
        system.execute_many([Nudge(f"{number}") for number in range(30)])
        wait_until(lambda: system.process_managers()[0].quarantined == 20)
        world.bugs.clear()
        for _ in range(6):
            assert system.kill(victim)
        wait_until(lambda: system.process_managers()[0].quarantined == 0, 60)
        system.wait_process_managers(30)
        assert works(system) == Counter({f"{number}": 2 for number in range(30)})


def test_a_step_that_sets_aside_and_whose_commit_is_uncertain_is_not_repeated(
    store_path: Path, monkeypatch: Patch
) -> None:
    def sets_aside(log: EventLog, transaction: lmdb.Transaction[bytes]) -> bool:
        with transaction.cursor(log._databases["notes"]) as cursor:
            return cursor.set_range(b"pm/worker/quarantine/") and cursor.key().startswith(
                b"pm/worker/quarantine/"
            )

    world = World(bugs={"handler"})
    with opened(store_path, jobs_of(world)) as system:
        failed = put_fault(
            monkeypatch, EventLog, "_commit", lambda: lmdb.Error("EIO"), after=True, only=sets_aside
        )
        died = put_fault(monkeypatch, ManagerActor, "_step_succeeded")
        system.execute_many([Begin("a", "handler"), Begin("b"), Nudge("a")])
        wait_until(lambda: set_aside(system) == ["a"])
        wait_until(lambda: works(system) == {"b": 1})
        world.bugs.clear()
        wait_until(lambda: system.process_managers()[0].quarantined == 0)
        system.wait_process_managers()
        assert works(system) == {"a": 2, "b": 1}
        assert (failed(), died()) == (1, 1)
