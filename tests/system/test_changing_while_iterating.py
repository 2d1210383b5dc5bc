"""A projection may change the rows that it goes through: each comes once, in every engine, and after every
filling.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from actors import Rejected, System
from tests.system.hotel import (
    AllRaised,
    RaiseAll,
    RoomAdded,
    TimesRaised,
    TimesRaisedInLedger,
    TimesRaisedInline,
    hotel,
    prices,
)

QUERIES = TimesRaised, TimesRaisedInline, TimesRaisedInLedger


def times_raised(system: System, after: Any) -> list[list[int]]:
    return [system.query(query(), after=after) for query in QUERIES]


@pytest.mark.parametrize("number", [8, 50, 300])
def test_each_row_is_changed_once_and_again_when_the_models_are_filled_anew(
    store_path: Path, number: int
) -> None:
    with System.open(store_path, hotel, replicas=1) as system:
        receipt = system.append("rooms", [*(RoomAdded(n, 100 + n) for n in range(number)), AllRaised(1000)])
        assert times_raised(system, receipt) == [[1], [1], [1]]
        receipt = system.append("rooms", [AllRaised(500), AllRaised(1000)])
        assert times_raised(system, receipt) == [[3], [3], [3]]
        before = system.dump("replica-1", prices)
    shutil.rmtree(store_path / "replicas")
    with System.open(store_path, hotel, replicas=1) as system:
        assert times_raised(system, receipt) == [[3], [3], [3]]
        assert system.dump("replica-1", prices) == before


def test_each_row_is_changed_once_in_a_worker_process(store_path: Path) -> None:
    with System.open(store_path, hotel, replicas=1, workers="process") as system:
        receipt = system.append("rooms", [*(RoomAdded(n, 100 + n) for n in range(60)), AllRaised(1000)])
        assert times_raised(system, receipt) == [[1], [1], [1]]


def test_a_refusal_half_way_leaves_every_row_as_it_was(store_path: Path) -> None:
    with System.open(store_path, hotel, replicas=1) as system:
        system.append("rooms", [RoomAdded(n, 100 + n) for n in range(100)])
        for _ in range(2):
            with pytest.raises(Rejected, match="too dear"):
                system.execute(RaiseAll(1000, at_most=1150))
        receipts = [system.execute(RaiseAll(1000, at_most=9000)) for _ in range(2)]
        assert times_raised(system, receipts[-1]) == [[2], [2], [2]]
