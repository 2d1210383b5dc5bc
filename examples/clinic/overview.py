"""The read side: a diary in tables, patients in SQLite, figures in memory, and the queries over them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from actors import Objects, RecordedEvent, Tables, View, fts_match, words
from examples.clinic.appointments import (
    DAY,
    AppointmentBooked,
    AppointmentCancelled,
    DoctorJoined,
    Held,
    slots,
    taken,
)
from examples.clinic.base import Urgency, clinic

# -- tables, in LMDB ------------------------------------------------------------------------
diary = clinic.read_model("diary", version=1, fingerprint=False)
entries = diary.table(
    "entries", key="appointment", indexes=["doctor", ("doctor", "number"), words("patient")]
)


@diary.on
def write_entry(event: AppointmentBooked, tables: Tables, recorded: RecordedEvent) -> None:
    tables[entries].put(
        {
            "appointment": event.appointment,
            "doctor": event.slot.doctor,
            "number": event.slot.number,
            "patient": event.patient,
            "urgent": event.urgency is not Urgency.ROUTINE,
            "version": recorded.version,
        }
    )


@diary.on
def strike_out(event: AppointmentCancelled | Held, tables: Tables) -> None:
    tables[entries].delete(event.appointment)


# -- SQL, in SQLite -------------------------------------------------------------------------
patients = clinic.read_model(
    "patients",
    engine="sqlite",
    schema="""
    CREATE TABLE contacts (patient TEXT PRIMARY KEY, address TEXT NOT NULL, visits INTEGER NOT NULL);
    CREATE VIRTUAL TABLE names USING fts5(patient);
    """,
)


@patients.on
def know_patient(event: AppointmentBooked, db: sqlite3.Connection) -> None:
    if db.execute("SELECT 1 FROM contacts WHERE patient = ?", (event.patient,)).fetchone() is None:
        db.execute("INSERT INTO contacts VALUES (?, ?, 0)", (event.patient, event.contact.address))
        db.execute("INSERT INTO names VALUES (?)", (event.patient,))
    db.execute("UPDATE contacts SET visits = visits + 1 WHERE patient = ?", (event.patient,))


# -- Python objects, in memory --------------------------------------------------------------
figures = clinic.read_model("figures", engine="memory")
by_doctor = figures.object("by_doctor", dict)


@figures.on
def begin_counting(event: DoctorJoined, objects: Objects) -> None:
    objects[by_doctor][event.doctor] = 0


@figures.on
def count_up(event: AppointmentBooked, objects: Objects) -> None:
    objects[by_doctor][event.slot.doctor] += 1


# -- queries --------------------------------------------------------------------------------
class Line(NamedTuple):
    """A line of the diary."""

    number: int
    patient: str
    urgent: bool


@clinic.query(reads=diary, cache=True)
class DayOf:
    """A doctor's day, in the order of its slots."""

    doctor: str
    day: int = 0

    def run(self, view: View) -> list[Line]:
        first = self.day * DAY
        rows = view[entries].range(("doctor", "number"), (self.doctor, first), (self.doctor, first + DAY))
        return [Line(row["number"], row["patient"], row["urgent"]) for row in rows]


@clinic.query(reads=patients)
class FindPatients:
    """Those whose name begins with these words, and how often each has come."""

    text: str

    def run(self, view: View) -> dict[str, int]:
        found: Iterator[tuple[str, int]] = view[patients].execute(
            "SELECT contacts.patient, visits FROM names JOIN contacts USING (patient) WHERE names MATCH ?",
            (fts_match(self.text, prefix=True),),
        )
        return dict(found)


@clinic.query(reads=[figures, slots], name="HowBusy", timeout=5.0)
class Busy:
    """The appointments that a doctor ever had, and the slots that are taken now."""

    doctor: str

    def run(self, view: View) -> tuple[int, int]:
        counts: dict[str, int] = view[by_doctor]
        return counts.get(self.doctor, 0), view[taken].count("appointment")
