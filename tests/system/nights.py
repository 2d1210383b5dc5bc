"""Rooms that are booked from noon to noon: a domain that counts in days, where a zone and an offset
differ.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from actors import Domain, Rejected

hotel = Domain("hotel")


@hotel.state(stream="room-{room}")
class Room:
    room: str
    until: datetime


@hotel.event(Room)
class Booked:
    room: str
    start: datetime


@hotel.command(Room)
class Book:
    room: str
    start: datetime


@hotel.decide
def book(room: Room | None, command: Book) -> Any:
    if room is not None and command.start < room.until:
        raise Rejected("taken", code="room.taken")
    yield Booked(command.room, command.start)


@hotel.evolve
def booked(room: Room | None, event: Booked) -> Room:
    return Room(event.room, event.start + timedelta(days=1))


stays = hotel.read_model("stays")
rows = stays.table("rows", key="room")


@stays.on
def on_booked(event: Booked, tables: Any) -> None:
    tables[rows].put({"room": event.room, "until": event.start + timedelta(days=1)})
