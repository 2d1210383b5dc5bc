"""A travel saga with compensation under SIGKILL, with replicas in threads and in processes.

In the end every trip took off or was cancelled, nothing is held for one that was, nothing was charged,
refunded or told twice, and every refusal that no handler took is counted. `ONEWRITER_CRASH_ROUNDS` sets the
number of kills of each kind, `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.testing import TestSystem
from tests.forked import Forked
from tests.system.test_crash import wait_until_killed
from tests.system.travel import (
    ROOMS,
    PaymentDeclined,
    RoomHeld,
    RoomReleased,
    SeatHeld,
    SeatReleased,
    SeatsAdded,
    StatusOf,
    TookOff,
    TripAsked,
    TripCancelled,
    TripPaid,
    TripRefunded,
    is_strict,
    travel,
    world,
)

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CHAPTER = 10
"""Rounds on one store."""


def run_and_kill(folder: Path, number: int, workers: str, dice: random.Random) -> None:
    """One round: a process works on the store and is killed, in one of four, but for the first, before it is
    open.
    """
    arguments = [str(folder / "store"), str(folder / "ledger"), str(number), workers]
    opened = not number or dice.random() < 0.75
    with Forked("tests.system.travel_child", *arguments) as process:
        try:
            if opened:
                assert process.stdout.readline() == "open\n"
            wait_until_killed(process, dice.uniform(0.0 if number else 0.4, 0.5 if opened else 0.2))
        finally:
            process.kill()


def finish_and_check(folder: Path, workers: Any) -> Counter[str]:
    """Open the store, let every trip come to its end, and check all of them; returns how they ended."""
    world.write_to(str(folder / "ledger"))
    with TestSystem.open(folder / "store", travel, replicas=2, workers=workers) as system:
        system.wait_process_managers(timeout=60)
        system.advance(timedelta(days=2))
        system.wait_process_managers(timeout=60)
        system.wait_applied(timeout=60)
        return check(system, folder / "ledger")


def keys_of(ledger: Path) -> dict[str, Counter[str]]:
    """The keys that the world was called with: how many there are of each kind, by trip. No key is of two
    calls.
    """
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in ledger.read_text().splitlines():
        what, key, trip = line.split()
        keys[what, trip].add(key)
    every = [key for used in keys.values() for key in used]
    assert len(every) == len(set(every)), "two calls have one key"
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for (what, trip), used in keys.items():
        found[trip][what] = len(used)
    return found


def check(system: TestSystem, ledger: Path) -> Counter[str]:
    happened: dict[str, Counter[type]] = defaultdict(Counter)
    hotels: dict[str, str] = {}
    free: Counter[str] = Counter()
    for recorded in system.recorded_events():
        event = recorded.event
        kind = type(event)
        if kind is TripAsked:
            hotels[event.trip] = event.hotel
        if kind is SeatsAdded:
            free[event.flight] += event.seats
            continue
        happened[event.trip][kind] += 1
        if kind in (SeatHeld, SeatReleased):
            free[event.flight] += 1 if kind is SeatReleased else -1
            assert free[event.flight] >= 0, f"flight {event.flight} is overbooked"
        elif kind in (RoomHeld, RoomReleased):
            free[event.hotel] += 1 if kind is RoomReleased else -1
            assert free[event.hotel] >= -ROOMS, f"hotel {event.hotel} is overbooked"
    keys = keys_of(ledger)
    ends: Counter[str] = Counter()
    kept = 0
    for trip, events in happened.items():
        calls = keys[trip]
        assert events[TripAsked] == 1, trip
        assert events[TookOff] + events[TripCancelled] == 1, f"trip {trip} is left hanging: {events}"
        assert max(events.values()) == 1, f"something happened twice to trip {trip}: {events}"
        assert calls["charge"] == events[TripPaid] + events[PaymentDeclined], (trip, events, calls)
        assert calls["refund"] == events[TripRefunded], (trip, events, calls)
        assert calls["ticket"] == events[TookOff], (trip, events, calls)
        if events[TookOff]:
            assert events == Counter([TripAsked, SeatHeld, RoomHeld, TripPaid, TookOff]), (trip, events)
            ends["took off"] += 1
        else:
            assert events[SeatHeld] == events[SeatReleased], f"trip {trip} keeps its seat: {events}"
            keeps = is_strict(hotels[trip]) and events[RoomHeld]
            kept += keeps
            assert events[RoomReleased] == events[RoomHeld] - keeps, f"trip {trip} keeps its room: {events}"
            assert events[TripRefunded] == events[TripPaid], f"trip {trip} keeps the money: {events}"
            ends[
                "refunded" if events[TripPaid] else "declined" if events[PaymentDeclined] else "full or early"
            ] += 1
        last = system.query(StatusOf(trip), consistency="strong")
        assert last in ("TookOff", "TripCancelled", "TripRefunded", "PaymentDeclined", "TripPaid"), last
    [manager] = system.process_managers()
    assert manager.rejections == kept, "a refusal that no handler took is not counted"
    assert (manager.lag, manager.instances, manager.timers, manager.quarantined) == (0, 0, 0, 0)
    assert (manager.effects, manager.parked, manager.blocked) == (0, 0, 0)
    assert system.health().status == "ok", system.health().problems
    ends["rooms kept"] += kept
    return ends


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_a_travel_saga_loses_and_repeats_nothing_when_the_process_is_killed(
    tmp_path: Path, workers: str
) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    ends: Counter[str] = Counter()
    for number in range(ROUNDS):
        folder = tmp_path / f"chapter-{number // CHAPTER}"
        folder.mkdir(exist_ok=True)
        run_and_kill(folder, number, workers, dice)
        if number in (ROUNDS - 1, number // CHAPTER * CHAPTER + CHAPTER - 1):
            ends += finish_and_check(folder, workers)
            print(f"round {number}: {dict(ends)}", flush=True)
    assert all(ends[end] for end in ("took off", "refunded", "declined", "full or early", "rooms kept")), ends
