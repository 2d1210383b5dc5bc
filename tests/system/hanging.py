"""The domain of the tests of what hangs: every kind of the program's own code can be made to, until a file is
gone.

A file, since some of it runs in worker processes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from actors import Do, Domain

hall = Domain("hall")
LONGEST = 60.0
"""Seconds after which what hangs lets go all the same, so that a test that fails does not leave it behind."""


def hang(gate: str) -> None:
    """Return once the file is gone."""
    end = time.monotonic() + LONGEST
    never = threading.Event()
    while gate and os.path.exists(gate) and time.monotonic() < end:
        never.wait(0.005)


@hall.state(stream="guest-{guest}")
class Guest:
    guest: str
    visits: int


@hall.event(Guest)
class Came:
    """A guest came; `hangs` says what does, while the file `gate` is there."""

    guest: str
    hangs: str = ""
    gate: str = ""


@hall.command(Guest)
class Come:
    guest: str
    hangs: str = ""
    gate: str = ""


@hall.decide
def come(guest: Guest | None, command: Come) -> Iterator[Came]:
    if command.hangs == "decider":
        hang(command.gate)
    yield Came(command.guest, command.hangs, command.gate)


@hall.evolve
def came(guest: Guest | None, event: Came) -> Guest:
    if event.hangs == "evolver":
        hang(event.gate)
    return Guest(event.guest, 1 + (guest.visits if guest else 0))


book = hall.read_model("book")
visits = book.table("visits", key="position")


@book.on
def on_came(event: Came, tables: Any, recorded: Any) -> None:
    if event.hangs == "projection":
        hang(event.gate)
    tables[visits].put({"position": recorded.position, "guest": event.guest})


other = hall.read_model("other")
counts = other.table("counts", key="guest")


@other.on
def count(event: Came, tables: Any) -> None:
    row = tables[counts].get(event.guest) or {"count": 0}
    tables[counts].put({"guest": event.guest, "count": row["count"] + 1})


door = hall.read_model("door", inline=True)
seen = door.table("seen", key="guest")


@door.on
def let_in(event: Came, tables: Any) -> None:
    if event.hangs == "inline":
        hang(event.gate)
    tables[seen].put({"guest": event.guest})


@hall.query(reads=[book])
class Visits:
    def run(self, view: Any) -> list[str]:
        return [row["guest"] for row in view[visits].all()]


@hall.query(reads=[book])
class Slow:
    gate: str

    def run(self, view: Any) -> int:
        hang(self.gate)
        return len(view[visits])


sent: list[str] = []
"""What the effect delivered, by key of the effect."""
greeter = hall.process_manager("greeter", key="guest", start="beginning")


@greeter.state
class Greeting:
    guest: str


@greeter.on
def on_guest(state: Greeting | None, event: Came, do: Do) -> Greeting:
    if event.hangs == "handler":
        hang(event.gate)
    do.effect("greet", {"guest": event.guest, "gate": event.gate if event.hangs == "effect" else ""})
    return Greeting(event.guest)


@greeter.effect("greet")
def greet(payload: Any, key: str) -> None:
    hang(payload["gate"])
    sent.append(f"{payload['guest']} {key.split(':')[1]}")
