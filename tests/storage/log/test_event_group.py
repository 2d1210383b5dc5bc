"""Events that are checked together: what is found is what a check of each finds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from zlib import crc32

import pytest

from storage.log import event_group
from storage.log.checksums import EVENT, LAST_EVENT, opened_event, sealed_events
from storage.log.event_group import EventGroup, checked_groups, unchecked_groups
from storage.log.group_checksum import GROUP, group_checks

MOST = 1 << 30
FIRST = (1, 2, GROUP - 1, GROUP, 5 * GROUP + 7, (1 << 32) - 50, (1 << 32) + 1, (1 << 63) + 3)


class Damaged(Exception):
    """The error that a test gives for a damaged event."""


def commits(first: int, events: int, largest: int, chance: random.Random) -> list[bytes]:
    """Stored events from a position on, in commits of up to `largest`."""
    stored: list[bytes] = []
    while len(stored) < events:
        count = min(chance.randint(1, largest), events - len(stored))
        records = [chance.randbytes(chance.choice([1, 3, 60, 400])) for _ in range(count)]
        stored += sealed_events(first + len(stored), records, chance.randbytes(32))
    return stored


def read(first: int, stored: Sequence[bytes], most: int = MOST) -> tuple[list[bytes], int | None]:
    """What the groups give, and the position of the first damaged event."""
    own: list[bytes] = []
    try:
        for group in checked_groups(first, stored, most, Damaged):
            assert group.first == first + len(own)
            own += group.own()
            assert group.last == first + len(own) - 1
            assert [group.own_at(index) for index in range(len(group.values))] == group.own()
            assert all(value in group.joined for value in group.values)
    except Damaged as error:
        return own, error.args[0]
    return own, None


def one_by_one(first: int, stored: Sequence[bytes]) -> tuple[list[bytes], int | None]:
    own = []
    for position, value in enumerate(stored, first):
        opened = opened_event(position, value)
        if opened is None:
            return own, position
        own.append(opened[0])
    return own, None


@pytest.mark.parametrize("largest", [1, 2, 20, 150, 5_000])
@pytest.mark.parametrize("first", FIRST)
def test_events_are_what_each_by_itself_is(first: int, largest: int) -> None:
    stored = commits(first, 3 * GROUP + 5, largest, random.Random(largest))
    assert read(first, stored) == one_by_one(first, stored)


@pytest.mark.parametrize("largest", [1, 20, 150, 5_000])
def test_the_first_damaged_event_ends_them(largest: int) -> None:
    chance = random.Random(largest)
    whole = commits(70, 400, largest, chance)
    for _ in range(150):
        stored = list(whole)
        for _ in range(chance.choice([1, 1, 2, 5])):
            index = chance.randrange(len(stored))
            value = bytearray(stored[index])
            value[chance.randrange(len(value))] ^= chance.randrange(1, 256)
            stored[index] = bytes(value)
        assert read(70, stored) == one_by_one(70, stored) != one_by_one(70, whole)


@pytest.mark.parametrize("largest", [1, 5_000])
def test_events_at_other_positions_or_of_other_lengths_are_damage(largest: int) -> None:
    chance = random.Random(5)
    whole = commits(1, 200, largest, chance)
    for index in (0, 1, 63, 100, 198):
        exchanged = list(whole)
        exchanged[index : index + 2] = exchanged[index : index + 2][::-1]
        missing = whole[:index] + whole[index + 1 :]
        twice = whole[:index] + whole[index : index + 1] + whole[index:]
        shorter, longer, empty = list(whole), list(whole), list(whole)
        shorter[index] = shorter[index][:-1]
        longer[index] += b"\1"
        empty[index] = b""
        for stored in (exchanged, missing, shorter, longer, empty):
            assert read(1, stored) == (one_by_one(1, whole[:index])[0], 1 + index)
        assert read(1, twice) == (one_by_one(1, whole[: index + 1])[0], 2 + index)


def test_they_stop_after_the_event_that_exceeds_the_bytes() -> None:
    stored = sealed_events(1, [b"x" * 96] * 300, b"d" * 32)
    for most, events in ((0, 1), (99, 1), (100, 2), (100 * GROUP, GROUP + 1), (100 * 250, 251), (MOST, 300)):
        assert len(read(1, iter_of(stored, events), most)[0]) == events
        groups = unchecked_groups(1, iter_of(stored, events), most)
        assert sum(len(group.values) for group in groups) == events


def iter_of(values: Sequence[bytes], most: int) -> Sequence[bytes]:
    """A sequence that fails when more than `most` values are taken of it."""

    class Counted(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            yield from values[:most]
            assert most == len(values), "more events were read than are given"

    return Counted()


def test_a_group_of_large_events_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_group, "GROUP_BYTES", 1_000)
    stored = sealed_events(1, [b"x" * 396] * 20, b"d" * 32)
    groups = list(checked_groups(1, stored, MOST, Damaged))
    assert [len(group.values) for group in groups] == [3] * 6 + [2]
    assert read(1, stored) == one_by_one(1, stored)


def test_events_without_checksums_are_as_they_are() -> None:
    values = [bytes([number % 256]) * number for number in range(300)]
    groups = list(unchecked_groups(9, values, MOST))
    assert [value for group in groups for value in group.own()] == values
    assert [group.own_at(0) for group in groups] == [group.values[0] for group in groups]
    assert groups[1] == EventGroup(GROUP, values[GROUP - 9 : 2 * GROUP - 9], groups[1].joined, 0)


@pytest.mark.parametrize("likely", [EVENT, LAST_EVENT, None])
def test_whatever_is_expected_the_checks_are_those_of_each(likely: int | None) -> None:
    chance = random.Random(3)
    for first in FIRST:
        for largest in (1, 10, 500):
            stored = commits(first, GROUP - first % GROUP, largest, chance)
            checks, _ = group_checks(first, stored, likely)
            each = [crc32(value, first + index & 0xFFFFFFFF) for index, value in enumerate(stored)]
            assert checks == each or (isinstance(checks, int) and each == [checks] * len(each))
