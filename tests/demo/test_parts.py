"""The demo's parts about process managers, rebuilds and the cache: what they check can fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest

from actors import System
from actors.demo.delivery import Labels, check_delivery, more_orders, show_delivery
from actors.demo.fulfilment import MemoryGateway, PlaceOrder, StockUp, delivery, use_gateway
from actors.demo.rebuild import show_rebuild
from actors.demo.report import PlainReport
from actors.demo.shop import Cheapest, ListProduct, shop
from actors.demo.shop import PlaceOrder as Buy
from actors.demo.tables import show_cache
from actors.demo.visitors import KnownNames


@pytest.fixture
def gateway() -> Iterator[MemoryGateway]:
    made = MemoryGateway()
    use_gateway(made)
    yield made
    use_gateway(MemoryGateway())


def test_orders_of_all_kinds_come_to_their_ends_and_the_books_agree(tmp_path: Path) -> None:
    said = StringIO()
    good, text = show_delivery(PlainReport(said), tmp_path / "store")
    shown = said.getvalue()
    assert good, shown
    for part in ("order 1 is shipped", "The process manager 'fulfilment'", "cancelled, declined"):
        assert part in shown
    assert "WRONG" not in shown
    assert text.startswith(f"process manager: of {4 + len(more_orders()[0])} orders ")


def test_books_that_do_not_agree_are_found_out(store_path: Path, gateway: MemoryGateway) -> None:
    with System.open(store_path, delivery, replicas=1) as system:
        system.execute(StockUp("lamp", 5))
        system.execute(PlaceOrder("1", "ann", "lamp", 1, 500))
        system.wait_process_managers()
        assert check_delivery(system, gateway, {"1"})[0] == []
        assert check_delivery(system, gateway, set())[0] == [
            "1 orders are shipped without a label, or have one and are not"
        ]
        gateway.charges["twice"] = "1", 500
        assert check_delivery(system, gateway, {"1"})[0] == [
            "order 1 was charged 2 times",
            "the gateway holds 1000 cents, and what was shipped costs 500",
        ]


def test_labels_are_waited_for(store_path: Path, gateway: MemoryGateway) -> None:
    labels = Labels()
    with System.open(store_path, delivery, replicas=1) as system:
        system.consume("labels", labels, types=["OrderShipped"])
        system.execute(StockUp("lamp", 5))
        system.execute(PlaceOrder("1", "ann", "lamp", 1, 500))
        assert labels.wait(1) == {"1"}


def a_shop(system: System) -> KnownNames:
    """Something to ask about."""
    known = KnownNames()
    for command in (
        ListProduct("lamp", "Desk lamp", "light", 100),
        ListProduct("bulb", "Bulb", "light", 50),
    ):
        system.execute(command)
        known.notice(command)
    known.notice(Buy("o1", "ann", datetime(2024, 5, 1, tzinfo=UTC), ()))
    return known


def test_a_model_is_rebuilt_under_queries_and_the_times_are_beside(store_path: Path) -> None:
    said = StringIO()
    with System.open(store_path, shop, replicas=2) as system:
        good, text = show_rebuild(PlainReport(said), system, a_shop(system), 1)
    assert good, said.getvalue()
    assert "Queries beside a rebuild" in said.getvalue()
    assert text.startswith("rebuild: 'catalogue' was rebuilt on 2 replicas in ")


def test_a_rebuild_that_did_not_end_is_found_out(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = StringIO()
    with System.open(store_path, shop, replicas=1) as system:
        known = a_shop(system)
        monkeypatch.setattr(system, "rebuild", lambda model, wait: None)
        applied = iter(({"replica-1": 2}, {"replica-1": 1}))
        monkeypatch.setattr("actors.demo.rebuild.applied", lambda system: next(applied))
        good, _ = show_rebuild(PlainReport(said), system, known, 1)
    assert not good
    assert "WRONG: a replica is elsewhere in the log" in said.getvalue()


def test_a_cache_that_answers_nothing_is_found_out(store_path: Path) -> None:
    with System.open(store_path, shop, replicas=1) as system:
        before = system.health().cache
        for _ in range(3):
            system.query(Cheapest(1), consistency="strong")
        after = system.health().cache
    assert before is not None
    good, text = show_cache(after, before)
    assert good
    assert text.endswith("0 of 0 while the commands ran, and 2 of 3 after them")
    assert show_cache(before, before)[0]
    assert not show_cache(replace(before, misses=1_000), before)[0]
    assert not show_cache(None, None)[0]
