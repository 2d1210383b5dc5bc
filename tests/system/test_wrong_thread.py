"""Calls that would wait for themselves, and evolvers that give no state, are refused with words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import CommandTimeout, DeciderFailed, Domain, QueryFailed, Rejected, System, WrongThread
from tests import inside
from tests.helpers import PATIENCE, wait_until
from tests.system.jobs import Begin, Worked, World, jobs_of


class Lab:
    """A domain whose decider, evolver, projection and query do what a test tells them to."""

    def __init__(self) -> None:
        lab = self
        self.system: System
        self.decide: Callable[[], Any] = lambda: None
        self.evolve: Callable[[Any], Any] = lambda state: state
        self.ask: Callable[[], Any] = lambda: None
        domain = self.domain = Domain("lab")

        @domain.state(stream="thing-{id}")
        class Thing:
            id: str
            size: int = 0

        @domain.event(Thing)
        class Grown:
            id: str

        @domain.command(Thing)
        class Grow:
            id: str

        @domain.decide
        def grow(thing: Thing | None, command: Grow):
            lab.decide()
            yield Grown(command.id)

        @domain.evolve
        def grown(thing: Thing | None, event: Grown) -> Thing:
            return lab.evolve(Thing(event.id, 1 if thing is None else thing.size + 1))

        model = domain.read_model("sizes")
        sizes = model.table("sizes", key="id")

        @model.on
        def on_grown(event: Grown, tables):
            tables[sizes].put({"id": event.id})

        @domain.query(reads=[model])
        class Ask:
            def run(self, view):
                return lab.ask()

        self.grow, self.query, self.model = Grow, Ask, model


@pytest.fixture
def lab(store_path: Path):
    lab = Lab()
    with System.open(store_path, lab.domain, replicas=1) as lab.system:
        yield lab


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("execute", lambda lab: lab.system.execute(lab.grow("inner"))),
        ("submit", lambda lab: lab.system.submit(lab.grow("inner")).result()),
        ("execute_many", lambda lab: lab.system.execute_many([lab.grow("inner")])),
        ("aexecute", lambda lab: asyncio.run(lab.system.aexecute(lab.grow("inner")))),
        ("query", lambda lab: lab.system.query(lab.query())),
        ("close", lambda lab: lab.system.close()),
        ("kill", lambda lab: lab.system.kill("command-handler")),
        ("wait_applied", lambda lab: lab.system.wait_applied()),
    ],
)
def test_a_decider_that_calls_the_system_is_refused_at_once(
    lab: Lab, name: str, call: Callable[[Lab], Any]
) -> None:
    lab.decide = lambda: call(lab)
    with pytest.raises(DeciderFailed, match=rf"Grow.*{name}\(\).*command-handler") as caught:
        lab.system.execute(lab.grow("outer"), timeout=PATIENCE)
    assert isinstance(caught.value.__cause__, WrongThread)
    lab.decide = lambda: None
    assert lab.system.execute(lab.grow("outer")).last == 1


def test_a_decider_that_gives_its_callers_another_commands_timeout_hides_that_id(lab: Lab) -> None:
    def decide() -> None:
        raise CommandTimeout("inner-id")

    lab.decide = decide
    with pytest.raises(DeciderFailed, match="CommandTimeout"):
        lab.system.execute(lab.grow("outer"))


def test_a_query_that_asks_the_system_is_refused_at_once(lab: Lab) -> None:
    lab.ask = lambda: lab.system.query(lab.query())
    with pytest.raises((WrongThread, QueryFailed), match=r"replica-1\.query-1"):
        lab.system.query(lab.query())
    lab.ask = lambda: 7
    assert lab.system.query(lab.query()) == 7


def test_a_callback_may_submit_the_next_command(lab: Lab) -> None:
    chained: list[Any] = []
    first = lab.system.submit(lab.grow("first"))
    first.add_done_callback(lambda _done: chained.append(lab.system.submit(lab.grow("second"))))
    assert wait_until(lambda: chained)
    assert chained[0].result(PATIENCE).stream == "thing-second"


@pytest.mark.parametrize("wrong", [None, "x", 5], ids=repr)
def test_an_evolver_that_returns_no_state_fails_the_command_before_anything_is_written(
    lab: Lab, wrong: object
) -> None:
    lab.evolve = lambda state: wrong
    with pytest.raises(
        DeciderFailed,
        match=rf"evolver .*grown \(.*test_wrong_thread.py:\d+\) returned {wrong!r}.*not a Thing",
    ):
        lab.system.execute(lab.grow("a"))
    assert lab.system.position == 0
    lab.evolve = lambda state: state
    assert lab.system.execute(lab.grow("a")).version == 1


def test_an_evolver_that_raises_is_named(lab: Lab) -> None:
    lab.evolve = lambda state: 1 // 0
    with pytest.raises(
        DeciderFailed, match=r"evolver .*grown \(.*\) failed on event Grown with ZeroDivisionError"
    ):
        lab.system.execute(lab.grow("a"))


@pytest.mark.parametrize("timeout", [float("nan"), float("inf"), -1, "5", None, True], ids=repr)
def test_a_timeout_that_is_no_number_of_seconds_is_refused_before_anything_is_done(
    lab: Lab, timeout: Any
) -> None:
    with pytest.raises(ValueError, match="timeout="):
        lab.system.execute(lab.grow("a"), timeout=timeout)
    with pytest.raises(ValueError, match="timeout="):
        lab.system.query(lab.query(), timeout=timeout)
    assert lab.system.position == 0


def test_a_second_close_waits_for_the_first(store_path: Path) -> None:
    lab = Lab()
    entered, release = threading.Event(), threading.Event()

    def decide() -> None:
        entered.set()
        assert release.wait(PATIENCE)

    lab.decide = decide
    system = System.open(store_path, lab.domain, replicas=1)
    future = system.submit(lab.grow("a"))
    assert entered.wait(PATIENCE)
    first = threading.Thread(target=system.close)
    first.start()
    assert wait_until(lambda: not inside.usable(system))
    second = threading.Thread(target=system.close)
    second.start()
    release.set()
    second.join(PATIENCE)
    assert not second.is_alive()
    with System.open(store_path, lab.domain, replicas=1) as again:
        assert again.position == 1
    first.join(PATIENCE)
    assert future.result(0).last == 1


def test_a_rejection_is_the_deciders_own(lab: Lab) -> None:
    def decide() -> None:
        raise Rejected("no", code="no")

    lab.decide = decide
    with pytest.raises(Rejected, match="no"):
        lab.system.execute(lab.grow("a"))


# -- two systems in one process ------------------------------------------------------------------
CALLS: dict[str, Callable[[System], Any]] = {
    "execute": lambda other: other.execute(Begin("from outside", "idle")).stream,
    "submit": lambda other: other.submit(Begin("from outside", "idle")).result(PATIENCE).stream,
    "execute_many": lambda other: [one.stream for one in other.execute_many([Begin("from outside", "idle")])],
    "aexecute": lambda other: asyncio.run(other.aexecute(Begin("from outside", "idle"))).stream,
    "append": lambda other: other.append("desk-x", [Worked("x", "")]).stream,
    "wait_process_managers": lambda other: other.wait_process_managers(),
    "wait_applied": lambda other: other.wait_applied(),
    "subscribe": lambda other: list(other.subscribe(timeout=0.001)),
    "consumer": lambda other: list(other.consumer("mail", timeout=0.001)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_effect_may_call_another_system_and_not_its_own(tmp_path: Path, name: str) -> None:
    call = CALLS[name]
    outcomes: list[Any] = []
    systems: list[System] = []

    def send(_payload: Any, _key: str) -> None:
        for system in systems:
            try:
                outcomes.append(call(system))
            except WrongThread as error:
                outcomes.append(error)

    with (
        System.open(tmp_path / "other", jobs_of(), replicas=1) as other,
        System.open(tmp_path / "own", jobs_of(World(send=send)), replicas=1) as own,
    ):
        systems += [own, other]
        own.execute(Begin("a"))
        own.wait_process_managers()
        refused, answer = outcomes
        if name == "submit":  # which does not wait
            assert refused == answer
        else:
            assert isinstance(refused, WrongThread)
            assert f"{name}() was called by the handler of an effect of process manager 'worker'" in str(
                refused
            )
        assert not isinstance(answer, WrongThread)
        assert own.effects("worker") == []


def test_an_effect_may_open_and_close_another_system(tmp_path: Path) -> None:
    def send(_payload: Any, _key: str) -> None:
        with System.open(tmp_path / "other", jobs_of(), replicas=1) as other:
            other.execute(Begin("from outside", "idle"))

    world = World(send=send)
    with System.open(tmp_path / "own", jobs_of(world), replicas=1) as own:
        own.execute(Begin("a"))
        own.wait_process_managers()
        assert len(world.sent) == 1
    with System.open(tmp_path / "other", jobs_of(), replicas=1) as other:
        assert other.position == 1


def test_a_decider_or_a_query_may_call_no_system_since_two_could_wait_for_each_other(
    lab: Lab, tmp_path: Path
) -> None:
    with System.open(tmp_path / "other", jobs_of(), replicas=1) as other:
        for call in (lambda: other.execute(Begin("a")), lambda: other.wait_process_managers()):
            lab.decide = lab.ask = call  # type: ignore[assignment]
            with pytest.raises(DeciderFailed, match="WrongThread"):
                lab.system.execute(lab.grow("outer"))
            with pytest.raises((WrongThread, QueryFailed), match=r"replica-1\.query-1"):
                lab.system.query(lab.query())
        assert other.position == 0
