"""The shop without an engine: deciders and evolvers run over a dict of states, events are kept in a list."""

from __future__ import annotations

from typing import Any

import pytest

from actors import Rejected
from actors.demo.shop import shop


class PlainShop:
    """Executes commands one after the other; a rejected one leaves nothing."""

    def __init__(self) -> None:
        self._domain = shop.compile()
        self.states: dict[str, Any] = {}
        self.events: list[Any] = []

    def read(self, state: type, *fields: Any, **named: Any) -> Any:
        return self.states.get(self._domain.states[state].stream_for(*fields, **named))

    def execute(self, *commands: Any) -> list[Any]:
        """The events of the last command."""
        events: list[Any] = []
        for command in commands:
            spec = self._domain.commands[type(command)]
            spec.check(command)
            if spec.validate is not None:
                spec.validate(command)
            state = self.states.get(spec.stream_of(command))
            decider = spec.deciders[None if state is None else type(state)]
            extra = (self.read,) if decider.wants_read else ()
            events = list(decider.fn(state, command, *extra))
            for event in events:
                self._evolve(event)
            self.events += events
        return events

    def rejects(self, command: Any) -> Rejected:
        """The command's rejection, after checking that it left nothing behind."""
        before = dict(self.states), len(self.events)
        with pytest.raises(Rejected) as caught:
            self.execute(command)
        assert (self.states, len(self.events)) == before
        return caught.value

    def _evolve(self, event: Any) -> None:
        spec = self._domain.events[type(event)]
        assert spec.stream_of is not None
        assert spec.evolvers is not None
        stream = spec.stream_of(event)
        state = self.states.get(stream)
        self.states[stream] = spec.evolvers[None if state is None else type(state)](state, event)


@pytest.fixture
def plain() -> PlainShop:
    return PlainShop()
