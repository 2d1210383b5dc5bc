"""The domain of the tests of calls that are tried several times: a till that counts what is paid, and each
payment again.

`till_of` makes a domain anew, so that each test may put its own middleware around it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from actors import Domain, Rejected
from tests.helpers import PATIENCE


def till_of(*middleware: Callable[[Any], Any]) -> SimpleNamespace:
    """A `domain` with this middleware, the first one outermost, and its classes.

    The command's check calls `checked(command)`, and the decider `busy(command)` first: they do nothing
    unless a test puts something in their place.
    """
    domain = Domain("till")
    made = SimpleNamespace(domain=domain, busy=lambda _command: None, checked=lambda _command: None)

    @domain.state(stream="till-{name}")
    class Till:
        name: str
        paid: int

    @domain.event(Till)
    class Paid:
        name: str
        amount: int

    @domain.command(Till)
    class Pay:
        name: str
        amount: int = 1

        def validate(self) -> None:
            made.checked(self)

    @domain.decide
    def pay(_till: Till | None, command: Pay) -> Any:
        made.busy(command)
        if command.amount < 0:
            raise Rejected("nothing is paid back", code="negative")
        yield Paid(command.name, command.amount)

    @domain.evolve
    def paid(till: Till | None, event: Paid) -> Till:
        return Till(event.name, (till.paid if till else 0) + event.amount)

    for order, one in enumerate(middleware):
        domain.around_command(order=order)(one)
    made.Pay, made.Paid = Pay, Paid
    return made


class Gate:
    """Shut until it is opened; who comes to it waits, and is counted."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.came = 0

    def __call__(self, *_anything: Any) -> None:
        self.came += 1
        self._open.wait(PATIENCE)

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()


def amounts(system: Any) -> list[int]:
    """What was paid, in the order of the log."""
    return [recorded.event.amount for recorded in system.subscribe(until=system.position)]
