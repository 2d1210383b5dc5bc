"""A travel agency: a seat and a room are held, the trip is paid, or all of it is given back. The domain of
the saga's tests.

Seats and rooms are few, cards are declined, customers change their minds at any moment, and strict hotels
keep a room that is given back: that refusal comes when the saga is over, and is to be counted.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

from actors import Do, Domain, Rejected, Rejection

__all__ = [
    "AskForTrip",
    "AddSeats",
    "CancelTrip",
    "StatusOf",
    "World",
    "is_declined",
    "is_strict",
    "travel",
    "world",
]

travel = Domain("travel")


def is_strict(hotel: str) -> bool:
    """Whether a hotel keeps what is given back."""
    return hotel.endswith("strict")


def is_declined(trip: str) -> bool:
    """Whether the card of a trip is declined, always."""
    return sum(trip.encode()) % 7 == 0


class World:
    """What is outside: a ledger of calls, a line each, by key. It fails now and then, also after it was
    written.
    """

    def __init__(self) -> None:
        self.number = -1
        self.dice: Any = None

    def write_to(self, path: str, dice: Any = None) -> None:
        """Keep the ledger there; with `dice` it is unreliable."""
        self.number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.dice = dice

    def call(self, what: str, key: str, trip: str) -> None:
        if self.dice is not None and self.dice.random() < 0.05:
            raise ConnectionError("no answer")
        os.write(self.number, f"{what} {key} {trip}\n".encode())
        if self.dice is not None and self.dice.random() < 0.05:
            raise ConnectionError("the answer got lost")


world = World()


# -- the write side ------------------------------------------------------------------------------
@travel.state(stream="trip-{trip}")
class Trip:
    trip: str
    cancelled: bool = False
    gone: bool = False


@travel.state(stream="flight-{flight}")
class Flight:
    flight: str
    free: int


@travel.state(stream="hotel-{hotel}")
class Hotel:
    hotel: str
    free: int


@travel.event(Trip)
class TripAsked:
    trip: str
    flight: str
    hotel: str


@travel.event(Trip)
class TripPaid:
    trip: str


@travel.event(Trip)
class PaymentDeclined:
    trip: str


@travel.event(Trip)
class TripRefunded:
    trip: str


@travel.event(Trip)
class TripCancelled:
    trip: str
    reason: str


@travel.event(Trip)
class TookOff:
    trip: str


@travel.event(Flight)
class SeatsAdded:
    flight: str
    seats: int


@travel.event(Flight)
class SeatHeld:
    flight: str
    trip: str


@travel.event(Flight)
class SeatReleased:
    flight: str
    trip: str


@travel.event(Hotel)
class RoomHeld:
    hotel: str
    trip: str


@travel.event(Hotel)
class RoomReleased:
    hotel: str
    trip: str


@travel.command(Trip)
class AskForTrip:
    trip: str
    flight: str
    hotel: str


@travel.command(Trip)
class NotePayment:
    trip: str
    declined: bool


@travel.command(Trip)
class NoteRefund:
    trip: str


@travel.command(Trip)
class CancelTrip:
    trip: str
    reason: str


@travel.command(Trip)
class TakeOff:
    trip: str


@travel.command(Flight)
class AddSeats:
    flight: str
    seats: int


@travel.command(Flight)
class HoldSeat:
    flight: str
    trip: str


@travel.command(Flight)
class ReleaseSeat:
    flight: str
    trip: str


@travel.command(Hotel)
class HoldRoom:
    hotel: str
    trip: str


@travel.command(Hotel)
class ReleaseRoom:
    hotel: str
    trip: str


ROOMS = 30


@travel.decide
def ask_for_trip(trip: None, command: AskForTrip):
    yield TripAsked(command.trip, command.flight, command.hotel)


@travel.decide
def note_payment(trip: Trip, command: NotePayment):
    yield PaymentDeclined(command.trip) if command.declined else TripPaid(command.trip)


@travel.decide
def note_refund(trip: Trip, command: NoteRefund):
    yield TripRefunded(command.trip)


@travel.decide
def cancel_trip(trip: Trip, command: CancelTrip):
    if trip.gone:
        raise Rejected("it took off", code="trip.gone")
    if not trip.cancelled:
        yield TripCancelled(command.trip, command.reason)


@travel.decide
def take_off(trip: Trip, command: TakeOff):
    if trip.cancelled:
        raise Rejected("it was cancelled", code="trip.cancelled")
    yield TookOff(command.trip)


@travel.decide
def add_seats(flight: Flight | None, command: AddSeats):
    yield SeatsAdded(command.flight, command.seats)


@travel.decide
def hold_seat(flight: Flight | None, command: HoldSeat):
    if flight is None or not flight.free:
        raise Rejected("no seat is left", code="flight.full")
    yield SeatHeld(command.flight, command.trip)


@travel.decide
def release_seat(flight: Flight, command: ReleaseSeat):
    yield SeatReleased(command.flight, command.trip)


@travel.decide
def hold_room(hotel: Hotel | None, command: HoldRoom):
    if hotel is not None and not hotel.free:
        raise Rejected("no room is left", code="hotel.full")
    yield RoomHeld(command.hotel, command.trip)


@travel.decide
def release_room(hotel: Hotel, command: ReleaseRoom):
    if is_strict(command.hotel):
        raise Rejected("the hotel keeps the room", code="room.kept")
    yield RoomReleased(command.hotel, command.trip)


@travel.evolve
def asked(trip: None, event: TripAsked) -> Trip:
    return Trip(event.trip)


@travel.evolve
def noted(trip: Trip, event: TripPaid | PaymentDeclined | TripRefunded) -> Trip:
    return trip


@travel.evolve
def cancelled(trip: Trip, event: TripCancelled) -> Trip:
    return replace(trip, cancelled=True)


@travel.evolve
def gone(trip: Trip, event: TookOff) -> Trip:
    return replace(trip, gone=True)


@travel.evolve
def seats_added(flight: Flight | None, event: SeatsAdded) -> Flight:
    return Flight(event.flight, event.seats + (flight.free if flight else 0))


@travel.evolve
def seat_held(flight: Flight, event: SeatHeld) -> Flight:
    return replace(flight, free=flight.free - 1)


@travel.evolve
def seat_released(flight: Flight, event: SeatReleased) -> Flight:
    return replace(flight, free=flight.free + 1)


@travel.evolve
def room_held(hotel: Hotel | None, event: RoomHeld) -> Hotel:
    return Hotel(event.hotel, (hotel.free if hotel else ROOMS) - 1)


@travel.evolve
def room_released(hotel: Hotel, event: RoomReleased) -> Hotel:
    return replace(hotel, free=hotel.free + 1)


# -- the read side -------------------------------------------------------------------------------
trips = travel.read_model("trips")
statuses = trips.table("statuses", key="trip", indexes=["status"])


@trips.on
def on_trip(
    event: TripAsked | TripPaid | PaymentDeclined | TripRefunded | TripCancelled | TookOff, tables: Any
) -> None:
    tables[statuses].put({"trip": event.trip, "status": type(event).__name__})


@travel.query(reads=[trips])
class StatusOf:
    trip: str

    def run(self, view: Any) -> str | None:
        row = view[statuses].get(self.trip)
        return None if row is None else row["status"]


# -- the saga ------------------------------------------------------------------------------------
saga = travel.process_manager("saga", key="trip", start="beginning")


@saga.state
class Holding:
    """Neither refused nor held yet, in part."""

    trip: str
    flight: str
    hotel: str
    held: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    cancelled: bool = False


@saga.state
class Paying:
    """Both are held, and the card is asked."""

    trip: str
    flight: str
    hotel: str
    cancelled: bool = False


@saga.state
class Booked:
    """Paid, until it takes off."""

    trip: str
    flight: str
    hotel: str


@saga.timer
class Departure:
    trip: str


@saga.on
def on_asked(state: None, event: TripAsked, do: Do) -> Holding:
    do.execute(HoldSeat(event.flight, event.trip))
    do.execute(HoldRoom(event.hotel, event.trip))
    return Holding(event.trip, event.flight, event.hotel)


def give_back(state: Holding | Paying | Booked, held: tuple[str, ...], do: Do) -> None:
    """Release what is held, and that is the end."""
    if "seat" in held:
        do.execute(ReleaseSeat(state.flight, state.trip))
    if "room" in held:
        do.execute(ReleaseRoom(state.hotel, state.trip))
    do.end()


BOTH = ("seat", "room")


def go_on(state: Holding, do: Do) -> Holding | Paying:
    """Once both are known."""
    if len(state.held) + len(state.refused) < len(BOTH):
        return state
    if state.refused:
        do.execute(CancelTrip(state.trip, f"full: {' '.join(sorted(state.refused))}"))
    if state.refused or state.cancelled:
        give_back(state, state.held, do)
        return state
    do.effect("charge", {"trip": state.trip})
    return Paying(state.trip, state.flight, state.hotel)


@saga.on
def on_held(state: Holding, event: SeatHeld | RoomHeld, do: Do) -> Holding | Paying:
    what = "seat" if isinstance(event, SeatHeld) else "room"
    return go_on(replace(state, held=(*state.held, what)), do)


@saga.on_rejected
def on_no_seat(state: Holding, rejection: Rejection[HoldSeat], do: Do) -> Holding | Paying:
    return go_on(replace(state, refused=(*state.refused, "seat")), do)


@saga.on_rejected
def on_no_room(state: Holding, rejection: Rejection[HoldRoom], do: Do) -> Holding | Paying:
    return go_on(replace(state, refused=(*state.refused, "room")), do)


@saga.on
def on_cancelled(state: Holding | Paying, event: TripCancelled, do: Do) -> Holding | Paying:
    return replace(state, cancelled=True)


@saga.on
def on_paid(state: Paying, event: TripPaid, do: Do) -> Booked | None:
    if state.cancelled:
        do.effect("refund", {"trip": state.trip})
        give_back(state, BOTH, do)
        return None
    do.after(timedelta(days=1), Departure(state.trip))
    return Booked(state.trip, state.flight, state.hotel)


@saga.on
def on_declined(state: Paying, event: PaymentDeclined, do: Do) -> None:
    do.execute(CancelTrip(state.trip, "declined"))
    give_back(state, BOTH, do)


@saga.on
def on_late_cancellation(state: Booked, event: TripCancelled, do: Do) -> None:
    do.effect("refund", {"trip": state.trip})
    give_back(state, BOTH, do)


@saga.on_timer
def on_departure(state: Booked, timer: Departure, do: Do) -> None:
    do.execute(TakeOff(state.trip))


@saga.on_rejected
def on_no_departure(state: Booked, rejection: Rejection[TakeOff], do: Do) -> None:
    """It was cancelled, of which the next event tells."""


@saga.on
def on_gone(state: Booked, event: TookOff, do: Do) -> None:
    do.effect("ticket", {"trip": state.trip})
    do.end()


@saga.effect("charge")
def charge(payload: Any, key: str) -> NotePayment:
    world.call("charge", key, payload["trip"])
    return NotePayment(payload["trip"], is_declined(payload["trip"]))


@saga.effect("refund")
def refund(payload: Any, key: str) -> NoteRefund:
    world.call("refund", key, payload["trip"])
    return NoteRefund(payload["trip"])


@saga.effect("ticket")
def ticket(payload: Any, key: str) -> None:
    world.call("ticket", key, payload["trip"])
