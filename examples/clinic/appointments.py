"""The write side: doctors and their appointments, which are booked and then held or cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from actors import Reader, Rejected, Tables, each
from examples.clinic import base

DAY = 32
"""Slots of a day."""


# -- doctors --------------------------------------------------------------------------------
@base.clinic.state(stream="doctor-{doctor}", snapshot_every=50)
class Doctor:
    doctor: str
    subjects: list[str] = field(default_factory=list[str])


@base.clinic.event(Doctor)
class DoctorJoined:
    doctor: str
    subjects: list[str]


@base.clinic.command(Doctor)
class AddDoctor:
    doctor: str
    subjects: list[str] = field(default_factory=list[str])


@base.clinic.decide
def add_doctor(state: None, command: AddDoctor) -> DoctorJoined:
    return DoctorJoined(command.doctor, command.subjects)


@base.clinic.evolve
def doctor_joined(state: None, event: DoctorJoined) -> Doctor:
    return Doctor(event.doctor, event.subjects)


# -- appointments ---------------------------------------------------------------------------
@base.clinic.state(stream="appointment-{appointment}")
class Booked:
    appointment: str
    patient: str
    slot: base.Slot


@base.clinic.state(stream="appointment-{appointment}")
class Closed:
    appointment: str
    held: bool


@base.clinic.event(Booked, tags="patient-{patient}")
class AppointmentBooked:
    appointment: str
    patient: str
    slot: base.Slot
    contact: base.Contact
    urgency: base.Urgency = base.Urgency.ROUTINE


@base.clinic.event(Booked, tags=["patient-{patient}"])
class AppointmentCancelled:
    appointment: str
    patient: str
    slot: base.Slot
    reason: str


@base.clinic.upcast("AppointmentCancelled")
def cancelled_without_a_reason(fields: dict[str, Any]) -> dict[str, Any]:
    """The first release asked for no reason."""
    return {"reason": "not known", **fields}


@base.clinic.event(Booked, name="AppointmentHeld")
class Held:
    appointment: str
    slot: base.Slot


@base.clinic.event(Booked, state=None)
class Reminded:
    appointment: str
    times: int


@base.clinic.event(state=None)
class RoomMeasured:
    """A fact from outside: the temperature of a room, in degrees."""

    room: str
    degrees: float


@base.clinic.command(Booked)
class Book:
    appointment: str
    patient: str
    slot: base.Slot
    contact: base.Contact
    urgency: base.Urgency = base.Urgency.ROUTINE

    def validate(self) -> None:
        if self.slot.number < 0:
            raise Rejected("the clinic was not there yet", code="slot.past")


@base.clinic.command(Booked)
class Cancel:
    appointment: str
    reason: str


@base.clinic.command(Booked, name="HoldAppointment")
class Hold:
    appointment: str


@base.clinic.command(Booked)
class NoteReminder:
    appointment: str
    times: int


# Which slots are taken, kept within the command's own transaction: two patients never share one.
slots = base.clinic.read_model("slots", inline=True)
taken = slots.table("taken", key=("doctor", "number"), indexes=["appointment", each("marks")])


@slots.on
def take_slot(event: AppointmentBooked, tables: Tables) -> None:
    tables[taken].put(
        {
            "doctor": event.slot.doctor,
            "number": event.slot.number,
            "appointment": event.appointment,
            "marks": [event.patient, event.urgency.value],
        }
    )


@slots.on(AppointmentCancelled)
def free_slot(event: AppointmentCancelled, tables: Tables) -> None:
    tables[taken].delete((event.slot.doctor, event.slot.number))


@base.clinic.decide(Book, state=None)
def book(state: None, command: Book, read: Reader) -> Iterator[AppointmentBooked]:
    doctor = read(Doctor, command.slot.doctor)
    if doctor is None:
        raise Rejected(f"there is no doctor {command.slot.doctor}", code="doctor.unknown")
    row = read[taken].get((doctor.doctor, command.slot.number))
    if row is not None:
        raise Rejected("somebody else comes then", code="slot.taken", by=row["appointment"])
    yield AppointmentBooked(
        command.appointment, command.patient, command.slot, command.contact, command.urgency
    )


@base.clinic.decide
def cancel(state: Booked | Closed, command: Cancel) -> Iterator[AppointmentCancelled]:
    if isinstance(state, Closed):
        raise Rejected("it is over", code="appointment.over", held=state.held)
    yield AppointmentCancelled(state.appointment, state.patient, state.slot, command.reason)


@base.clinic.decide
def hold(state: Booked, command: Hold) -> Held:
    return Held(command.appointment, state.slot)


@base.clinic.decide(NoteReminder)
def note_reminder(state: Booked, command: NoteReminder) -> Reminded:
    return Reminded(command.appointment, command.times)


@base.clinic.evolve
def booked(state: None, event: AppointmentBooked) -> Booked:
    return Booked(event.appointment, event.patient, event.slot)


@base.clinic.evolve(Held | AppointmentCancelled)
def closed(state: Booked, event: Held | AppointmentCancelled) -> Closed:
    return Closed(state.appointment, isinstance(event, Held))
