"""Timers that were missed: each fires, the last alone, or the next one; and timers of no instance."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, InvalidMessage
from actors.process_managers.decision import decide
from actors.process_managers.inputs import Instance, input_of_timer
from actors.process_managers.inputs import Timer as SetTimer
from actors.testing import given_process_manager
from tests.system.test_process_managers import opened

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def beating(missed: Any) -> tuple[Domain, Any, type, type, type]:
    domain = Domain("beats")

    @domain.event(state=None)
    class Begun:
        name: str

    heart = domain.process_manager("heart", key="name", start="beginning")

    @heart.state
    class Beating:
        name: str
        at: tuple[float, ...] = ()

    @heart.timer
    class Beat:
        name: str

    @heart.on(Begun)
    def on_begun(state: None, event: Any, do: Do) -> Any:
        do.after(SECOND, Beat(event.name), missed=missed)
        return Beating(event.name)

    @heart.on_timer(Beat)
    def on_beat(state: Any, timer: Any, do: Do) -> Any:
        do.after(SECOND, timer, missed=missed)
        return Beating(state.name, (*state.at, do.now.timestamp()))

    return domain, heart, Begun, Beat, Beating


@pytest.mark.parametrize(
    ("missed", "late", "due"),
    [
        ("all", 0.5, 1.0),
        ("all", 86_400.5, 1.0),
        ("last", 0.5, 1.0),
        ("last", 1.0, 1.0),
        ("last", 86_400.5, 86_400.0),
        ("skip", 0.5, 1.0),
        ("skip", 0.999999, 1.0),
        ("skip", 1.0, 2.0),
        ("skip", 86_400.5, 86_401.0),
    ],
)
def test_a_timer_that_is_set_late_is_due_where_its_handler_says(missed: str, late: float, due: float) -> None:
    domain, _, _, beat, beating_ = beating(missed)
    spec = domain.compile().process_managers["heart"]
    fired = SetTimer(1_000_000_000, "heart:1:t0", beat("a"), None)
    now = fired.due_us + round(late * 1_000_000)
    decision = decide(spec, Instance(beating_("a"), (fired,)), input_of_timer("a", fired), now)
    assert decision is not None
    [after] = decision.instance.timers
    assert after.due_us - fired.due_us == round(due * 1_000_000)


@pytest.mark.parametrize(("missed", "beats"), [("last", 2), ("skip", 1)])
def test_a_day_s_stop_is_passed_over_and_the_beat_is_kept(store_path: Path, missed: str, beats: int) -> None:
    domain, _, begun, _, _ = beating(missed)
    with opened(store_path, domain) as system:
        system.append("hearts", [begun("a")])
        system.wait_process_managers()
        began = system.recorded_events()[0].time.timestamp()
        system.advance(DAY)
        system.wait_process_managers()
        at = system.process_manager_state("heart", "a").at
        assert beats <= len(at) < beats + 20  # those that come due while the test runs
        assert at[0] == pytest.approx(began + 1)
        assert at[1 if beats > 1 else 0] - began == pytest.approx(86_400 if beats > 1 else 1, abs=20)
        assert all(round(one - began, 3) == round(one - began) for one in at)


def test_what_is_no_way_to_miss_a_timer_is_refused() -> None:
    _, heart, begun, _, _ = beating("late")
    with pytest.raises(
        InvalidMessage, match=r"do\.after\(\.\.\., missed='late'\) is \"all\", \"last\" or \"skip\""
    ):
        given_process_manager(heart, begun("a"))


# -- timers of no instance -----------------------------------------------------------------------
@pytest.mark.parametrize("ends", [False, True])
def test_timers_of_an_instance_that_there_is_not_are_an_error(store_path: Path, ends: bool) -> None:
    domain = Domain("beats")

    @domain.event(state=None)
    class Begun:
        name: str

    heart = domain.process_manager("heart", key="name", start="beginning")

    @heart.state
    class Beating:
        name: str

    @heart.timer
    class Beat:
        name: str

    @heart.on(Begun)
    def on_begun(state: None, event: Any, do: Do) -> None:
        do.after(SECOND, Beat(event.name))
        if event.name == "cancelled":
            do.cancel(Beat)
        if ends:
            do.end()

    heart.on_timer(Beat)(lambda state, timer, do: None)
    with opened(store_path, domain) as system:
        system.append("hearts", [Begun("cancelled"), Begun("a")])
        if ends:
            system.wait_process_managers()
            assert system.health().status == "ok"
            return
        with pytest.raises(Exception, match="on_begun failed on Begun: it set timer Beat and returned None"):
            system.wait_process_managers()
        assert [one.key for one in system.quarantined_instances("heart")] == ["a"]
