"""No rejection of a manager's command is silent: what no handler takes is logged, counted once, and shown
with its command.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, Rejected
from tests.helpers import wait_until
from tests.system.test_process_managers import opened

TRIPS = 5


def agency(heard: list[Any], handler: str = "", version: int = 1) -> tuple[Domain, type]:
    """Of each trip that is asked for, five commands are refused: in two phases, at the end, after it, and an
    effect's answer.
    """
    travel = Domain("travel")

    @travel.state(stream="trip-{trip}")
    class Trip:
        trip: str

    @travel.event(Trip)
    class Asked:
        trip: str

    @travel.event(Trip, state=None)
    class Booked:
        trip: str

    @travel.event(Trip, state=None)
    class Ended:
        trip: str

    @travel.command(Trip)
    class Ask:
        trip: str

    @travel.command(Trip)
    class ReleaseRoom:
        trip: str
        why: str

    @travel.decide(Ask)
    def ask(trip: None, command: Any) -> Any:
        yield Asked(command.trip)
        yield Booked(command.trip)
        yield Ended(command.trip)

    @travel.decide(ReleaseRoom)
    def release(trip: Any, command: Any) -> Any:
        raise Rejected("the hotel keeps the room", code="room.kept")

    travel.evolve(Asked)(lambda trip, event: Trip(event.trip))
    saga = travel.process_manager("saga", key="trip", start="beginning", version=version)

    @saga.state
    class Booking:
        trip: str

    @saga.state
    class Paid:
        trip: str

    @saga.on(Asked)
    def on_asked(state: None, event: Any, do: Do) -> Any:
        do.execute(ReleaseRoom(event.trip, "first phase"))
        return Booking(event.trip)

    @saga.on(Booked)
    def on_booked(state: Booking, event: Any, do: Do) -> Any:
        do.execute(ReleaseRoom(event.trip, "second phase"))
        do.effect("call the hotel", event.trip)
        return Paid(event.trip)

    @saga.on(Ended)
    def on_ended(state: Paid, event: Any, do: Do) -> None:
        do.execute(ReleaseRoom(event.trip, "the end"))
        do.execute(ReleaseRoom(event.trip, "the very end"))
        do.end()

    @saga.effect("call the hotel")
    def call(payload: Any, key: str) -> Any:
        return ReleaseRoom(payload, "an effect's answer")

    if handler:
        phase = {"first": Booking, "second": Paid}[handler]

        def on_kept(state: Any, rejection: Any, do: Do) -> None:
            heard.append(rejection.command)

        on_kept.__annotations__["state"] = phase
        saga.on_rejected(ReleaseRoom)(on_kept)
    return travel, Ask


@pytest.mark.parametrize(("handler", "unheard"), [("", 5), ("first", 4), ("second", None)])
def test_a_rejection_that_no_handler_takes_then_is_counted_logged_and_shown_with_its_command(
    store_path: Path, caplog: pytest.LogCaptureFixture, handler: str, unheard: int | None
) -> None:
    heard: list[Any] = []
    domain, ask = agency(heard, handler)
    caplog.set_level(logging.WARNING, "onewriter.process")
    with opened(store_path, domain) as system:
        for number in range(TRIPS):
            system.execute(ask(str(number)))
        system.wait_process_managers()
        [manager] = system.process_managers()
        if unheard is not None:
            assert manager.rejections == TRIPS * unheard
        # An effect's answer may come before its instance ends, or after it. Every single one is heard or
        # counted.
        assert len(heard) + manager.rejections == TRIPS * 5
        assert len(heard) == len(set(heard))
        lines = [record.getMessage() for record in caplog.records]
        told = [
            line
            for line in lines
            if "ReleaseRoom(trip=" in line and "room.kept: the hotel keeps the room" in line
        ]
        assert len(told) == manager.rejections
        assert len(manager.last_rejections) == 3
        assert all("ReleaseRoom(trip='" in one and "of instance '" in one for one in manager.last_rejections)
        assert system.health().process_managers == (manager,)
        expected = {"first phase", "second phase", "the end", "the very end", "an effect's answer"}
        everything = [*lines, *map(str, heard)]
        assert {
            why for why in expected if any(f"'{why}'" in one or f'"{why}"' in one for one in everything)
        } == expected


def test_rejections_are_counted_once_whatever_is_started_again_or_built_anew(store_path: Path) -> None:
    for version in (1, 1, 2, 2):
        domain, ask = agency([], version=version)
        with opened(store_path, domain) as system:
            system.wait_process_managers()
            before = system.process_managers()[0].rejections
            for number in range(4):
                system.execute(ask(f"{before}-{number}"))
                assert system.kill("manager-saga")
                system.kill("outbox-saga")
            wait_until(lambda before=before: system.process_managers()[0].rejections >= before + 20)
            system.wait_process_managers()
            assert system.process_managers()[0].rejections == before + 20
    assert before == 60


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        ("full\ud800", "no room", ("full\\ud800", "no room")),
        ("full", "no \udfff", ("full", "no \\udfff")),
        (frozenset([1]).union, "no room", ("<built-in method union of frozenset obj", "no room")),
    ],
    ids=["code", "text", "no text"],
)
@pytest.mark.parametrize("details", [{"rooms": 0}, {"rooms": object()}], ids=["details", "odd details"])
def test_what_a_refusal_says_that_cannot_be_stored_is_told_in_what_can(
    store_path: Path, code: Any, text: str, told: tuple[str, str], details: dict[str, Any]
) -> None:
    rooms = Domain("rooms")

    @rooms.state(stream="room-{room}")
    class Room:
        room: str

    @rooms.event(Room, state=None)
    class Wanted:
        room: str

    @rooms.command(Room)
    class Take:
        room: str

    @rooms.decide(Take)
    def take(room: Any, command: Any) -> Any:
        raise Rejected(text, code, **details)

    guest = rooms.process_manager("guest", key="room", start="beginning")

    @guest.state
    class Guest:
        refused: tuple[str, str] | None = None
        rooms: int | None = None

    @guest.on(Wanted)
    def on_wanted(state: Any, event: Any, do: Do) -> Any:
        do.execute(Take(event.room))
        return Guest()

    @guest.on_rejected(Take)
    def on_refused(state: Any, rejection: Any, do: Do) -> Any:
        return Guest((rejection.code, rejection.text), rejection.details.get("rooms"))

    with opened(store_path, rooms) as system:
        system.append("room-1", [Wanted("1")])
        system.wait_process_managers()
        guest_of = system.process_manager_state("guest", "1")
        assert guest_of.refused[0].startswith(told[0])
        assert guest_of.refused[1] == told[1]
        assert guest_of.rooms == (0 if details["rooms"] == 0 else None)
