from __future__ import annotations

from datetime import timedelta

import pytest

from actors.consistency import position_of, target_position
from actors.messages import Receipt
from actors.progress import Progress

RECEIPT = Receipt("c", 3, 4, 4, "s", 2, {"s": 2}, ())


@pytest.fixture
def progress():
    progress = Progress(10, ["m"], ["a"])
    progress.committed(20)
    return progress


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, 0),
        ({"consistency": "eventual"}, 0),
        ({"consistency": "strong"}, 20),
        ({"after": 7}, 7),
        ({"after": RECEIPT}, 4),
        ({"after": 30}, 30),
        ({"max_lag": 5}, 15),
        ({"max_lag": 0}, 20),
        ({"max_lag": 100}, 0),
        ({"max_lag": 0.0}, 20),
        ({"max_lag": 3600.0}, 10),
        ({"max_lag": timedelta(hours=1)}, 10),
        ({"after": 17, "max_lag": 5}, 17),
        ({"after": 12, "max_lag": 5}, 15),
        ({"consistency": "strong", "after": 30}, 30),
        ({"consistency": "strong", "after": 3, "max_lag": 9}, 20),
    ],
    ids=str,
)
def test_each_demand_is_a_position_and_the_strictest_holds(progress, options, target):
    assert max(target_position(progress, **options), 0) == target


@pytest.mark.parametrize(
    "options",
    [
        {"consistency": "exact"},
        {"after": -1},
        {"after": True},
        {"after": "7"},
        {"after": 1.5},
        {"max_lag": -1},
        {"max_lag": True},
        {"max_lag": "1"},
        {"max_lag": timedelta(seconds=-1)},
        {"max_lag": float("nan")},
    ],
    ids=str,
)
def test_a_demand_that_makes_no_sense_is_refused_and_named(progress, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        target_position(progress, **options)


def test_a_receipt_stands_for_the_position_of_its_outcome():
    assert position_of(RECEIPT) == 4
    assert position_of(RECEIPT._replace(first=0, last=0, position=9)) == 9
    assert position_of(0) == 0
