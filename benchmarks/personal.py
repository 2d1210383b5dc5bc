"""`make bench-personal`: what personal fields cost, for a command, for a replay and in bytes; and forgetting.

Domains that differ in nothing but `Personal` execute the same commands, in turn: with no personal field, with
none in this class but in another one, with one, and with four. The time is that of the whole process on a
processor, so with one replica that applies the events. The commands are of people who have a key, but for the
rows in which each is of a new person. Then a store forgets people and is compacted.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from actors import Domain, Personal, System
from actors.runtime.compaction import compact_store
from benchmarks.machine import machine
from benchmarks.progress import show_progress
from storage.crypto.master_key import new_key_file

BATCH = 1_000
PEOPLE = 1_000
NEW = "new people"
"""In the names of variants whose commands are each of another person, and so of another stream."""
TIMEOUT = 3_600.0
TEXT: Any = Annotated[str, Personal(subject="person")]


class Variant(NamedTuple):
    """A domain, its command, and its read model."""

    domain: Domain
    command: Any
    model: Any


def variant(personal: int, *, elsewhere: bool = False) -> Variant:
    """A domain in which so many of four fields are personal; or one of another class, `elsewhere`."""
    types: list[Any] = [TEXT if number < personal else str for number in range(4)]
    domain = Domain("people")
    fields = {"person": str, "name": types[0], "street": types[1], "city": types[2], "phone": types[3]}

    def declared(name: str) -> type:
        return type(name, (), {"__annotations__": dict(fields), "__module__": __name__})

    person: Any = domain.state(stream="person-{person}")(declared("Person"))
    told: Any = domain.event(person)(declared("Told"))
    tell: Any = domain.command(person)(declared("Tell"))
    if elsewhere:
        other = type("Other", (), {"__annotations__": {"person": str, "name": TEXT}, "__module__": __name__})
        domain.event(state=None)(other)

    def decide(_state: Any, command: Any) -> Any:
        yield told(command.person, command.name, command.street, command.city, command.phone)

    def evolve(_state: Any, event: Any) -> Any:
        return person(event.person, event.name, event.street, event.city, event.phone)

    decide.__annotations__ = {"_state": person | None, "command": tell}
    evolve.__annotations__ = {"_state": person | None, "event": told, "return": person}
    domain.decide(decide)
    domain.evolve(evolve)
    model = domain.read_model("people", version=1)
    rows = model.table("rows", key="person")

    def project(event: Any, tables: Any) -> None:
        tables[rows].put({"person": event.person, "name": event.name, "city": event.city})

    project.__annotations__ = {"event": told}
    model.on(project)
    return Variant(domain, tell, model)


VARIANTS = {
    "no personal field": variant(0),
    "none in this class": variant(0, elsewhere=True),
    "1 personal field": variant(1),
    "4 personal fields": variant(4),
    "no personal field, new people": variant(0),
    "4 personal fields, new people": variant(4),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.personal", description=__doc__)
    parser.add_argument("--commands", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--people", type=int, default=100, help="how many are forgotten")
    parser.add_argument("--dir", default=None, help="where the stores are made")
    options = parser.parse_args(arguments)
    executed: dict[str, list[float]] = {name: [] for name in VARIANTS}
    replayed: dict[str, list[float]] = {name: [] for name in VARIANTS}
    sizes: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=options.dir) as path:
        folder = Path(path)
        master = new_key_file(folder / "master")
        for number in range(options.rounds):
            for name in list(VARIANTS) if number % 2 == 0 else reversed(VARIANTS):
                show_progress(f"round {number + 1} of {options.rounds}: {name}")
                store = folder / "store"
                executed[name].append(execute(store, master, name, options.commands))
                sizes[name] = (store / "data.mdb").stat().st_size / options.commands
                replayed[name].append(replay(store, master, name, options.commands))
                shutil.rmtree(store)
        forgotten = forget(folder / "forgotten", master, options.commands, options.people)
    show_progress("")
    print(machine())
    print(
        f"\n| {options.commands:,} commands | microseconds of CPU for each | beside none "
        "| microseconds for each event of a replay | bytes of the log for each |"
        "\n| --- | ---: | ---: | ---: | ---: |"
    )
    for name, found in executed.items():
        without = "no personal field, new people" if NEW in name else "no personal field"
        ratios = [one / base for one, base in zip(found, executed[without], strict=True)]
        print(
            f"| {name} | {statistics.median(found):.1f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) | {statistics.median(replayed[name]):.1f} "
            f"| {sizes[name]:.0f} |"
        )
    print(f"\n{forgotten}")
    return 0


def commands(command: Any, first: int, count: int, *, new: bool) -> list[Any]:
    return [
        command(f"p{at if new else at % PEOPLE}", f"Name {at}", f"Street {at}", f"City {at}", f"{at:08}")
        for at in range(first, first + count)
    ]


def execute(store: Path, master: Path, name: str, count: int) -> float:
    """Microseconds of the processor for each command."""
    one = VARIANTS[name]
    new = NEW in name
    with System.open(store, one.domain, replicas=1, master_key=master) as system:
        if not new:
            system.execute_many(commands(one.command, 0, PEOPLE, new=True))
            system.wait_applied(timeout=TIMEOUT)
        made = [
            commands(one.command, first, min(BATCH, count - first), new=new)
            for first in range(0, count, BATCH)
        ]
        started = time.process_time()
        for batch in made:
            system.execute_many(batch)
        system.wait_applied(timeout=TIMEOUT)
        return (time.process_time() - started) / count * 1e6


def replay(store: Path, master: Path, name: str, count: int) -> float:
    """Microseconds of the processor for each event that an empty replica applies."""
    shutil.rmtree(store / "replicas")
    started = time.process_time()
    with System.open(store, VARIANTS[name].domain, replicas=1, master_key=master) as system:
        system.wait_applied(timeout=TIMEOUT)
        return (time.process_time() - started) / count * 1e6


def forget(store: Path, master: Path, count: int, people: int) -> str:
    """Forget people of a store of so many commands, compact it, and say how long that took."""
    one = VARIANTS["4 personal fields"]
    with System.open(store, one.domain, master_key=master) as system:
        for first in range(0, count, BATCH):
            show_progress(f"writing {first:,} of {count:,} commands")
            system.execute_many(commands(one.command, first, min(BATCH, count - first), new=False))
        system.wait_applied(timeout=TIMEOUT)
        show_progress(f"forgetting {people} people")
        started = time.perf_counter()
        system.forget([f"p{number}" for number in range(people)], timeout=TIMEOUT)
        returned = time.perf_counter() - started
        system.wait_rebuilt(one.model, timeout=TIMEOUT)
        filled = time.perf_counter() - started
    started = time.perf_counter()
    done = compact_store(store)
    return (
        f"Forgetting {people} people of {PEOPLE:,}, in a store of {count:,} events with 3 replicas: "
        f"{returned:.2f} s until the call returns, {filled:.1f} s until every replica is filled again. "
        f"Compacting it: {time.perf_counter() - started:.1f} s, from {done.before >> 20:,} to "
        f"{done.after >> 20:,} MiB."
    )


if __name__ == "__main__":
    raise SystemExit(main())
