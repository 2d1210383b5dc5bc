from __future__ import annotations

from datetime import timedelta

import pytest

from actors.errors import InvalidToken
from actors.queries.consistency import position_of, target_position
from actors.queries.session_token import SessionTokens
from actors.receipt import Receipt
from actors.replication.progress import Progress

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
        ({"max_lag": float("inf")}, 0),
        ({"after": 15, "max_lag": float("inf")}, 15),
        ({"after": 0}, 0),
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
        {"consistency": None},
        {"consistency": []},
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


def test_a_token_stands_for_its_position_where_tokens_are_taken(progress):
    tokens = SessionTokens("history", progress)
    assert target_position(progress, after=tokens.issue(7), tokens=tokens) == 7
    assert target_position(progress, "strong", tokens.issue(7), tokens=tokens) == 20
    assert position_of(RECEIPT, "position", tokens) == 4
    with pytest.raises(InvalidToken, match="'seven' is not a session token"):
        target_position(progress, after="seven", tokens=tokens)
    with pytest.raises(
        ValueError, match="position= takes a receipt, a position from 0 on or a session token, got -1"
    ):
        position_of(-1, "position", tokens)


def test_seconds_of_lag_count_from_the_commit_of_the_oldest_event_that_is_missing(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("actors.replication.commit_times.time.monotonic", lambda: now[0])
    progress = Progress(10, ["m"], ["a"])
    for position in (11, 12, 13):
        now[0] += 10
        progress.committed(position)
    now[0] += 1
    # 13 was committed 1 second ago, 12 11, 11 21; what was there at the opening counts as old.
    assert [target_position(progress, max_lag=seconds) for seconds in (0.5, 1.5, 10.5, 11.5, 21.5, 1e9)] == [
        13,
        12,
        12,
        11,
        10,
        10,
    ]
