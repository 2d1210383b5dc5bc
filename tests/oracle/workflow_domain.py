"""A process manager that follows scripts, the outside that its effects tell, and what it has to come to in
the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from actors import Do, Domain, NotStopped, ProcessManagerStopped, Rejected, Rejection
from actors.testing import TestSystem
from tests.oracle.workflow_scripts import Node, decoded, expected, nodes_of

__all__ = ["Call", "Outside", "Workflows", "check", "finish"]

ATTEMPTS = 3
DELAYS = (0, 5, 60_000)
"""Milliseconds of a timer, by the amount of its node."""


class Call(NamedTuple):
    """The outside was told something, under a key, and took it or not."""

    key: str
    case: str
    number: int
    taken: bool


class Outside:
    """Takes what it is told, or not; `write` keeps each call where nothing that dies here can reach it."""

    def __init__(self, write: Callable[[Call], None]) -> None:
        self.mended = False
        self._write = write
        self._failed: Counter[str] = Counter()

    def told(self, key: str, case: str, node: Node) -> None:
        down = node.kind == "dropped" or (node.kind == "down" and not self.mended)
        flaky = (
            node.kind == "flaky" and self._failed[key] < min(node.amount, ATTEMPTS - 1) and not self.mended
        )
        self._failed[key] += 1
        self._write(Call(key, case, node.number, not (down or flaky)))
        if down or flaky:
            raise ConnectionError("the line is down")


class Workflows:
    """The domain, anew for each opening. Handlers fail for the cases in `spoilt`."""

    def __init__(self, outside: Outside, version: int = 1, spoilt: set[str] | None = None) -> None:
        self.spoilt = set() if spoilt is None else spoilt
        domain = self.domain = Domain("workflows")

        @domain.state(stream="case-{case}")
        class Work:
            case: str

        @domain.event(Work)
        class Started:
            case: str
            script: str

        @domain.event(Work)
        class Performed:
            case: str
            number: int

        @domain.command(Work)
        class Start:
            case: str
            script: str

        @domain.command(Work)
        class Perform:
            case: str
            number: int
            refused: bool

        @domain.command(Work)
        class Ask:
            case: str
            number: int

        self.start, self.performed, self.started = Start, Performed, Started

        @domain.decide(Start)
        def start(work: Any, command: Any) -> Any:
            if work is None:
                yield Started(command.case, command.script)

        @domain.decide(Perform)
        def perform(work: Work, command: Any) -> Any:
            if command.refused:
                raise Rejected("refused", code="refused", number=command.number)
            yield Performed(command.case, command.number)

        @domain.decide(Ask)
        def ask(work: Work, command: Any) -> Any:
            raise Rejected("not heard of", code="unheard")

        @domain.evolve(Started)
        def on_started(work: None, event: Any) -> Work:
            return Work(event.case)

        @domain.evolve(Performed)
        def on_performed(work: Work, event: Any) -> Work:
            return work

        worker = domain.process_manager("worker", key="case", start="beginning", version=version)

        @worker.state
        class Case:
            case: str
            script: str
            heard: tuple[str, ...]

        @worker.timer
        class Later:
            case: str
            number: int

        def follow(state: Case, nodes: list[Node], do: Do, what: str) -> Case:
            if state.case in self.spoilt:
                raise RuntimeError("a handler that fails for this case")
            for node in nodes:
                if node.kind in ("do", "refused"):
                    do.execute(Perform(state.case, node.number, node.kind == "refused"))
                elif node.kind == "unheard":
                    do.execute(Ask(state.case, node.number))
                elif node.kind == "later":
                    do.after(timedelta(milliseconds=DELAYS[node.amount]), Later(state.case, node.number))
                else:
                    do.effect("tell", {"case": state.case, "node": [node.kind, node.amount, node.number]})
            return replace(state, heard=(*state.heard, what))

        def after(state: Case, number: int) -> list[Node]:
            return next(one.then for one in nodes_of(decoded(state.script)) if one.number == number)

        @worker.on(Started)
        def begin(state: None, event: Any, do: Do) -> Case:
            case = Case(event.case, event.script, ())
            return follow(case, decoded(event.script), do, "started")

        @worker.on(Performed)
        def done(state: Case, event: Any, do: Do) -> Case:
            return follow(state, after(state, event.number), do, f"done {event.number}")

        @worker.on_rejected(Perform)
        def refused(state: Case, rejection: Rejection[Any], do: Do) -> Case:
            number = rejection.command.number
            return follow(state, after(state, number), do, f"refused {number}")

        @worker.on_timer(Later)
        def later(state: Case, timer: Any, do: Do) -> Case:
            return follow(state, after(state, timer.number), do, f"later {timer.number}")

        @worker.effect("tell", attempts=ATTEMPTS)
        def tell(payload: Any, key: str) -> Any:
            kind, amount, number = payload["node"]
            outside.told(key, payload["case"], Node(kind, amount, number=number))
            # Whatever it does to what it was given, the next attempt has it as it was.
            case = payload.pop("case")
            if kind in ("answers", "refuses"):
                return Perform(case, number, kind == "refuses")
            return None


def settle(system: TestSystem) -> None:
    """Have instances tried again that are set aside, and what is parked delivered, or given up where its
    script says so.
    """
    for one in system.quarantined_instances("worker"):
        with suppress(NotStopped):  # It went on by itself.
            system.retry_instance("worker", one.key)
    for effect in system.effects("worker"):
        if effect.parked:
            drop = effect.payload["node"][0] == "dropped"
            (system.drop_effect if drop else system.retry_effect)("worker", effect.key)


def finish(system: TestSystem, outside: Outside) -> None:
    """Let everything come to its end, with an outside that takes all but what is to be given up."""
    outside.mended = True
    while True:
        settle(system)
        try:
            system.wait_process_managers(timeout=60)
        except ProcessManagerStopped:
            continue  # Instances are set aside that have not been tried again yet.
        system.advance(timedelta(hours=1))
        system.wait_process_managers(timeout=60)
        [now] = system.process_managers()
        if not (now.timers or now.parked or now.blocked or now.quarantined):
            break


def check(system: TestSystem, calls: list[Call]) -> Counter[str]:
    """What came of every case is what the oracle says, and the ledger has nothing twice; returns how much of
    what there was.
    """
    [manager] = system.process_managers()
    assert (manager.lag, manager.timers, manager.effects, manager.parked, manager.blocked) == (0, 0, 0, 0, 0)
    assert manager.quarantined == 0
    done: dict[str, Counter[int]] = defaultdict(Counter)
    scripts: dict[str, list[Node]] = {}
    for recorded in system.recorded_events():
        event = recorded.event
        if recorded.type == "Started":
            assert event.case not in scripts
            scripts[event.case] = decoded(event.script)
        else:
            done[event.case][event.number] += 1
    states = dict(system.process_manager_states("worker", limit=1_000_000))
    assert states.keys() == scripts.keys()
    keys: dict[tuple[str, int], set[str]] = defaultdict(set)
    taken: dict[str, list[int]] = defaultdict(list)
    told: set[str] = set()
    for call in calls:
        keys[call.case, call.number].add(call.key)
        if call.taken and call.key not in told:
            told.add(call.key)
            taken[call.case].append(call.number)
    assert all(len(used) == 1 for used in keys.values()), "something was told under two keys"
    assert len(keys) == len({key for used in keys.values() for key in used}), "two things have one key"
    found: Counter[str] = Counter()
    unheard = 0
    for case, script in scripts.items():
        wanted = expected(script)
        heard = states[case].heard
        assert Counter(heard) == wanted.heard, case
        assert done[case] == wanted.done, case
        assert set(taken[case]) == wanted.told, case
        assert taken[case] == wanted.effects_after(script, heard), f"case {case}: told in another order"
        unheard += wanted.unheard
        found.update(one.kind for one in nodes_of(script))
    assert manager.rejections == unheard
    return found
