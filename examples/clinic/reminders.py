"""The process manager: whoever has booked gets a letter, then another, and what is not held in time is
cancelled.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from actors import Do, Rejection
from examples.clinic.appointments import (
    AppointmentBooked,
    AppointmentCancelled,
    Book,
    Cancel,
    Held,
    NoteReminder,
)
from examples.clinic.base import Contact, ReachedBy, clinic

sent: dict[str, str] = {}
"""What went out, by the key of its effect; stands for a mail server."""

follow_up = clinic.process_manager("follow-up", key="appointment", start="beginning", version=1)


@follow_up.state
class Waiting:
    appointment: str
    contact: Contact
    reminders: int = 0


@clinic.value
class Letter:
    appointment: str
    to: Contact


@follow_up.timer
class Remind:
    appointment: str


@follow_up.timer(name="GiveUp")
class GiveUp:
    appointment: str
    reason: str


@follow_up.on
def begin(state: None, event: AppointmentBooked, do: Do) -> Waiting:
    do.effect("send", Letter(event.appointment, event.contact))
    do.after(timedelta(days=1), Remind(event.appointment))
    do.at(do.now + timedelta(days=30), GiveUp(event.appointment, "nobody came"))
    return Waiting(event.appointment, event.contact)


@follow_up.on(Held, AppointmentCancelled)
def end(state: Waiting, event: Held | AppointmentCancelled, do: Do) -> None:
    do.cancel(GiveUp)
    do.end()


@follow_up.on_timer
def remind(state: Waiting, timer: Remind, do: Do) -> Waiting:
    do.effect("send", Letter(state.appointment, state.contact))
    return replace(state, reminders=state.reminders + 1)


@follow_up.on_timer(GiveUp)
def give_up(state: Waiting, timer: GiveUp, do: Do) -> None:
    do.execute(Cancel(timer.appointment, timer.reason))


@follow_up.on_rejected
def somebody_was_faster(state: Waiting, rejection: Rejection[Cancel], do: Do) -> None:
    if rejection.code == "appointment.over":
        do.end()


@follow_up.on_rejected(Book)
def not_booked(state: Waiting, rejection: Rejection[Book], do: Do) -> None:
    do.effect("send", Letter(state.appointment, replace(state.contact, by=ReachedBy.PHONE)))


@follow_up.effect("send", attempts=2)
def send(letter: Letter, key: str) -> NoteReminder:
    if not letter.to.address:
        raise ValueError("nobody to send it to")
    sent[key] = letter.to.address
    return NoteReminder(letter.appointment, len(sent))
