"""What people do with the running system: who books, who looks, and who keeps it going."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from actors import Delivery, Receipt, Rejected, System, words
from examples.clinic import base
from examples.clinic.appointments import (
    AddDoctor,
    AppointmentBooked,
    Book,
    Hold,
    RoomMeasured,
)
from examples.clinic.overview import (
    Busy,
    DayOf,
    FindPatients,
    Line,
    by_doctor,
    diary,
    entries,
    figures,
    patients,
)


def booking(number: int, patient: str, address: str = "mail@example.org") -> Book:
    contact = base.Contact(base.ReachedBy("mail"), address)
    return Book(f"{patient}-{number}", patient, base.Slot("weiss", number), contact, base.Urgency("soon"))


def front_desk(system: System) -> Iterator[str]:
    """Books, cancels and reads its own writes."""
    with system.session() as session:
        session.execute(AddDoctor("weiss", ["hands", "feet"]), command_id="weiss-joins")
        receipt: Receipt = session.execute(booking(1, "ann"), expected_version=0, metadata={"desk": "front"})
        day: list[Line] = session.query(DayOf("weiss"))
        yield f"{day[0].patient} comes at {day[0].number}, as position {receipt.position} says"
        outcomes = session.execute_many([booking(1, "bob"), booking(2, "bob")], return_exceptions=True)
        refused = [one.details["by"] for one in outcomes if isinstance(one, Rejected)]
        yield f"taken by {refused}"
        session.submit(booking(40, "cyd", address="")).result(timeout=30)
        session.append("room-1", [RoomMeasured("1", 21.5)])
        with session.view(diary, figures) as view:
            rows, counts = list(view[entries].find(words("patient"), "ann")), view[by_doctor]
            yield f"{len(rows)} rows, {counts} at {view.position()} of {session.position}"
        first, second = session.query_many([Busy("weiss"), Busy("nobody")])
        yield f"busy: {first[0]} of {first[1]}, nobody: {second[0]}"
        token = session.token
    found: dict[str, int] = system.session(token).query(FindPatients("a"), max_lag=0)
    yield f"found {found}"


async def home_page(system: System) -> list[str]:
    """Everything at once, on one event loop."""
    session = system.session()
    receipt = await system.aexecute(booking(3, "dan"))
    await session.aexecute(booking(4, "eve"))
    await system.aexecute_many([booking(5, "fay"), booking(6, "gus")], timeout=30)
    await session.aexecute_many([Hold("ann-1")])
    day, position = await system.aquery_at(DayOf("weiss"), after=receipt)
    here = await session.aquery(Busy("weiss"))
    both = await asyncio.gather(
        system.aquery_many([DayOf("weiss"), DayOf("weiss", day=1)], consistency="strong"),
        session.aquery_many([FindPatients("d"), FindPatients("e")]),
    )
    names = [line.patient for lines in both[0] for line in lines] + [name for one in both[1] for name in one]
    seen: Line | None = None
    async for lines in system.watch(DayOf("weiss"), until=position, timeout=10):
        seen = lines[0]
    again = await system.aquery(DayOf("weiss"))
    return [f"{len(day)} lines, {here[0]} ever, {seen == again[0]}", " ".join(sorted(set(names)))]


def back_office(system: System) -> Iterator[str]:
    """Follows what happens, by itself and with consumers that are remembered by name."""
    events = [one.event for one in system.subscribe(0, until=system.position, types=AppointmentBooked)]
    yield f"{len(events)} bookings; {[one.version for one in system.stream('appointment-ann-1')]}"
    yield f"{system.streams('room-')} {len(system.tagged('patient-bob'))} of bob"

    def post(delivery: Delivery) -> None:
        if isinstance(delivery.event, AppointmentBooked) and not delivery.event.contact.address:
            delivery.park("no address")

    with system.consume("letters", post, threads=2, category="appointment", until=system.position) as letters:
        letters.wait(timeout=30)
    for parked in system.parked_streams("letters"):
        yield f"parked: {parked.stream}, {parked.reason}"
    system.replay_parked("letters")
    with system.consumer("letters", category="appointment", timeout=1.0) as consumer:
        for delivery in consumer:
            if not delivery.park("still none"):
                delivery.ack()
            break
    for parked in system.parked_streams("letters"):
        system.discard_parked("letters", parked.stream, following=True)
    yield f"{[one.name for one in system.consumers()]} at the end"
    system.delete_consumer("letters")


def caretaker(system: System) -> Iterator[str]:
    """Looks after the whole: health, models that are built again, effects and handlers that failed."""
    system.wait_applied()
    system.wait_process_managers()
    for effect in system.effects("follow-up"):
        if effect.parked is not None:
            system.drop_effect("follow-up", effect.key)
        else:
            system.retry_effect("follow-up", effect.key)
    system.rebuild(diary)
    system.wait_rebuilt(diary, timeout=60)
    health = system.health()
    for replica in health.replicas:
        for model in replica.models:
            if model.stopped_at is not None and model.name == diary.name:
                system.skip_event(diary, model.stopped_at, "a line that nobody needs")
    for process in system.process_managers():
        if process.stopped_at is not None:
            system.skip_process_manager(process.name, "told the patient on the phone")
        for aside in system.quarantined_instances(process.name):
            if not system.retry_instance(process.name, aside.key):
                system.skip_instance(process.name, aside.key, "it is looked after by hand")
    waiting = system.process_manager_states("follow-up")
    state = system.process_manager_state("follow-up", waiting[0][0])
    yield f"{health.status}: {len(waiting)} waiting, first {state.contact.by.name}, {list(system.rebuilds())}"
    name = system.replica_names[0]
    yield f"{len(system.dump(name, diary)['entries'])} entries on {name}, skipped {system.skipped_events()}"
    digests = {system.digest(one, diary) for one in system.replica_names}
    yield f"{len(digests)} digest of the diary on {len(system.replica_names)} replicas"
    yield f"{name} is back: {system.kill(name)}"
    answer, position = system.query_at(Busy("weiss"), consistency="strong")
    many = system.query_many([DayOf("weiss"), DayOf("weiss", 1)])
    with system.view(patients) as view:
        known = view[patients].execute("SELECT count(*) FROM contacts").fetchone()[0]
    lines = sum(map(len, many))
    yield f"{answer[0]} booked at {position}, {lines} lines, {known} patients of {system.domain.name}"
