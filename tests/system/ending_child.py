"""A program with deliveries that end its process. Run as `python -m tests.system.ending_child STORE HOW
MOST`.

It prints each delivery with its attempt before it handles it. HOW is callback, iterator, async, deleted or
effect.
"""

from __future__ import annotations

import asyncio
import os
import sys

from actors import Delivery, Do, Domain, System

parcels = Domain("parcels")


@parcels.state(stream="lorry-{number}")
class Lorry:
    number: int


@parcels.command(Lorry)
class Arrive:
    number: int = 1


@parcels.state(stream="belt-{belt}")
class Belt:
    belt: int


@parcels.event(Belt)
class Scanned:
    belt: int
    parcel: str


@parcels.decide
def arrive(lorry: None, command: Arrive):
    for belt, names in BELTS.items():
        for name in names:
            yield Scanned(belt, name)


@parcels.evolve
def scanned(belt: Belt | None, event: Scanned) -> Belt:
    return Belt(event.belt)


BELTS = {1: ["bad", "behind"], 2: ["good"]}
ALL = sum(map(len, BELTS.values()))


def with_effects(most: int) -> None:
    """Declare a process manager that has an effect for each event."""
    labels = parcels.process_manager("labels", key=lambda event: event.parcel[0], start="beginning")

    @labels.state
    class Label:
        parcel: str

    @labels.on
    def on_scanned(state: Label | None, event: Scanned, do: Do) -> Label:
        do.effect("print", event.parcel)
        return Label(event.parcel)

    @labels.effect("print", attempts=most)
    def print_label(payload: str, key: str) -> None:
        handle(payload, 0)


def handle(parcel: str, attempt: int) -> None:
    print(parcel, attempt, flush=True)
    if parcel == "bad":
        os._exit(137)  # as the kernel does where memory is out


def one_by_one(system: System, most: int) -> None:
    for delivery in system.consumer("labels", until=ALL, max_deliveries=most):
        handle(delivery.event.parcel, delivery.attempt)
        delivery.ack()


async def asynchronously(system: System, most: int) -> None:
    async for delivery in system.consumer("labels", until=ALL, max_deliveries=most):
        handle(delivery.event.parcel, delivery.attempt)
        await delivery.aack()


def called(system: System, most: int) -> None:
    def label(delivery: Delivery) -> None:
        handle(delivery.event.parcel, delivery.attempt)

    with system.consume("labels", label, until=ALL, max_deliveries=most) as labels:
        labels.wait(20)


def deleted(system: System, most: int) -> None:
    """The name is deleted while its second delivery is out, and made anew."""
    for attempt in (1, 2):
        [delivery] = [next(system.consumer("labels", max_deliveries=most))]
        print(delivery.event.parcel, delivery.attempt, flush=True)
        if attempt == 1:
            delivery.nak()
    system.delete_consumer("labels")
    one_by_one(system, most)


def main(store: str, how: str, most: int) -> None:
    if how == "effect":
        with_effects(most)
    with System.open(store, parcels, replicas=1) as system:
        if not system.position:
            system.execute(Arrive())
        if how == "callback":
            called(system, most)
        elif how == "iterator":
            one_by_one(system, most)
        elif how == "async":
            asyncio.run(asynchronously(system, most))
        elif how == "deleted":
            deleted(system, most)
        else:
            system.wait_process_managers()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
