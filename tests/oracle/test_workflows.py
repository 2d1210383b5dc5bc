"""Random workflows against plain Python: chains of commands, timers, effects, refusals and what is parked,
with a ledger outside.

Actors are killed, the system is opened again, states are built anew, handlers fail and are mended in between.
In the end every case has heard, done and told what its script says, each once and in order, and the outside
has nothing under two keys.
"""

from __future__ import annotations

import random
import tempfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import ProcessManagerStopped
from actors.process_managers.decision import Do
from actors.testing import TestSystem
from tests.oracle.workflow_domain import Call, Outside, Workflows, check, finish, settle
from tests.oracle.workflow_scripts import KINDS, a_script, encoded

VICTIMS = ("manager-worker", "outbox-worker", "command-handler")


@st.composite
def programs(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Cases that begin, and what happens to the program meanwhile."""

    def pick(several: Any) -> Any:
        return draw(st.sampled_from(several))

    found: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(1, 8))):
        kind = pick(("start", "start", "start", "kill", "open", "release", "spoil", "mend", "settle", "wait"))
        value: Any = None
        if kind == "start":
            value = encoded(a_script(pick))
        elif kind == "kill":
            value = pick(VICTIMS)
        elif kind == "spoil":
            value = str(draw(st.integers(0, 2)))
        found.append((kind, value))
    return found


class Run:
    """A program on a store."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.calls: list[Call] = []
        self.outside = Outside(self.calls.append)
        self.version = 1
        self.spoilt: set[str] = set()
        self.begun = 0
        self.open()

    def open(self) -> None:
        self.workflows = Workflows(self.outside, self.version, self.spoilt)
        self.system = TestSystem.open(f"{self.folder}/store", self.workflows.domain, replicas=1)

    def do(self, kind: str, value: Any) -> None:
        if kind == "start":
            self.system.execute(self.workflows.start(str(self.begun), value))
            self.begun += 1
        elif kind == "kill":
            assert self.system.kill(value)
        elif kind in ("open", "release"):
            self.system.close()
            self.version += kind == "release"
            self.open()
        elif kind == "spoil":
            self.spoilt.add(value)
        elif kind == "mend":
            self.spoilt.clear()
        elif kind == "settle":
            settle(self.system)
        else:
            assert kind == "wait"
            with suppress(ProcessManagerStopped):
                self.system.wait_process_managers(60)

    def end(self) -> None:
        self.spoilt.clear()
        finish(self.system, self.outside)
        check(self.system, self.calls)
        before = self.system.process_manager_states("worker")
        self.do("release", None)
        self.system.wait_process_managers(60)
        after = self.system.process_manager_states("worker")
        assert [(key, one.heard) for key, one in after] == [(key, one.heard) for key, one in before]
        check(self.system, self.calls)


def run(program: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one = Run(folder)
        try:
            for kind, value in program:
                one.do(kind, value)
            one.end()
        finally:
            one.system.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.process_managers.outbox_actor.RETRY_FIRST", 0.002)
    monkeypatch.setattr("actors.process_managers.parked_instances.RETRY_SECONDS", 0.002)


@given(programs())
@settings(max_examples=max(settings().max_examples // 2, 1))
def test_random_workflows_do_what_their_scripts_say_once_and_in_order(program: list[tuple[str, Any]]) -> None:
    run(program)


def test_every_kind_of_step_at_once() -> None:
    dice = random.Random(10)
    scripts = [encoded(a_script(dice.choice, most=12)) for _ in range(40)]
    assert all(any(f'"{kind}"' in one for one in scripts) for kind in KINDS)
    run([("start", one) for one in scripts])


def test_the_oracle_finds_a_manager_that_asks_for_things_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Do.effect

    def twice(do: Do, name: str, payload: Any = None) -> None:
        sound(do, name, payload)
        sound(do, name, payload)

    monkeypatch.setattr(Do, "effect", twice)
    with pytest.raises(AssertionError, match="under two keys"):
        run([("start", '[["tell", 0, [], 1]]')])


def test_the_oracle_finds_effects_that_lose_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "actors.process_managers.parked_instances.ParkedInstances.blocks", lambda *_args: False
    )
    with pytest.raises(AssertionError, match="another order"):
        run([("start", '[["down", 0, [], 1], ["tell", 0, [], 2]]'), ("wait", None)])
