"""A domain whose process manager keeps personal values in states, timers and effects."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Annotated

from actors import Do, Domain, Personal

letters = Domain("letters")
Text = Annotated[str, Personal(subject="customer")]


@letters.value
class Letter:
    customer: str
    address: Text


@letters.state(stream="customer-{customer}")
class Customer:
    customer: str


@letters.event(Customer, state=None)
class Moved:
    customer: str
    address: Text


@letters.command(Customer)
class Move:
    customer: str
    address: Text


@letters.decide
def move(customer: Customer | None, command: Move):
    yield Moved(command.customer, command.address)


welcome = letters.process_manager("welcome", key="customer", start="beginning")


@welcome.state
class Welcome:
    customer: str
    address: Text


@welcome.timer
class Remind:
    customer: str
    address: Text


@welcome.on
def on_moved(state: Welcome | None, event: Moved, do: Do) -> Welcome:
    do.effect("post", Letter(event.customer, event.address))
    do.after(timedelta(days=1), Remind(event.customer, event.address))
    return Welcome(event.customer, event.address)


@welcome.on_timer
def on_remind(state: Welcome, timer: Remind, do: Do) -> None:
    do.effect("post", Letter(timer.customer, f"again {timer.address} {state.address}"))


open_hours = threading.Event()
posted: list[str] = []


@welcome.effect("post")
def post(letter: Letter, _key: str) -> None:
    if not open_hours.is_set():
        raise ConnectionError("the post office is closed")
    posted.append(letter.address)
