"""Mistakes that mypy and pyright are to flag: those lines that say so, and no others. Never run."""

from __future__ import annotations

from dataclasses import replace

from actors import Delivery, Do, Reader, Rejection, Session, System, View
from actors.testing import TestSystem, given
from examples.clinic import base, reminders
from examples.clinic.appointments import (
    AppointmentBooked,
    Book,
    Booked,
    Cancel,
    Closed,
    Doctor,
    Hold,
    Reminded,
)
from examples.clinic.overview import Busy, DayOf, FindPatients, entries

slot = base.Slot("weiss", 1)
contact = base.Contact(base.ReachedBy("mail"), "a@example.org")


def messages() -> None:
    Booked("1", "ann", slot)
    Booked("1", "ann", 7)  # flagged: a number for a slot
    Doctor("weiss", subjects=["feet"])
    Doctor("weiss", subjects="feet")  # flagged: a text for a list
    Reminded("1")  # flagged: a field is missing
    Cancel(appointment="1", reason="ill", by="ann")  # flagged: there is no such field
    Hold("1").appointment = "2"  # flagged: it is frozen
    slot.number = 2  # flagged: it is frozen
    replace(contact, address="b@example.org")
    reminders.Waiting("1", contact, "two")  # flagged: a text for a number
    reminders.GiveUp("1")  # flagged: a timer's field is missing
    DayOf("weiss", "monday")  # flagged: a text for a number
    base.Urgency("now").value.upper()
    base.Contact("mail", "a@example.org")  # flagged: a text for a member of an Enum
    base.Urgency.LATER  # flagged: no such member


def answers(system: System, session: Session) -> None:
    for line in system.query(DayOf("weiss")):
        line.patient.upper()
        line.doctor  # flagged: the lines of the answer have no such attribute
    system.query(FindPatients("a")).append("b")  # flagged: the answer is a dict
    session.query(Busy("weiss"))[0].upper()  # flagged: the answer has two numbers
    system.query_many([Busy("weiss")])[0].count(3)
    system.query_many([Busy("weiss")])[0].missing  # flagged: the answers are tuples
    session.query_many([FindPatients("a")])[0].missing  # flagged: the answers are dicts
    system.query_at(DayOf("weiss"))[1].upper()  # flagged: a position is a number
    for counts in system.watch(Busy("weiss")):
        counts.missing  # flagged: what is watched is a tuple
    system.query(Hold("1"))  # flagged: a command is no query
    system.execute(Hold("1")).missing  # flagged: a receipt has no such attribute
    system.execute(Hold("1"), retries=3)  # flagged: there is no such option
    system.query(Busy("weiss"), consistency="weak")  # flagged: there is no such consistency


async def answers_to_tasks(system: System, session: Session) -> None:
    (await system.aquery(FindPatients("a"))).append("b")  # flagged: the answer is a dict
    (await session.aquery(FindPatients("a"))).append("b")  # flagged: the answer is a dict
    (await system.aquery_many([Busy("weiss")]))[0].missing  # flagged: the answers are tuples
    (await system.aquery_at(Busy("weiss")))[0].missing  # flagged: the answer is a tuple
    async for counts in system.watch(Busy("weiss")):
        counts.missing  # flagged: what is watched is a tuple


def rules(read: Reader, view: View, do: Do, rejection: Rejection[Book], delivery: Delivery) -> None:
    doctor = read(Doctor, "weiss")
    doctor.subjects  # flagged: there may be none
    if doctor is not None:
        doctor.subjects.append("hands")
        doctor.patients  # flagged: a doctor has no such attribute
    either = read(Booked | Closed, "1")
    if isinstance(either, Closed):
        either.held.bit_length()
    rejection.command.slot.number.bit_length()
    rejection.command.reason  # flagged: the command that was refused has no such field
    view[entries].put({})  # flagged: a view only reads
    do.after(5, reminders.Remind("1"))  # flagged: a number for a timedelta
    delivery.ack("later")  # flagged: a text for a yes or no


def kit(system: TestSystem) -> None:
    system.query(FindPatients("a")).append("b")  # flagged: the answer is a dict
    given(base.clinic).query(Busy("weiss"))[0].upper()  # flagged: the answer has two numbers
    state = given(base.clinic).state(Doctor, "weiss")
    state.subjects  # flagged: there may be none


def declarations() -> None:
    @base.clinic.state(stream="room-{room}", snapshot_every="often")  # flagged: a text for a number
    class Room:
        room: str

    @base.clinic.query()  # flagged: it reads nothing
    class Rooms:
        def run(self, view: View) -> list[str]:
            return []

    @base.clinic.decide(Book)
    def decide(state: None, command: Book) -> AppointmentBooked:
        return AppointmentBooked(command.appointment, command.patient, command.slot, command.contact)

    decide(None, Hold("1"))  # flagged: the function is what it was, for another command
    Room(1)  # flagged: a number for a text
