"""Where commits end: what is found is what a check of each event finds, whatever was expected."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from storage.log.checksums import opened_event, sealed_events
from storage.log.commit_ends import SEARCHED, commit_ends
from storage.log.group_checksum import GROUP, WORTH_JOINING

USUAL = (1, 2, WORTH_JOINING, SEARCHED, 50, 10_000)
SIZES = ([1], [2], [7, 1], [SEARCHED, SEARCHED - 1], [100], [100, 1, 30], [300, 1, 1])


class Damaged(Exception):
    """The error that a test gives for a damaged event."""


def commits(first: int, events: int, sizes: Sequence[int]) -> list[bytes]:
    """Stored events from a position on, in commits of these sizes in turn."""
    chance = random.Random(str(sizes))
    stored: list[bytes] = []
    turn = 0
    while len(stored) < events:
        count = min(sizes[turn % len(sizes)], events - len(stored))
        records = [chance.randbytes(chance.choice([1, 60, 200])) for _ in range(count)]
        stored += sealed_events(first + len(stored), records, chance.randbytes(32))
        turn += 1
    return stored


def found(first: int, stored: Sequence[bytes], usual: int) -> list[int] | int:
    """The ends, or the position of the first damaged event."""
    try:
        return list(commit_ends(first, stored, usual, Damaged))
    except Damaged as error:
        return int(error.args[0])


def one_by_one(first: int, stored: Sequence[bytes]) -> list[int] | int:
    ends = []
    for index, value in enumerate(stored):
        opened = opened_event(first + index, value)
        if opened is None:
            return first + index
        if opened[1] is not None:
            ends.append(index)
    return ends


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("usual", USUAL)
def test_ends_are_those_that_each_event_tells(usual: int, sizes: list[int]) -> None:
    for first in (1, GROUP - 3, (1 << 32) - 50, (1 << 63) + 3):
        stored = commits(first, 2 * GROUP + 5, sizes)
        for events in (len(stored), len(stored) - 1, GROUP, 3, 0):
            assert found(first, stored[:events], usual) == one_by_one(first, stored[:events])


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("usual", USUAL)
def test_the_first_damaged_event_is_named(usual: int, sizes: list[int]) -> None:
    chance = random.Random(usual)
    whole = commits(70, 330, sizes)
    for _ in range(40):
        stored = list(whole)
        for _ in range(chance.choice([1, 1, 2, 5])):
            index = chance.randrange(len(stored))
            value = bytearray(stored[index])
            value[chance.randrange(len(value))] ^= chance.randrange(1, 256)
            stored[index] = bytes(value)
        assert found(70, stored, usual) == one_by_one(70, stored) != one_by_one(70, whole)
    for index in (0, 1, 63, 100, 328):
        missing = whole[:index] + whole[index + 1 :]
        exchanged = [*whole[:index], *whole[index : index + 2][::-1], *whole[index + 2 :]]
        assert found(70, missing, usual) == found(70, exchanged, usual) == 70 + index
