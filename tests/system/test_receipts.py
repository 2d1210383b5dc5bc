"""A command that is sent again by its id gets the receipt that it got first, whatever happened in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors import Receipt, System
from tests.system.checks import check_all
from tests.system.depot import Increment, Line, PlaceOrder, Stock, Touch, depot

COMMANDS = {
    "of a new store": Touch("a"),
    "one event": Increment("a", 2),
    "nothing": Touch("a"),
    "nothing, in a new stream": Touch("b"),
    "stocked": Stock("lamp", 3),
    "several streams": PlaceOrder("order", (Line("lamp", 1), Line("lamp", 2))),
    "nothing again": Touch("a"),
}
POSITIONS = {
    "of a new store": 0,
    "one event": 1,
    "nothing": 1,
    "nothing, in a new stream": 1,
    "stocked": 2,
    "several streams": 5,
    "nothing again": 5,
}


def restart_the_writer(system: System) -> None:
    assert system.kill("command-handler")


@pytest.mark.parametrize(
    "between", [lambda system: None, restart_the_writer], ids=["at once", "a new writer"]
)
def test_a_repeated_command_gets_its_first_receipt_whole_with_or_without_events(
    store_path: Path, between: Callable[[System], None]
) -> None:
    def execute_all(system: System) -> dict[str, Receipt]:
        return {name: system.execute(command, command_id=name) for name, command in COMMANDS.items()}

    with System.open(store_path, depot, replicas=1) as system:
        first = execute_all(system)
        assert {name: receipt.position for name, receipt in first.items()} == POSITIONS
        system.execute(Increment("a"))
        between(system)
        assert execute_all(system) == first
    with System.open(store_path, depot, replicas=1) as system:
        assert execute_all(system) == first
        system.execute(Increment("b"))
        assert execute_all(system) == first
        check_all(system)
