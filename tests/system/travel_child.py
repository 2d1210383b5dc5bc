"""The process that test_travel_crash kills: customers ask for trips and change their minds, a saga does the
rest.

Run as `python -m tests.system.travel_child STORE LEDGER ROUND WORKERS`.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
from contextlib import suppress
from typing import Any

from actors import Rejected, System
from tests.system.travel import AddSeats, AskForTrip, CancelTrip, travel, world

THREADS = 4
FLIGHTS, HOTELS = ("f1", "f2", "f3"), ("grand", "park", "inn-strict")


def customers(system: System, name: str) -> None:
    """Ask for trips; cancel some at once, some later; add seats, too few."""
    dice = random.Random(name)
    asked: list[str] = []
    for number in itertools.count():
        trip = f"{name}-{number}"
        system.execute(AskForTrip(trip, dice.choice(FLIGHTS), dice.choice(HOTELS)))
        asked.append(trip)
        if dice.random() < 0.4:
            system.execute(AddSeats(dice.choice(FLIGHTS), dice.randrange(1, 3)))
        if dice.random() < 0.3:
            with suppress(Rejected):
                system.execute(CancelTrip(dice.choice(asked[-8:]), "another mind"))


def main(store: str, ledger: str, number: str, workers: Any) -> None:
    world.write_to(ledger, random.Random())
    failed = threading.Event()

    def run(name: str) -> None:
        try:
            customers(system, name)
        except BaseException as error:
            print(f"{name} failed: {error!r}", flush=True)
            failed.set()

    with System.open(store, travel, replicas=2, workers=workers) as system:
        print("open", flush=True)
        for one in range(THREADS):
            threading.Thread(target=run, args=(f"r{number}t{one}",), daemon=True).start()
        failed.wait()
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
