"""Process managers without a thread: checks of declarations, decisions of handlers, plans of steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from actors import Do, Domain, DomainError, InvalidMessage, Rejected, Rejection, UnknownMessage
from actors.process_managers.decision import decide
from actors.process_managers.inputs import Input, Instance, Issued, input_of_event, input_of_timer
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint
from actors.process_managers.step_errors import CommandsFailed, InputFailed
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.timer_queue import TimerQueue
from actors.receipt import Receipt
from storage.log.records import EPOCH
from tests.actors.process_managers.memory import WHEN, WHEN_US, Memory, recorded
from tests.system.jobs import (
    DELAY,
    Begin,
    Begun,
    Later,
    Nudged,
    Old,
    Undo,
    Undone,
    Work,
    Worked,
    World,
    jobs_of,
    unmarked,
)


# -- declaring -----------------------------------------------------------------------------------
def problems_of(domain: Domain) -> str:
    with pytest.raises(DomainError) as caught:
        domain.compile()
    return str(caught.value)


def bare(**options: Any) -> tuple[Domain, Any]:
    domain = jobs_of(manager=False)
    return domain, domain.process_manager("worker", **{"start": "now", "key": "job", **options})


def test_every_mistake_of_a_manager_is_found_with_its_place() -> None:
    domain, worker = bare(start="sometime", version=0)

    @worker.on
    def no_do(state: None, event: Begun):
        pass

    @worker.on
    def no_event(state: None, event: Begin, do: Do):
        pass

    @worker.on(key="nothing")
    def no_field(state: None, event: Nudged, do: Do):
        pass

    @worker.on_rejected
    def of_what(state: None, rejection: Rejection, do: Do):
        pass

    @worker.effect("tell", attempts=0)
    def tell(payload):
        pass

    found = problems_of(domain)
    for text in (
        "say where it begins",
        "version must be an int from 1, got 0",
        "it has no state",
        "no_do must take 3 positional parameters",
        "Begin is not an event",
        "Nudged has no field 'nothing'",
        "does not say which command it is for",
        "tell must take 2 positional parameters",
        "attempts must be an int from 1",
    ):
        assert text in found, text
    assert found.count("test_planner.py:") >= 9


def test_a_timer_without_a_handler_and_a_second_handler_are_mistakes() -> None:
    domain, worker = bare()
    worker.state(Old)
    worker.timer(Later)

    @worker.on
    def one(state: Old | None, event: Begun, do: Do):
        pass

    @worker.on(key=lambda event: event.job)
    def other(state: Old, event: Begun, do: Do):
        pass

    found = problems_of(domain)
    assert "timer Later has no handler" in found
    assert "one at" in found
    assert "has Begun in state Progress already" in found
    assert "tells the instances of Begun by" in found


def test_a_name_that_is_taken_or_none_is_refused() -> None:
    domain, _ = bare()
    domain.process_manager("worker", start="now", key="job")
    domain.process_manager("a/b", start="now", key="job")
    found = problems_of(domain)
    assert "there is one at" in found
    assert "its name must be" in found


# -- deciding ------------------------------------------------------------------------------------
SPEC = jobs_of().compile().process_managers["worker"]
BEYOND = datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))


def told(event: Any, position: int = 7) -> Input:
    return input_of_event("worker", event.job, recorded(event, position))


def test_what_a_handler_asks_for_has_ids_made_from_the_input() -> None:
    decision = decide(SPEC, Instance(), told(Begun("a", "")))
    assert [(one.id, one.message) for one in decision.commands] == [("worker:7:0", Work("a", "", "first"))]
    [timer] = decision.timers_set
    assert (timer.id, timer.due_us) == ("worker:7:t0", WHEN_US + DELAY // timedelta(microseconds=1))
    assert decision.instance == Instance(Old("a"), (timer,))


def test_an_input_without_a_handler_for_the_state_is_passed_over() -> None:
    assert decide(SPEC, Instance(Old("a")), told(Begun("a", ""))) is None
    assert decide(SPEC, Instance(), told(Worked("a", ""))) is None


def test_none_leaves_the_state_and_end_forgets_it_with_its_timers() -> None:
    begun = decide(SPEC, Instance(), told(Begun("a", ""))).instance
    nudged = decide(SPEC, begun, told(Nudged("a"), 8))
    assert nudged.instance == begun
    done = Instance(Old("a", 0, "done"), begun.timers)
    ended = decide(SPEC, done, told(Nudged("a"), 9))
    assert ended.instance == Instance()
    assert ended.timers_gone == list(begun.timers)


def test_a_timer_that_fired_is_no_more_its_instance_s() -> None:
    begun = decide(SPEC, Instance(), told(Begun("a", ""))).instance
    fired = decide(SPEC, begun, input_of_timer("a", begun.timers[0]))
    assert fired.instance == Instance(Old("a"))
    assert fired.commands[0].id == "worker:7:t0:0"


def make_do(handler: Any) -> Any:
    """Run a handler of Begun in a manager of its own."""
    domain, worker = bare()
    worker.state(Old)
    worker.timer(Later)
    worker.on(Begun)(handler)
    worker.on_timer(Later)(lambda _state, _timer, _do: None)
    worker.effect("tell")(lambda _payload, _key: None)
    return decide(domain.compile().process_managers["worker"], Instance(), told(Begun("a", "")))


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (lambda do: do.execute(Begun("a", "")), UnknownMessage, "not a command"),
        (lambda do: do.effect("shout"), InvalidMessage, "there are: tell"),
        (lambda do: do.after(timedelta(1), Old("a")), UnknownMessage, "not a timer"),
        (lambda do: do.after(60, Later("a")), InvalidMessage, "takes a timedelta"),
        (lambda do: do.after(timedelta.max, Later("a")), InvalidMessage, "after the year 9999"),
        (lambda do: do.at(WHEN, Old("a")), UnknownMessage, r"do\.at.*not a timer"),
        (
            lambda do: do.at(timedelta(1), Later("a")),
            InvalidMessage,
            "takes a datetime first; do.after takes",
        ),
        (lambda do: do.at(datetime(2024, 1, 2), Later("a")), InvalidMessage, "a datetime with a time zone"),
        (lambda do: do.at(BEYOND, Later("a")), InvalidMessage, "after the year 9999; give an earlier"),
        (lambda do: do.cancel(Old), UnknownMessage, "not a class of a timer; there are: Later"),
        (lambda do: do.cancel([]), UnknownMessage, "not a class of a timer"),
    ],
)
def test_what_can_not_be_done_is_refused_where_it_is_asked_for(ask: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        make_do(lambda _state, _event, do: ask(do))


@pytest.mark.parametrize(
    "time",
    [
        WHEN + DELAY,
        datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(1960, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    ids=["a time", "a summer's time of Berlin", "a time long ago", "the last time"],
)
def test_a_timer_is_set_at_an_instant(time: datetime) -> None:
    def handler(_state: Any, _event: Begun, do: Do) -> Old:
        do.after(timedelta(0), Later("a"))
        do.at(time, Later("b"))
        return Old("a")

    first, second = make_do(handler).timers_set
    assert (first.id, second.id) == ("worker:7:t0", "worker:7:t1")
    assert EPOCH + timedelta(microseconds=second.due_us) == max(time, EPOCH)


def test_a_timer_that_is_set_and_cancelled_at_once_was_never_set() -> None:
    def handler(_state: Any, event: Begun, do: Do) -> Old:
        do.after(DELAY, Later("a"))
        do.cancel(Later)
        do.after(DELAY * 2, Later("b"))
        assert (do.key, do.now) == ("a", WHEN)
        return Old("a")

    decision = make_do(handler)
    assert [timer.id for timer in decision.timers_set] == ["worker:7:t1"]
    assert decision.timers_gone == []


def test_an_id_does_not_grow_without_end() -> None:
    id = "worker:1"
    seen = set()
    for _ in range(200):
        input = Input("rejection", f"{id}:r", "a", Rejection(Work("a"), "c", "t"), 0, None, None)
        [issued] = decide(SPEC, Instance(Old("a")), input).commands
        assert len(issued.id) <= 120
        assert issued.id not in seen
        seen.add(issued.id)
        id = issued.id


# -- planning ------------------------------------------------------------------------------------
def ids(plan: StepPlan | None) -> list[str]:
    assert plan is not None
    return [input.id for input in plan.inputs]


def test_waiting_events_of_many_instances_are_one_step() -> None:
    memory = Memory(jobs_of(), Begun("a", ""), Begun("b", ""), Begun("c", ""))
    plan = memory.plan(memory.planner())
    assert ids(plan) == ["worker:1", "worker:2", "worker:3"]
    assert [unmarked(one.command_id) for one in plan.submissions] == [
        "worker:1:0",
        "worker:2:0",
        "worker:3:0",
    ]


def test_an_instance_waits_for_the_outcome_of_its_commands_and_others_do_not() -> None:
    memory = Memory(jobs_of(), Begun("a", ""), Begun("b", ""), Nudged("a"), Begun("c", ""))
    planner = memory.planner()
    first = memory.plan(planner)
    assert ids(first) == ["worker:1", "worker:2"]
    assert memory.plan(planner, alone=False) is None
    assert memory.write(planner, first, Rejected("no", code="no"), Receipt("", 0, 0, 0, "", 0, {}, ()))
    assert ids(memory.plan(planner)) == [f"{first.submissions[0].command_id}:r"]


def test_a_plan_is_void_once_another_was_written() -> None:
    memory = Memory(jobs_of(), Begun("a", ""), Begun("b", ""))
    left, planner = memory.planner(), memory.planner()
    stale = memory.plan(left)
    fresh = memory.plan(planner)
    assert memory.write(planner, fresh)
    assert not memory.write(left, stale)
    assert [unmarked(id) for id in memory.submitted] == ["worker:1:0", "worker:2:0"]


def test_events_that_are_passed_over_do_not_void_the_next_plan() -> None:
    memory = Memory(jobs_of(), Begun("a", "idle"), Worked("x", ""), Worked("x", ""))
    planner = memory.planner()
    assert memory.write(planner, memory.plan(planner))
    assert memory.plan(planner) is None
    memory.events.append(recorded(Begun("b", ""), 4))
    assert memory.write(planner, memory.plan(planner))
    assert Checkpoint.unpack(memory[memory.keys.checkpoint]).position == 4


def test_a_rejection_that_is_written_is_handled_by_the_next_incarnation() -> None:
    memory = Memory(jobs_of(), Begun("a", "refused"))
    planner = memory.planner()
    assert memory.write(planner, memory.plan(planner), Rejected("no", code="no", thing=object()))
    again = memory.planner()
    plan = memory.plan(again)
    assert [one.command for one in plan.submissions] == [Undo("a", "no: no")]
    assert memory.write(again, plan)
    assert memory.notes(memory.keys.rejections) == []
    assert memory.plan(memory.planner()) is None


def test_a_command_that_fails_voids_the_whole_step() -> None:
    memory = Memory(jobs_of(), Begun("a", ""), Begun("b", ""))
    planner = memory.planner()
    plan = memory.plan(planner)
    receipt = Receipt("", 0, 0, 0, "", 0, {}, ())
    with pytest.raises(CommandsFailed) as failed:
        memory.write(planner, plan, receipt, ValueError("bug"))
    assert failed.value.input.id == "worker:2"
    assert memory.submitted == []


def test_what_comes_before_an_event_of_no_known_instance_is_planned_first() -> None:
    memory = Memory(jobs_of(World(bugs={"key"})), Begun("a", ""), Begun("b", "key"))
    planner = memory.planner()
    plan = memory.plan(planner)
    assert ids(plan) == ["worker:1"]
    memory.write(planner, plan)
    with pytest.raises(InputFailed, match="position 2"):
        memory.plan(planner)
    planner.state.request_skip("worker:2", "why not", "traceback")
    plan = memory.plan(planner)
    assert plan.skipped == ["worker:2"]
    memory.write(planner, plan)
    assert memory.planner().state.skipped == {"worker:2"}


def test_timers_and_events_are_handled_in_the_order_of_their_times() -> None:
    memory = Memory(jobs_of(), Begun("a", "idle"))
    delay = DELAY // timedelta(microseconds=1)
    planner = memory.planner()
    memory.write(planner, memory.plan(planner))
    memory.events.append(recorded(Nudged("a"), 2, WHEN_US + delay - 1))
    memory.events.append(recorded(Begun("b", "idle"), 3, WHEN_US + delay + 1))
    memory.now += delay + 5
    assert planner.state.next_due() == WHEN_US + delay
    order = []
    while (plan := memory.plan(planner)) is not None:
        order += ids(plan)
        memory.write(planner, plan)
    assert order == ["worker:2", "worker:1:t0", "worker:3"]


def test_a_timer_that_is_not_due_waits_even_when_there_is_nothing_else() -> None:
    memory = Memory(jobs_of(), Begun("a", "idle"))
    planner = memory.planner()
    memory.write(planner, memory.plan(planner))
    assert memory.plan(planner) is None
    memory.now = planner.state.next_due()
    assert ids(memory.plan(planner)) == ["worker:1:t0"]


def test_more_timers_than_fit_are_loaded_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.process_managers.timer_queue.LOADED", 3)
    memory = Memory(jobs_of(), *(Begun(f"j{number}", "idle") for number in range(10)))
    planner = memory.planner()
    memory.write(planner, memory.plan(planner))
    queue = TimerQueue(memory.keys, memory)
    assert queue.first()[1] == "worker:10:t0"
    planner = memory.planner()
    memory.now += 2 * DELAY // timedelta(microseconds=1)
    fired = 0
    while (plan := memory.plan(planner, limit=2)) is not None:
        fired += len(plan.inputs)
        assert memory.write(planner, plan)
    assert fired == 10
    assert memory.notes(memory.keys.timers) == []


def test_timers_behind_many_that_were_cancelled_are_found_without_another_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.process_managers.timer_queue.LOADED", 3)
    memory = Memory(jobs_of(), *(Begun(f"j{number}", "idle") for number in range(6)))
    planner = memory.planner()
    memory.write(planner, memory.plan(planner))
    planner = memory.planner()
    for number in range(3):  # Those that are in memory.
        memory.events.append(recorded(Undone(f"j{number}", "late"), len(memory.events) + 1))
    assert memory.write(planner, memory.plan(planner))
    assert memory.plan(planner) is None
    assert planner.state.next_due() is not None
    memory.now += 2 * DELAY // timedelta(microseconds=1)
    assert len(ids(memory.plan(planner))) == 3


def test_timers_in_memory_are_bounded_while_more_are_set_and_all_fire_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.process_managers.timer_queue.LOADED", 3)
    memory = Memory(jobs_of(), *(Begun(f"j{number}", "idle") for number in range(40)))
    planner = memory.planner()
    while (plan := memory.plan(planner, limit=5)) is not None:
        assert memory.write(planner, plan)
    assert len(planner.state.timers._heap) <= 6
    memory.now += 2 * DELAY // timedelta(microseconds=1)
    fired: list[str] = []
    while (plan := memory.plan(planner, limit=2)) is not None:
        fired += ids(plan)
        assert memory.write(planner, plan)
    assert fired == sorted(f"worker:{number}:t0" for number in range(1, 41))


def test_instances_in_memory_are_bounded_while_steps_follow_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.process_managers.planner.MAX_CACHED_INSTANCES", 10)
    memory = Memory(jobs_of(), *(Begun(f"j{number}", "idle") for number in range(100)))
    planner = memory.planner()
    flight = [memory.plan(planner, limit=4)]
    handled = 0
    while flight:
        assert len(planner.state.instances) <= 10 + 2 * 4
        # As the manager does: another step while one is on its way.
        following = memory.plan(planner, limit=4, alone=False)
        done = flight.pop()
        assert done is not None
        handled += len(done.inputs)
        assert memory.write(planner, done)
        following = following or memory.plan(planner, limit=4)
        flight = [following] if following else []
    assert handled == 100


def test_the_rejections_of_a_step_keep_the_order_of_issue_also_in_their_notes() -> None:
    codec = jobs_of().compile().codec
    keys, values = RecordKeys("worker"), RecordCodec(codec)
    plan = StepPlan(None, WHEN_US)
    begun = input_of_event("worker", "a", recorded(Begun("a", "")))
    for number in range(12):
        issued = Issued(f"worker:7:{number}", Work("a", "refused"))
        if number % 5 == 0:
            plan.refused.append((len(plan.issued), begun, issued, Rejected("no", code="no")))
        else:
            plan.issued.append((begun, issued))
    notes = plan.notes_for(keys, values, [Rejected("no", code="no") for _ in plan.issued])
    wanted = [f"worker:7:{number}:r" for number in range(12)]
    assert [one.id for one in plan.rejected] == wanted
    assert [values.input(notes[key] or b"").id for key in sorted(notes)] == wanted
