"""Process managers over releases: one that is renamed goes on where it was; upcasters' events reach all."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import Domain, DomainError, InvalidMessage, Stored
from actors.testing import TestSystem
from tests.helpers import wait_until

HOUR = timedelta(hours=1)


def clinic(manager: str | None = "visits", *, version: int = 1, **options: Any) -> SimpleNamespace:
    """Patients arrive; the manager greets each at once, calls after an hour, and tells the ward outside."""
    domain = Domain("clinic")
    made = SimpleNamespace(domain=domain, told=[])

    @domain.state(stream="patient-{name}")
    class Patient:
        name: str

    @domain.event(Patient)
    class Arrived:
        name: str

    @domain.event(Patient)
    class Greeted:
        name: str
        times: int

    @domain.command(Patient)
    class Arrive:
        name: str

    @domain.command(Patient)
    class Greet:
        name: str
        times: int

    @domain.decide(Arrive, state=Patient | None)
    def arrive(_state: Any, command: Any) -> Any:
        yield Arrived(command.name)

    @domain.decide(Greet, state=Patient | None)
    def greet(_state: Any, command: Any) -> Any:
        yield Greeted(command.name, command.times)

    @domain.evolve(Arrived, Greeted, state=Patient | None)
    def evolve(_state: Any, event: Any) -> Any:
        return Patient(event.name)

    made.Arrive, made.Greeted = Arrive, Greeted
    if manager is None:
        return made
    worker = domain.process_manager(manager, start="beginning", key="name", version=version, **options)

    @worker.state
    class Visit:
        name: str
        calls: int

    @worker.timer
    class Call:
        name: str

    @worker.on(Arrived)
    def begin(visit: Visit | None, event: Arrived, do: Any) -> Visit:
        do.execute(Greet(event.name, 0))
        do.effect("tell", event.name)
        do.after(HOUR, Call(event.name))
        return visit or Visit(event.name, 0)

    @worker.on_timer
    def call(visit: Visit, timer: Call, do: Any) -> Visit:
        do.execute(Greet(timer.name, visit.calls + 1))
        return Visit(visit.name, visit.calls + 1)

    @worker.effect("tell")
    def tell(payload: str, key: str) -> None:
        made.told.append((payload, key))

    return made


def greeted(system: TestSystem, made: SimpleNamespace) -> Counter[Any]:
    events = [one.event for one in system.recorded_events()]
    return Counter((one.name, one.times) for one in events if type(one) is made.Greeted)


def test_a_renamed_manager_sends_nothing_again_and_its_timers_fire(store_path: Path) -> None:
    before = clinic("visits")
    with TestSystem.open(store_path, before.domain, replicas=1) as system:
        system.execute(before.Arrive("ann"))
        system.wait_process_managers()
        wait_until(lambda: len(before.told) == 1)
    after = clinic("reception", formerly="visits")
    with TestSystem.open(store_path, after.domain, replicas=1) as system:
        assert [one.name for one in system.process_managers()] == ["reception"]
        assert greeted(system, after) == Counter([("ann", 0)])
        system.advance(2 * HOUR)
        system.execute(after.Arrive("bob"))
        system.wait_process_managers()
        wait_until(lambda: len(after.told) == 1)
        # The clock is ahead: a timer that bob's arrival sets is due.
        assert greeted(system, after) == Counter([("ann", 0), ("ann", 1), ("bob", 0), ("bob", 1)])
        assert after.told[0][0] == "bob"
    # Without formerly=, once every store was opened with it; its ids stay what they were.
    later = clinic("reception", version=2)
    with TestSystem.open(store_path, later.domain, replicas=1) as system:
        system.wait_process_managers()
        system.advance(5 * HOUR)
        system.wait_process_managers()
        assert greeted(system, later) == Counter([("ann", 0), ("ann", 1), ("bob", 0), ("bob", 1)])
        assert system.process_manager_state("reception", "ann").calls == 1
        assert later.told == []
        with pytest.raises(InvalidMessage, match="ids that process manager 'visits'"):
            system.execute(later.Arrive("eve"), command_id="visits:1:0")


def test_two_managers_of_one_former_name_are_refused(store_path: Path) -> None:
    for name, accept in (("visits", ()), ("reception", ["visits"])):
        made = clinic(name)
        with TestSystem.open(store_path, made.domain, replicas=1, accept=accept) as system:
            system.execute(made.Arrive(name))
            system.wait_process_managers()
    with pytest.raises(DomainError, match="the store has both 'reception' and 'visits'"):
        TestSystem.open(store_path, clinic("reception", formerly="visits").domain, replicas=1)
    both = clinic("reception")
    both.domain.process_manager("visits", start="now", key="name", formerly=("reception", 3))
    with pytest.raises(DomainError, match=r"formerly='reception' is taken(.|\n)*formerly=3 is not the name"):
        both.domain.compile()


def test_a_new_manager_must_not_have_the_name_in_the_ids_of_a_renamed_one(store_path: Path) -> None:
    for made in (clinic("visits"), clinic("reception", formerly="visits")):
        with TestSystem.open(store_path, made.domain, replicas=1):
            pass
    both = clinic("reception")
    other = both.domain.process_manager("visits", start="now", key="name")
    other.state(type("Other", (), {"__annotations__": {"name": str}}))
    other.on(both.Greeted)(lambda state, event, do: state)
    with pytest.raises(DomainError, match="would both begin with 'visits'"):
        TestSystem.open(store_path, both.domain, replicas=1)


# -- what upcasters made of one event -------------------------------------------------------------
def parties(*, release: int, broken: bool = False, version: int = 1) -> SimpleNamespace:
    """In release 1 a party comes as one event; in release 2 it is read as one event for each guest."""
    domain = Domain("parties")
    made = SimpleNamespace(domain=domain, told=[])

    @domain.state(stream="house")
    class House:
        guests: int

    @domain.command(House)
    class Come:
        names: list[str]

    made.Come = Come
    if release == 1:

        @domain.event(House)
        class PartyCame:
            names: list[str]

        @domain.decide(Come, state=House | None)
        def come(_state: Any, command: Any) -> Any:
            yield PartyCame(command.names)

        @domain.evolve(PartyCame, state=House | None)
        def counted(state: Any, event: Any) -> Any:
            return House((state.guests if state else 0) + len(event.names))

        return made

    @domain.event(House)
    class GuestCame:
        name: str

    @domain.event(House, state=None)
    class Welcomed:
        name: str
        number: int

    @domain.command(House)
    class Welcome:
        name: str
        number: int

    @domain.upcast("PartyCame", gone=True)
    def one_by_one(fields: dict[str, Any]) -> list[Stored]:
        return [Stored("GuestCame", {"name": name}) for name in fields["names"]]

    @domain.decide(Come, state=House | None)
    def come(_state: Any, command: Any) -> Any:
        return [GuestCame(name) for name in command.names]

    @domain.decide(Welcome, state=House | None)
    def welcome(_state: Any, command: Any) -> Any:
        yield Welcomed(command.name, command.number)

    @domain.evolve(GuestCame, state=House | None)
    def counted(state: Any, _event: Any) -> Any:
        return House((state.guests if state else 0) + 1)

    host = domain.process_manager("host", start="beginning", key="name", version=version)

    @host.state
    class Guest:
        name: str
        visits: int

    @host.on(GuestCame)
    def come_in(guest: Guest | None, event: GuestCame, do: Any) -> Guest:
        if broken and event.name == "bob":
            raise ValueError("bob is not on the list")
        number = (guest.visits if guest else 0) + 1
        do.execute(Welcome(event.name, number))
        do.effect("tell", [event.name, number])
        return Guest(event.name, number)

    @host.effect("tell")
    def tell(payload: Any, key: str) -> None:
        made.told.append((*payload, key))

    made.Welcomed = Welcomed
    return made


def test_a_manager_handles_each_part_of_a_split_event_once_across_restarts_and_rebuilds(
    store_path: Path,
) -> None:
    first = parties(release=1)
    with TestSystem.open(store_path, first.domain, replicas=1) as system:
        system.execute(first.Come(["ann", "bob", "ann"]))
        system.execute(first.Come([]))
        system.execute(first.Come(["eve"]))
    expected = Counter([("ann", 1), ("ann", 2), ("bob", 1), ("eve", 1)])

    def welcomed(system: TestSystem, made: SimpleNamespace) -> Counter[Any]:
        events = [one.event for one in system.recorded_events()]
        return Counter((one.name, one.number) for one in events if type(one) is made.Welcomed)

    second = parties(release=2, broken=True)
    with TestSystem.open(store_path, second.domain, replicas=1) as system:
        wait_until(lambda: len(system.quarantined_instances("host")) == 1)
        wait_until(lambda: welcomed(system, second) == expected - Counter([("bob", 1)]))
    mended = parties(release=2)
    with TestSystem.open(store_path, mended.domain, replicas=1) as system:
        system.wait_process_managers()
        wait_until(lambda: welcomed(system, mended) == expected)
        wait_until(lambda: len(second.told) + len(mended.told) == 4)
        assert len({key for *_, key in second.told + mended.told}) == 4
    rebuilt = parties(release=2, version=2)
    with TestSystem.open(store_path, rebuilt.domain, replicas=1) as system:
        system.wait_process_managers()
        assert welcomed(system, rebuilt) == expected
        assert rebuilt.told == []
        states = {name: system.process_manager_state("host", name).visits for name in ("ann", "bob", "eve")}
        assert states == {"ann": 2, "bob": 1, "eve": 1}
