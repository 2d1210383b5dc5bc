"""Facts appended without a command, into streams of their own and into an aggregate's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import CommandIdReused, ConcurrencyConflict, InvalidMessage, System
from tests.system.checks import check_all
from tests.system.depot import Incremented, Line, Measured, PlaceOrder, Stock, Stocked, StockOf, depot


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, depot, replicas=2) as opened:
        yield opened


def test_a_fact_without_a_state_leaves_the_state_of_the_stream_that_it_is_appended_to(
    store_path: Path,
) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Stock("lamp", 5))
    with System.open(store_path, depot, replicas=1) as system:
        # The writer knows nothing of the stream yet, and this event does not say what state it has.
        system.append("item-lamp", [Measured("scale", 3)])
        receipt = system.execute(PlaceOrder("order", (Line("lamp", 5),)))
        assert receipt.versions == {"order-order": 1, "item-lamp": 3}
        assert system.query(StockOf("lamp"), after=receipt) == 0
        check_all(system)


def test_facts_and_commands_of_one_batch_see_each_others_states(store_path: Path) -> None:
    with System.open(store_path, depot, replicas=1) as system:
        system.execute(Stock("lamp", 5))
    with System.open(store_path, depot, replicas=1) as system:
        system.append("item-lamp", [Measured("scale", 3), Stocked("lamp", 2), Measured("scale", 4)])
        receipt = system.execute(PlaceOrder("order", (Line("lamp", 7),)))
        assert receipt.versions["item-lamp"] == 5


def test_facts_are_idempotent_by_their_id_and_their_stream(system: System) -> None:
    first = system.append("scale-1", [Measured("scale", 3)], command_id="mine")
    assert system.append("scale-1", [Measured("scale", 3)], command_id="mine") == first
    with pytest.raises(CommandIdReused):
        system.append("scale-2", [Measured("scale", 3)], command_id="mine")
    with pytest.raises(CommandIdReused):
        system.append("scale-1", [Measured("scale", 4)], command_id="mine")
    assert system.position == 1


def test_facts_of_an_aggregate_change_its_state_as_a_commands_events_do(system: System) -> None:
    receipt = system.append("item-lamp", [Stocked("lamp", 2), Stocked("lamp", 3)], expected_version=0)
    assert (receipt.first, receipt.last, receipt.version) == (1, 2, 2)
    with pytest.raises(ConcurrencyConflict):
        system.append("item-lamp", [Stocked("lamp", 2)], expected_version=1)
    with pytest.raises(InvalidMessage):
        system.append("item-desk", [Stocked("lamp", 2)])
    with pytest.raises(InvalidMessage):
        system.append("item-lamp", [Stocked("lamp", 2), Incremented("c", 1)])
    assert system.execute(PlaceOrder("order", (Line("lamp", 5),))).versions["item-lamp"] == 3
    events = check_all(system)
    assert len(events) == 4


def test_streams_are_listed_by_name_with_their_versions_whoever_wrote_them(system: System) -> None:
    assert system.streams() == []
    system.append("scale-1", [Measured("scale", 3), Measured("scale", 4)])
    system.append("scale-10", [Measured("scale", 5)])
    system.execute_many([Stock("lamp", 5), Stock("lamp", 1), Stock("desk", 1)])
    everything = [("item-desk", 1), ("item-lamp", 2), ("scale-1", 2), ("scale-10", 1)]
    assert system.streams() == everything
    assert system.streams("scale-") == everything[2:]
    assert system.streams("scale-1", limit=1) == everything[2:3]
    assert system.streams(limit=2, after="item-desk") == everything[1:3]
    assert system.streams("scale-", after="scale-1") == everything[3:]
    assert system.streams("scale-", after="scale-10") == system.streams("none") == []
