"""Given / when / then for a process manager: its handlers run as in the system, in the test's thread,
and what they ask for is only compared.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from actors.domain.process_manager import ProcessManager
from actors.domain.process_manager_spec import ProcessManagerSpec, Rejection
from actors.errors import UnknownMessage
from actors.process_managers.decision import decide
from actors.process_managers.inputs import (
    NO_INSTANCE,
    Decision,
    Input,
    Instance,
    input_of_rejection,
    input_of_timer,
)
from actors.testing._difference import compare
from actors.testing._history import flattened
from actors.testing._stored import read_stored
from storage import Stored
from storage.log.records import EPOCH

__all__ = ["ProcessManagerGiven", "ProcessManagerOutcome", "given_process_manager"]


def given_process_manager(manager: ProcessManager, *inputs: Any) -> ProcessManagerGiven:
    """The earlier inputs of one instance of a process manager: events, `Rejection`s and timers, in order.

    An event may be a `Stored` one, as for `given`.
    Raises `DomainError` for a mistake in the domain, `UnknownMessage` for an input that the manager does not
    handle, and `AssertionError` for a timer that was not set.
    """
    domain = manager.domain.compile()
    given = ProcessManagerGiven(domain.process_managers[manager.name], NO_INSTANCE, "", 0)
    for input in flattened(inputs):
        read = read_stored(domain.codec, input) if isinstance(input, Stored) else [input]
        for one in read:
            given = given.when(one).after
    return given


class ProcessManagerGiven:
    """One instance after its inputs. Made by `given_process_manager`."""

    def __init__(self, spec: ProcessManagerSpec, instance: Instance, key: str, handled: int) -> None:
        self._spec = spec
        self._instance = instance
        self._key = key
        self._handled = handled

    @property
    def state(self) -> Any:
        """The instance's state; None if there is none."""
        return self._instance.state

    @property
    def timers(self) -> list[Any]:
        """The timers that are set, the earliest first."""
        return [one.message for one in sorted(self._instance.timers, key=lambda one: one.due_us)]

    @property
    def due(self) -> list[tuple[datetime, Any]]:
        """When each timer that is set is due, in UTC, and the timer; the earliest first."""
        timers = sorted(self._instance.timers, key=lambda one: one.due_us)
        return [(EPOCH + timedelta(microseconds=one.due_us), one.message) for one in timers]

    def when(self, input: Any) -> ProcessManagerOutcome:
        """Give the instance an event, a `Rejection`, or a timer of its own that fires."""
        made = self._input(input)
        decision = decide(self._spec, self._instance, made) or Decision(self._instance)
        after = ProcessManagerGiven(self._spec, decision.instance, made.key, self._handled + 1)
        return ProcessManagerOutcome(after, input, decision)

    def _input(self, input: Any) -> Input:
        number, now = self._handled + 1, time.time_ns() // 1000
        name = self._spec.name
        if type(input) in self._spec.events:
            key = self._spec.events[type(input)].key_of(input)
            if key is None or (self._key and key != self._key):
                raise AssertionError(f"{input!r} is for the instance {key!r}, not for {self._key!r}")
            return Input("event", f"{name}:{number}", key, input, now, None, None, number)
        if isinstance(input, Rejection):
            return input_of_rejection(f"{name}:{number}:0", self._key, input, now, None)
        for timer in self._instance.timers:
            if timer.message == input and type(timer.message) is type(input):
                return input_of_timer(self._key, timer)
        if type(input) in self._spec.timers:
            raise AssertionError(f"{input!r} is not set; set are: {self.timers}")
        raise UnknownMessage(f"process manager {name!r} handles no {type(input).__name__}")


class ProcessManagerOutcome:
    """What an input led to; each assertion returns this outcome, and `after` is the instance then."""

    def __init__(self, after: ProcessManagerGiven, input: Any, decision: Decision) -> None:
        self.after = after
        self._input = input
        self._decision = decision

    def then(self, *commands: Any) -> ProcessManagerOutcome:
        """Exactly these commands are executed, in this order; without arguments, none."""
        asked = [one.message for one in self._decision.commands]
        compare(f"{self._input!r} leads to other commands", flattened(commands), asked)
        return self

    def then_effects(self, *effects: tuple[str, Any]) -> ProcessManagerOutcome:
        """Exactly these effects are asked for, each a name and a payload."""
        asked = [(one.name, one.message) for one in self._decision.effects]
        compare(f"{self._input!r} leads to other effects", effects, asked)
        return self

    def then_timers(self, *timers: Any) -> ProcessManagerOutcome:
        """Exactly these timers are set then, the earliest first."""
        compare(f"after {self._input!r} other timers are set", timers, self.after.timers)
        return self

    def then_state(self, state: Any) -> ProcessManagerOutcome:
        """The instance has this state then; None for an instance that has ended."""
        compare(f"{self._input!r} leads to another state", [state], [self.after.state])
        return self
