"""A domain in which everything that a user's code can do wrong may be asked for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

from actors import Domain
from actors.system.system import System

trouble = Domain("trouble")


class Gates:
    """What hanging code waits for; the fixture `gates` opens them again."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.fragile_fails = False
        self.padding = 0

    def hang(self) -> None:
        """Wait until the test lets go."""
        self.entered.set()
        assert self.release.wait(60)


gates = Gates()


@trouble.state(stream="thing-{id}")
class Thing:
    id: str
    size: int


@trouble.event(Thing)
class Added:
    id: str
    size: int


@trouble.event(Thing, state=None)
class Stored:
    id: str
    blob: bytes


@trouble.event(Thing)
class Broken:
    id: str


@trouble.event(Thing, state=None)
class Touched:
    id: str


@trouble.value
class NoEvent:
    id: str


@trouble.command(Thing)
class Add:
    id: str
    size: int = 1


@trouble.command(Thing)
class Store:
    id: str
    blob: bytes


@trouble.command(Thing)
class Touch:
    id: str


@trouble.command(Thing)
class Misbehave:
    id: str
    how: str


@trouble.decide
def add(thing: Thing | None, command: Add) -> Iterator[Any]:
    yield Added(command.id, command.size)


@trouble.decide
def store(thing: Thing | None, command: Store) -> Iterator[Any]:
    yield Stored(command.id, command.blob)


@trouble.decide
def touch(thing: Thing | None, command: Touch) -> Iterator[Any]:
    yield Touched(command.id)


@trouble.decide
def misbehave(thing: Thing | None, command: Misbehave) -> Any:
    return MISDEEDS[command.how](command.id)


def _raise(id: str) -> Any:
    raise RuntimeError("the decider is broken")


def _raise_late(id: str) -> Iterator[Any]:
    yield Added(id, 1)
    raise RuntimeError("broken after an event")


def _hang(id: str) -> Iterator[Any]:
    gates.hang()
    yield Added(id, 1)


MISDEEDS: dict[str, Any] = {
    "raises": _raise,
    "raises after an event": _raise_late,
    "recurses without end": lambda id: MISDEEDS["recurses without end"](id),
    "yields what is no event": lambda id: iter([Added(id, 1), NoEvent(id)]),
    "yields a command": lambda id: [Add(id)],
    "returns a number": lambda id: 42,
    "returns text": lambda id: "done",
    "exits": lambda id: sys.exit(3),
    "yields without end": lambda id: (Touched(id) for _ in count()),
    "yields an event of wrong fields": lambda id: [Added(id, "big")],
    "yields an event of another shape": lambda id: [Broken(id)],
    "hangs": _hang,
}


@trouble.evolve
def added(thing: Thing | None, event: Added) -> Thing:
    return Thing(event.id, event.size)


@trouble.evolve
def broken(thing: Thing | None, event: Broken) -> Thing:
    raise RuntimeError("the evolver is broken")


sizes = trouble.read_model("sizes")
things = sizes.table("things", key="id")


@sizes.on
def on_added(event: Added, tables: Any) -> None:
    tables[things].put({"id": event.id, "size": event.size})


fragile = trouble.read_model("fragile")
touches = fragile.table("touches", key="position")


@fragile.on
def on_touched(event: Touched, tables: Any, recorded: Any) -> None:
    if gates.fragile_fails:
        raise RuntimeError(f"can't stand {event.id}")
    tables[touches].put({"position": recorded.position, "id": event.id, "pad": "x" * gates.padding})


@trouble.query(reads=[sizes])
class SizeOf:
    id: str

    def run(self, view: Any) -> int | None:
        row = view[things].get(self.id)
        return None if row is None else row["size"]


@trouble.query(reads=[fragile])
class TouchedIds:
    def run(self, view: Any) -> list[str]:
        return [row["id"] for row in view[touches].all()]


@trouble.query(reads=[sizes])
class Misask:
    how: str

    def run(self, view: Any) -> Any:
        if self.how == "raises":
            raise RuntimeError("the query is broken")
        if self.how == "raises late":
            return (1 // 0 for _ in range(1))
        if self.how == "exits":
            sys.exit(3)
        if self.how == "reads what it did not declare":
            return view[touches].get(1)
        gates.hang()
        return "at last"


def still_serves(system: System, id: str = "fine") -> None:
    """A new command and a query that must see it."""
    receipt = system.execute(Add(id, 7))
    assert receipt.last
    assert system.query(SizeOf(id), after=receipt) == 7
