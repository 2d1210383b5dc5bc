"""A manager that records all inputs of its instances, and a program that runs it as its actor does, in
memory.

The inputs of an instance must not depend on where it failed meanwhile, how often, or on when its manager was
started again.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

from actors import Do, Domain, Rejected, Rejection
from actors.process_managers.key_fingerprint import key_fingerprints
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.step_errors import CommandsFailed
from actors.process_managers.step_plan import StepPlan
from actors.receipt import Receipt
from tests.actors.process_managers.memory import WHEN_US, Memory

SECOND = 1_000_000


@dataclass
class Weather:
    """What fails at this time: instances whose handlers do, and jobs whose commands do."""

    handlers: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)


class Outside:
    """What handlers meet: the weather of the story that takes a turn."""

    weather = Weather()


@cache
def story_of(version: int = 1) -> tuple[Domain, type]:
    """The domain and its event: a `Told` says in words what its instance is to do."""
    domain = Domain("story")

    @domain.event(state=None)
    class Told:
        job: str
        words: tuple[str, ...] = ()

    @domain.state(stream="desk-{job}")
    class Desk:
        job: str

    @domain.command(Desk)
    class Work:
        job: str
        number: int
        refusals: int

    @domain.decide(Work)
    def work(_desk: Any, _command: Any):
        return []

    worker = domain.process_manager("worker", key="job", start="beginning", version=version)

    @worker.state
    class Heard:
        job: str
        heard: tuple[str, ...] = ()

    @worker.timer
    class Later:
        number: int

    def hear(state: Any, do: Do, text: str) -> Any:
        if do.key in Outside.weather.handlers:
            raise RuntimeError("bad weather")
        return replace(state or Heard(do.key), heard=(*(state.heard if state else ()), text))

    @worker.on(Told)
    def on_told(state: Heard | None, event: Any, do: Do) -> Any:
        after = hear(state, do, f"told {' '.join(event.words)}")
        for number, word in enumerate(event.words):
            kind, _, amount = word.partition("-")
            if kind == "work":
                do.execute(Work(do.key, number, int(amount)))
            elif kind == "wait":
                do.after(timedelta(seconds=int(amount)), Later(number))
            elif kind == "cancel":
                do.cancel(Later)
            elif kind == "tell":
                do.effect("tell", number)
            elif kind == "end":
                do.end()
        return after

    @worker.on_rejected(Work)
    def on_rejected(state: Heard, rejection: Rejection[Any], do: Do) -> Any:
        after = hear(state, do, f"refused {rejection.command.number} {rejection.command.refusals}")
        if rejection.command.refusals > 1:
            do.execute(replace(rejection.command, refusals=rejection.command.refusals - 1))
        return after

    @worker.on_timer(Later)
    def on_later(state: Heard, timer: Any, do: Do) -> Any:
        do.execute(Work(do.key, timer.number, timer.number % 2))
        if timer.number == 2:
            do.end()
        return hear(state, do, f"later {timer.number}")

    worker.effect("tell")(lambda _payload, _key: None)
    return domain, Told


class Story:
    """One life of a store with this manager: its log, its notes, and all that was executed."""

    def __init__(self, events: list[tuple[str, tuple[str, ...]]]) -> None:
        self.weather = Weather()
        self.version = 1
        domain, told = story_of()
        self.memory = Memory(domain, *(told(job, words) for job, words in events))
        for number, event in enumerate(self.memory.events):
            event.time_us = WHEN_US + number * SECOND
        self.coming, self.memory.events = self.memory.events, []
        self.memory.now = WHEN_US
        self.executed: list[str] = []
        self.effects: list[str] = []
        self.failed_commands: dict[str, CommandsFailed] = {}
        self.alone = 0
        self.begin()

    def begin(self) -> None:
        """As after a start: what is known is what is in the notes."""
        self.planner = self.memory.planner(failed_commands=self.failed_commands)
        self.flight: list[StepPlan] = []

    def happen(self) -> bool:
        """The next event is written."""
        if self.coming:
            self.memory.events.append(self.coming.pop(0))
            self.memory.now = self.memory.events[-1].time_us
        return bool(self.coming)

    def raise_version(self) -> None:
        """Have the states built anew, as an opening does."""
        self.version += 1
        domain, _ = story_of(self.version)
        memory = self.memory
        memory.domain = domain.compile()
        memory.spec = memory.domain.process_managers["worker"]
        for event in [*memory.events, *self.coming]:
            words = event.event
            event.event = next(iter(memory.spec.events))(words.job, words.words)
        handled = Checkpoint.unpack(memory[memory.keys.checkpoint]).position
        metadata = ManagerMetadata.unpack(memory.domain.codec, memory[memory.keys.metadata])
        metadata = metadata.raised(self.version, handled, key_fingerprints(memory.spec))
        memory[memory.keys.metadata] = metadata.pack(memory.domain.codec)
        self.begin()

    def set_aside(self) -> list[str]:
        """The instances that are."""
        prefix = self.memory.keys.quarantines
        return [key[len(prefix) :].decode() for key, _ in self.memory.notes(prefix)]

    def turn(self, dice: random.Random, *, ahead: bool = True) -> bool:
        """Plan a step or have one written; False when there is nothing to do."""
        Outside.weather = self.weather
        if self.flight and (not ahead or len(self.flight) > 1 or dice.random() < 0.5):
            self.write(self.flight.pop(0))
            return True
        self.memory.now += 20  # No two steps are planned at one time.
        limit = 1 if self.alone else dice.choice((1, 2, 5, 100))
        plan = None
        if not self.flight and not self.planner.state.rebuilding:
            keys = self.set_aside()
            plan, tried = self.memory.retry(self.planner, *dice.sample(keys, len(keys)), limit=limit)
            if any(tried.values()):
                self.alone = max(self.alone - 1, 0)
        if plan is None:
            plan = self.memory.plan(self.planner, limit, not self.flight)
        if plan is None:
            self.alone = 0
            return bool(self.flight)
        self.flight.append(plan)
        return True

    def write(self, plan: StepPlan) -> None:
        """As the writer does; a command that fails voids the step and those behind it."""
        outcomes: list[Any] = []
        for submission in plan.submissions:
            command = submission.command
            if command.job in self.weather.commands:
                outcomes.append(ValueError("bad weather"))
            elif command.refusals:
                outcomes.append(Rejected("no", code="no"))
            else:
                outcomes.append(Receipt("", 0, 0, 0, "", 0, {}, ()))
        before = len(self.memory.submitted)
        effects = set(self.memory.notes(self.memory.keys.due))
        try:
            assert self.memory.write(self.planner, plan, *outcomes)
        except CommandsFailed as failed:
            if len(plan.inputs) > 1:
                self.alone = 100
            else:
                self.failed_commands[failed.input.id] = failed
            self.begin()
            return
        self.executed += self.memory.submitted[before:]
        for _, value in sorted(set(self.memory.notes(self.memory.keys.due)) - effects):
            self.effects.append(self.planner.state.records.entry(value).id)
        self.alone = max(self.alone - 1, 0)

    def finish(self) -> None:
        """Have good weather, and everything handled."""
        self.weather.handlers.clear()
        self.weather.commands.clear()
        while self.happen():
            pass
        dice = random.Random(1)
        self.begin()
        for _ in range(2):
            while self.turn(dice):
                pass
            self.memory.now = WHEN_US + 10_000 * SECOND

    def heard(self) -> dict[str, tuple[str, ...]]:
        """What each instance has heard, in order."""
        prefix = self.memory.keys.states
        found = self.memory.notes(prefix)
        return {
            key[len(prefix) :].decode(): self.planner.state.records.instance(value).state.heard
            for key, value in found
        }

    def history(self) -> set[bytes]:
        """The ends of the keys of what is kept of the past."""
        return {
            key[len(self.memory.keys.history) :] for key, _ in self.memory.notes(self.memory.keys.history)
        }

    def kept(self) -> dict[str, set[bytes]]:
        """The same, by instances, as their index has them."""
        found: dict[str, set[bytes]] = {}
        start = len(self.memory.keys.history_index)
        for key, _ in self.memory.notes(self.memory.keys.history_index):
            end = start + 2 + int.from_bytes(key[start : start + 2])
            found.setdefault(key[start + 2 : end].decode(), set()).add(key[end:])
        return found


def a_story(dice: random.Random, length: int, *, ends: bool = False) -> Story:
    """Events of few instances in a random order."""
    ends = ("end",) if ends else ()
    words = (
        *ends,
        "work-0",
        "work-0",
        "work-1",
        "work-2",
        "wait-0",
        "wait-3",
        "wait-20",
        "cancel",
        "tell",
        "tell",
    )
    return Story(
        [
            (dice.choice("abcd"), tuple(dice.choices(words, k=dice.choice((0, 1, 1, 2, 3)))))
            for _ in range(length)
        ]
    )
