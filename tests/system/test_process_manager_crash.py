"""Kills a shop with SIGKILL at random moments while its process manager leads orders to payment and shipment.

Handlers and deciders fail for some orders, whose instances are set aside meanwhile. After the last one it is
opened again and has its time: every order is shipped and paid, or cancelled and refunded or never paid, and
nothing was done twice. `ONEWRITER_CRASH_ROUNDS` sets the number of rounds, `ONEWRITER_CRASH_SEED` the seed,
which is printed.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from actors.demo.fulfilment import PAYMENT_TIME, delivery, use_gateway
from actors.demo.fulfilment.orders import OrderCancelled, OrderPlaced, OrderShipped
from actors.demo.fulfilment.payments import (
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRequested,
)
from actors.demo.fulfilment.shipments import ShipmentArranged
from actors.testing import TestSystem
from storage import EventLog
from tests.forked import Forked
from tests.system.process_manager_crash_child import Ledger
from tests.system.test_crash import wait_until_killed

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "5"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CHAPTER = 10
"""Rounds on one store."""
MOMENTS = {"working": (0.0, 1.0), "opening": (0.0, 0.2)}


def run_and_kill(folder: Path, number: int, dice: random.Random, *options: str) -> None:
    """One round: a process works on the store and is killed."""
    moment = dice.choice(["working", "working", "opening"])
    delay = dice.uniform(*MOMENTS[moment])
    arguments = [str(folder / "store"), str(folder / "ledger"), str(number), *options]
    with Forked("tests.system.process_manager_crash_child", *arguments) as process:
        try:
            if moment == "working":
                assert process.stdout.readline() == "open\n"
            wait_until_killed(process, delay)
        finally:
            process.kill()


def set_aside(folder: Path) -> int:
    """How many instances the killed process left set aside."""
    store = folder / "store"
    if not (store / "data.mdb").exists():
        return 0
    with EventLog.open(store, delivery.compile().codec, siblings=["replicas"]) as log:
        return len(log.notes(b"pm/fulfilment/quarantine/"))


def finish_and_check(folder: Path) -> Counter[str]:
    """Open the store, let every order come to its end, and check all of them; returns how they ended."""
    use_gateway(Ledger(str(folder / "ledger"), unreliable=False))
    with TestSystem.open(folder / "store", delivery, replicas=1) as system:
        system.wait_process_managers(timeout=60)
        system.advance(PAYMENT_TIME)
        system.wait_process_managers(timeout=60)
        assert system.process_manager_states("fulfilment") == []
        [manager] = system.process_managers()
        assert (manager.lag, manager.instances, manager.timers) == (0, 0, 0)
        assert (manager.effects, manager.parked, manager.rejections) == (0, 0, 0)
        assert manager.quarantined == 0
        return check_orders(system, folder / "ledger")


def keys_of(ledger: Path) -> dict[tuple[str, str], set[str]]:
    """The keys that the payment provider was called with, by kind of call and order."""
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        kind, key, order, _ = line.split()
        keys[kind, order].add(key)
    return keys


def check_ledger(ledger: Path) -> dict[tuple[str, str], set[str]]:
    """No order was charged, or refunded, under two keys; returns the keys."""
    keys = keys_of(ledger)
    for (kind, order), used in keys.items():
        assert len(used) == 1, f"order {order}: more than one {kind}: {used}"
    return keys


def check_orders(system: TestSystem, ledger: Path) -> Counter[str]:
    happened: dict[str, Counter[type]] = defaultdict(Counter)
    for recorded in system.recorded_events():
        if hasattr(recorded.event, "order_id"):
            happened[recorded.event.order_id][type(recorded.event)] += 1
    keys = check_ledger(ledger)
    ends: Counter[str] = Counter()
    for order, events in happened.items():
        assert events[OrderPlaced] == 1
        paid, refunded = events[PaymentCharged], events[PaymentRefunded]
        assert (paid, refunded) == (len(keys["charge", order]), len(keys["refund", order])), order
        if events[OrderShipped]:
            assert events[ShipmentArranged] == 1, order
            assert (paid, refunded, events[OrderCancelled]) == (1, 0, 0), order
            ends["shipped"] += 1
        else:
            assert events[OrderCancelled] == 1, f"order {order} is left hanging: {events}"
            assert refunded == paid, f"order {order} was cancelled and keeps the money: {events}"
            assert paid + events[PaymentDeclined] == events[PaymentRequested], order
            ends["refunded" if paid else "never paid"] += 1
    return ends


def test_no_order_is_paid_twice_shipped_unpaid_or_left_hanging_when_the_process_is_killed(
    tmp_path: Path,
) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    ends: Counter[str] = Counter()
    aside = 0
    for number in range(ROUNDS):
        folder = tmp_path / f"chapter-{number // CHAPTER}"
        folder.mkdir(exist_ok=True)
        run_and_kill(folder, number, dice)
        aside += set_aside(folder)
        last = number in (ROUNDS - 1, number // CHAPTER * CHAPTER + CHAPTER - 1)
        if last or dice.random() < 0.2:
            found = finish_and_check(folder)
            print(f"round {number}: {dict(found)}")
            ends += found
    assert all(ends[end] for end in ("shipped", "refunded", "never paid")), ends
    print(f"{aside} instances were set aside at a kill")
    assert aside > 0


def test_the_check_finds_a_process_manager_that_does_things_twice(tmp_path: Path) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    for number in range(100):
        # What it is robbed of may also bring it to a stop for good, in which nothing is done twice.
        folder = tmp_path / f"chapter-{number // CHAPTER}"
        folder.mkdir(exist_ok=True)
        run_and_kill(folder, number, dice, "broken")
        if any(len(used) > 1 for used in keys_of(folder / "ledger").values()):
            break
    with pytest.raises(AssertionError, match="more than one"):
        check_ledger(folder / "ledger")
