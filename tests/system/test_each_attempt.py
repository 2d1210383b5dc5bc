"""Each attempt gets the message as it was stored, whatever an earlier one did to it: effects, consumers,
subscriptions.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors import Delivery, Do, Domain, System
from tests.helpers import PATIENCE

travel = Domain("travel")


@travel.value
class Guest:
    names: list[str]


@travel.event(state=None)
class Booked:
    trip: str
    guests: list[Guest]


saga = travel.process_manager("saga", key="trip", start="beginning")


@saga.state
class Booking:
    trip: str


@saga.on
def on_booked(state: None, event: Booked, do: Do) -> Booking:
    do.effect("send", {"to": [Guest(list(one.names)) for one in event.guests]})
    return Booking(event.trip)


tried: list[Any] = []
failing = [False]


@saga.effect("send", attempts=3)
def send(payload: Any, key: str) -> None:
    tried.append([list(one.names) for one in payload["to"]])
    spoil(payload["to"])
    payload["more"] = True
    if failing[0] or len(tried) < 3:
        raise OSError("the line is down: nothing arrived")


def spoil(guests: list[Guest]) -> None:
    guests[0].names.clear()
    guests.pop()


STORED = [["anna", "bert"], ["carl"]]


@pytest.fixture
def system(store_path: Path) -> Any:
    tried.clear()
    with System.open(store_path, travel, replicas=1) as system:
        guests = [Guest(list(names)) for names in STORED]
        system.append("trips", [Booked("1", guests)], metadata={"seats": ["window"]})
        yield system


def test_each_attempt_of_an_effect_has_the_payload_as_it_was_stored(system: System) -> None:
    system.wait_process_managers()
    assert tried == [STORED] * 3
    assert system.effects("saga") == []


def test_an_effect_that_was_parked_has_its_payload_as_it_was_stored(system: System) -> None:
    system.wait_process_managers()
    tried.clear()
    failing[0] = True
    system.append("trips", [Booked("2", [Guest(list(names)) for names in STORED])])
    system.wait_process_managers()
    failing[0] = False
    [parked] = system.effects("saga")
    system.retry_effect("saga", parked.key)
    system.wait_process_managers()
    assert tried == [STORED] * 4


@pytest.mark.parametrize("form", ["iterator", "async", "callback"])
def test_each_attempt_of_a_delivery_has_the_event_as_it_is_in_the_log(system: System, form: str) -> None:
    seen: list[Any] = []

    def handle(delivery: Delivery) -> bool:
        recorded = delivery.recorded
        seen.append(([list(one.names) for one in delivery.event.guests], list(recorded.metadata["seats"])))
        spoil(delivery.event.guests)
        recorded.metadata["seats"].clear()
        return len(seen) == 3

    def call(delivery: Delivery) -> None:
        if not handle(delivery):
            raise OSError("the printer is off")

    async def asynchronously() -> None:
        async for delivery in system.consumer("labels", until=1):
            if handle(delivery):
                await delivery.aack()
            else:
                delivery.nak()

    if form == "iterator":
        for delivery in system.consumer("labels", until=1):
            _ = delivery.ack() if handle(delivery) else delivery.nak()
    elif form == "async":
        asyncio.run(asynchronously())
    else:
        with system.consume("labels", call, until=1) as labels:
            assert labels.wait(PATIENCE)
    assert seen == [(STORED, ["window"])] * 3


def test_each_reader_of_a_subscription_has_the_event_as_it_is_in_the_log(system: System) -> None:
    async def asynchronously() -> list[Any]:
        return [one async for one in system.subscribe(until=1)]

    for _ in range(2):
        for recorded in (*system.subscribe(until=1), *asyncio.run(asynchronously())):
            assert [one.names for one in recorded.event.guests] == STORED
            assert recorded.metadata == {"seats": ["window"]}
            spoil(recorded.event.guests)
            recorded.metadata["seats"].clear()
