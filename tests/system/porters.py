"""A domain with personal fields, and with an inline model that has them."""

from __future__ import annotations

from typing import Annotated

from actors import Domain, Personal

porters = Domain("porters")


@porters.state(stream="guest-{guest}")
class Guest:
    guest: str


@porters.event(Guest, state=None)
class Arrived:
    guest: str
    name: Annotated[str, Personal(subject="guest")]


@porters.command(Guest)
class Arrive:
    guest: str
    name: Annotated[str, Personal(subject="guest")]


@porters.decide
def arrive(guest: Guest | None, command: Arrive):
    yield Arrived(command.guest, command.name)


doors = porters.read_model("doors", inline=True)
names_at_doors = doors.table("names", key="guest")


@doors.on
def at_doors(event: Arrived, tables):
    tables[names_at_doors].put({"guest": event.guest, "name": event.name})


@porters.query(reads=[doors])
class AtDoors:
    def run(self, view):
        return [row["name"] for row in view[names_at_doors].all()]
