"""The effects of an instance keep their order when one is parked: those behind it wait, are shown, and go on
after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors import Do, Domain, StoreFull, UnknownName
from actors.process_managers.outbox_messages import DeliverEffects
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import OutboxEntry
from actors.testing import TestSystem
from storage import EventLog
from tests import inside
from tests.faults import put_fault
from tests.helpers import PATIENCE, wait_until

Patch = pytest.MonkeyPatch


class Outside:
    """What is told of prices, and which of them it does not take."""

    def __init__(self, *down: int) -> None:
        self.told: list[tuple[str, int]] = []
        self.down = set(down)
        self.shop = Domain("shop")
        shop = self.shop

        @shop.event(state=None)
        class Priced:
            item: str
            price: int

        prices = shop.process_manager("prices", key="item", start="beginning")

        @prices.state
        class Price:
            item: str

        @prices.on
        def on_priced(state: Price | None, event: Priced, do: Do) -> Price:
            do.effect("set price", event.price)
            return Price(event.item)

        @prices.effect("set price", attempts=1)
        def set_price(payload: int, key: str) -> None:
            if payload in self.down:
                raise OSError("down")
            self.told.append((key, payload))

        self.priced = Priced

    def opened(self, path: Path) -> TestSystem:
        return TestSystem.open(path, self.shop, replicas=1)

    def price(self, system: TestSystem, item: str, *prices: int) -> None:
        for price in prices:
            system.append("prices", [self.priced(item, price)])
        system.wait_process_managers()

    def prices(self) -> list[int]:
        return [price for _, price in self.told]


def parked(system: TestSystem) -> list[Any]:
    return [one for one in system.effects("prices") if one.parked]


def waiting(system: TestSystem) -> list[int]:
    return [one.payload for one in system.effects("prices") if not one.parked]


@pytest.mark.parametrize("drop", [False, True], ids=["retry", "drop"])
def test_what_comes_behind_a_parked_effect_waits_is_shown_and_goes_on_after_it(
    store_path: Path, drop: bool
) -> None:
    outside = Outside(1)
    with outside.opened(store_path) as system:
        outside.price(system, "lamp", 1, 2, 3)
        outside.price(system, "desk", 7, 8)
        assert outside.prices() == [7, 8]
        [first] = parked(system)
        assert waiting(system) == [2, 3]
        assert {one.behind for one in system.effects("prices") if not one.parked} == {first.key}
        [manager] = system.process_managers()
        assert (manager.effects, manager.blocked, manager.parked) == (0, 2, 1)
        assert any("1 parked effect, and 2 that wait behind it" in one for one in system.health().problems)
        with pytest.raises(UnknownName, match="there is no parked effect"):
            system.retry_effect("prices", system.effects("prices")[0].key)
    with outside.opened(store_path) as system:
        outside.price(system, "lamp", 4)
        assert waiting(system) == [2, 3, 4]
        outside.down.clear()
        (system.drop_effect if drop else system.retry_effect)("prices", first.key)
        system.wait_process_managers()
        assert outside.prices() == [7, 8, *([] if drop else [1]), 2, 3, 4]
        assert system.effects("prices") == []
        assert system.health().problems == ()
        outside.price(system, "lamp", 5)
        assert outside.prices()[-1] == 5


def test_one_that_fails_again_has_the_others_wait_again(store_path: Path) -> None:
    outside = Outside(1, 3)
    with outside.opened(store_path) as system:
        outside.price(system, "lamp", 1, 2, 3, 4)
        system.retry_effect("prices", parked(system)[0].key)
        system.wait_process_managers()
        assert outside.told == []
        assert waiting(system) == [2, 3, 4]
        outside.down.discard(1)
        system.retry_effect("prices", parked(system)[0].key)
        system.wait_process_managers()
        assert outside.prices() == [1, 2]
        assert (parked(system)[0].payload, waiting(system)) == (3, [4])


def test_more_than_are_moved_at_once_go_on_in_order(store_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr("actors.process_managers.parked_instances.CHUNK", 7)
    monkeypatch.setattr("actors.process_managers.loaded_effects.MAX_LOADED", 10)
    outside = Outside(0)
    with outside.opened(store_path) as system:
        system.append("prices", [outside.priced("lamp", price) for price in range(100)])
        system.wait_process_managers()
        assert len(waiting(system)) == 99
        outside.down.clear()
        system.retry_effect("prices", parked(system)[0].key)
        system.append("prices", [outside.priced("lamp", price) for price in range(100, 120)])
        system.wait_process_managers()
        assert outside.prices() == list(range(120))


def test_several_that_were_parked_by_an_earlier_checkout_go_on_in_order(store_path: Path) -> None:
    outside = Outside()
    with outside.opened(store_path) as system:
        for _ in range(5):  # steps, one after another: the effects below are of earlier ones than what comes
            outside.price(system, "desk", 7)
    outside.told.clear()
    keys, values = RecordKeys("prices"), RecordCodec(outside.shop.compile().codec)
    with EventLog.open(store_path, outside.shop.compile().codec, siblings=["replicas"]) as log:
        for number in (1, 2, 3):
            entry = OutboxEntry(f"prices:{number}:e0", "lamp", "set price", number, 1, None, "down", 1)
            log.append(
                [], notes=[(keys.parked + keys.effect(number, 0)[len(keys.due) :], values.pack_entry(entry))]
            )
    with outside.opened(store_path) as system:
        outside.price(system, "lamp", 4)
        system.retry_effect("prices", "prices:2:e0")
        system.wait_process_managers()
        assert (waiting(system), outside.told) == ([2, 4], [])
        system.retry_effect("prices", "prices:1:e0")
        system.wait_process_managers()
        assert outside.prices() == [1, 2]
        assert waiting(system) == [4]
        system.drop_effect("prices", "prices:3:e0")
        system.wait_process_managers()
        assert outside.prices() == [1, 2, 4]


def test_what_a_crash_left_behind_nothing_goes_on_at_the_next_opening(store_path: Path) -> None:
    outside = Outside(1)
    with outside.opened(store_path) as system:
        outside.price(system, "lamp", 1, 2, 3)
    keys = RecordKeys("prices")
    with EventLog.open(store_path, outside.shop.compile().codec, siblings=["replicas"]) as log:
        # As it is when the process dies right after a retry is on disk.
        [(key, value)] = log.notes(keys.parked)
        log.append([], notes=[(key, None), (keys.due + key[len(keys.parked) :], value)])
    outside.down.clear()
    with outside.opened(store_path) as system:
        system.wait_process_managers()
        assert outside.prices() == [1, 2, 3]


def changes(prefix: Callable[[RecordKeys], bytes], gone: bool) -> Callable[..., bool]:
    """Whether an append writes, or deletes, a note of this kind."""
    begins = prefix(RecordKeys("prices"))

    def only(_log: EventLog, *_args: Any, **named: Any) -> bool:
        notes = list(named.get("notes", ()))
        return any(key.startswith(begins) and (value is None) == gone for key, value in notes)

    return only


@pytest.mark.parametrize("victim", [None, "outbox-prices"])
@pytest.mark.parametrize(
    "only",
    [
        changes(lambda keys: keys.parked, gone=False),
        changes(lambda keys: keys.blocked, gone=False),
        changes(lambda keys: keys.blocked, gone=True),
    ],
    ids=["parking", "waiting behind", "coming back"],
)
def test_a_write_that_fails_on_the_way_changes_no_order(
    store_path: Path, monkeypatch: Patch, only: Any, victim: str | None
) -> None:
    outside = Outside(1)
    with outside.opened(store_path) as system:
        failed = put_fault(monkeypatch, EventLog, "append", lambda: StoreFull("no room"), only=only, times=2)
        for price in (1, 2, 3):
            system.append("prices", [outside.priced("lamp", price)])
        wait_until(lambda: parked(system) and system.process_managers()[0].blocked == 2)
        if victim:
            assert system.kill(victim)
        outside.down.clear()
        system.retry_effect("prices", parked(system)[0].key)
        system.wait_process_managers()
        assert failed() == 2
        assert outside.prices() == [1, 2, 3]
        assert system.effects("prices") == []


def test_a_look_at_all_that_is_parked_does_not_miss_what_is_being_parked(
    store_path: Path, monkeypatch: Patch
) -> None:
    outside = Outside(1)
    parking = changes(lambda keys: keys.parked, gone=False)
    entered, release = threading.Event(), threading.Event()
    append = EventLog.append

    def held(log: EventLog, *args: Any, **named: Any) -> None:
        if parking(log, *args, **named):
            entered.set()
            assert release.wait(PATIENCE)
        append(log, *args, **named)

    with outside.opened(store_path) as system:
        monkeypatch.setattr(EventLog, "append", held)
        system.append("prices", [outside.priced("lamp", price) for price in (1, 2, 3)])
        assert entered.wait(PATIENCE)
        outbox = inside.manager(system, "prices")
        for _ in range(3):  # Once the last one is taken, the first ones are done with.
            outbox.board.count_release()
            outbox.outbox.put(DeliverEffects(reload=True))
            wait_until(lambda: outbox.board.releases_seen == outbox.board.releases)
        assert outside.told == []
        release.set()
        system.wait_process_managers()
        assert outside.told == []
        assert waiting(system) == [2, 3]
