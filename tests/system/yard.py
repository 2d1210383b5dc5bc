"""The domain of the tests of worker processes: things are counted, and queries tell where they run, hang,
break and die.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors import Domain, Rejected

yard = Domain("yard")

POISON = "poison"


@yard.state(stream="thing-{name}")
class Thing:
    name: str
    count: int


@yard.event(Thing)
class Counted:
    name: str
    by: int


@yard.command(Thing)
class Count:
    name: str
    by: int = 1


@yard.decide
def count(thing: Thing | None, command: Count) -> Iterator[Counted]:
    yield Counted(command.name, command.by)


@yard.evolve
def counted(thing: Thing | None, event: Counted) -> Thing:
    return Thing(event.name, (thing.count if thing else 0) + event.by)


counts = yard.read_model("counts")
totals = counts.table("totals", key="name")


@counts.on
def count_one(event: Counted, tables: Any) -> None:
    row = tables[totals].get(event.name)
    tables[totals].put({"name": event.name, "total": (row["total"] if row else 0) + event.by})


noisy = yard.read_model("noisy", engine="sqlite", schema="CREATE TABLE heard (name TEXT, by INTEGER)")


@noisy.on
def print_it(event: Counted, connection: Any) -> None:
    print(f"heard {event.name}", flush=True)
    connection.execute("INSERT INTO heard VALUES (?, ?)", (event.name, event.by))


memory = yard.read_model("memory", engine="memory")
kept = memory.object("kept", dict)


@memory.on
def keep(event: Counted, objects: Any) -> None:
    objects[kept][event.name] = objects[kept].get(event.name, 0) + event.by


fragile = yard.read_model("fragile")
seen = fragile.table("seen", key="name")


@fragile.on
def look(event: Counted, tables: Any) -> None:
    if event.name == POISON:
        raise ValueError("it is poison")
    tables[seen].put({"name": event.name})


class TooFew(Rejected):
    """A refusal of this domain's own."""


@yard.query(reads=counts)
class TotalOf:
    name: str

    def run(self, view: Any) -> int:
        row = view[totals].get(self.name)
        return row["total"] if row else 0


@yard.query(reads=counts, cache=True)
class KeptTotalOf:
    name: str

    def run(self, view: Any) -> int:
        row = view[totals].get(self.name)
        return row["total"] if row else 0


@yard.query(reads=counts)
class Totals:
    def run(self, view: Any) -> dict[str, int]:
        return {row["name"]: row["total"] for row in view[totals].all()}


@yard.query(reads=[counts])
class Position:
    work: int = 0

    def run(self, view: Any) -> tuple[int, int, int]:
        """The position, the sum of all totals, and the process: with so many rounds of work before."""
        for _ in range(self.work):
            sum(range(1000))
        return view.position(), sum(row["total"] for row in view[totals].all()), os.getpid()


@yard.query(reads=[noisy])
class Heard:
    def run(self, view: Any) -> int:
        return int(view[noisy].execute("SELECT count(*) FROM heard").fetchone()[0])


@yard.query(reads=[memory])
class Kept:
    def run(self, view: Any) -> dict[str, int]:
        return dict(view[kept])


@yard.query(reads=[fragile])
class Seen:
    def run(self, view: Any) -> list[str]:
        return [row["name"] for row in view[seen].all()]


@yard.query(reads=[counts])
class Hang:
    """Says on one pipe that it runs, and hangs until another one has a reader's end."""

    fifo: str

    def run(self, view: Any) -> int:
        return len(Path(self.fifo).read_text())


@yard.query(reads=[counts])
class Die:
    """Takes its process along, as long as this file is there."""

    file: str

    def run(self, view: Any) -> str:
        if os.path.exists(self.file):
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"


@yard.query(reads=[counts])
class Large:
    size: int

    def run(self, view: Any) -> bytes:
        return bytes(self.size)


@yard.query(reads=[counts])
class Odd:
    def run(self, view: Any) -> Any:
        return [{"rows": object()}]


@yard.query(reads=[counts])
class Break:
    def run(self, view: Any) -> Any:
        raise LookupError("no such shelf", 7)


@yard.query(reads=[counts])
class Refuse:
    def run(self, view: Any) -> Any:
        raise TooFew("only three", code="too.few", left=3)
