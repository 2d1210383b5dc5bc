"""Entries that became smaller are packed into fewer pages, and nothing else changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files.environment import DATA_FILE, open_environment
from storage.files.leaf_packing import FULL, leaves_at, pack_leaves
from storage.files.lmdb_pages import PageFile

ENTRIES = 12_000


def key(number: int) -> bytes:
    return number.to_bytes(8)


def packed(folder: Path, values: dict[int, bytes], later: dict[int, bytes]) -> tuple[int, int, int]:
    """Pages of a database before and after it was packed, and how many calls it took."""
    environment = open_environment(folder, sync=False)
    database = environment.open_db(b"events")
    other = environment.open_db(b"other")
    with environment.begin(write=True) as transaction:
        for number in sorted(values):
            transaction.put(key(number), values[number], db=database, append=True)
        transaction.put(b"a", b"b", db=other)
    with environment.begin(write=True) as transaction:
        for number, value in later.items():
            transaction.put(key(number), value, db=database)
        before = transaction.stat(database)["leaf_pages"]
    calls, at = 0, key(0)
    with (folder / DATA_FILE).open("rb") as file:
        pages = PageFile(file.fileno())
        while True:
            with environment.begin() as reading:
                leaves = leaves_at(pages, reading.id(), b"events", at)
            assert leaves is not None
            if leaves.worth_packing:
                calls += 1
                with environment.begin(write=True) as transaction:
                    pack_leaves(transaction, database, leaves)
            if leaves.last == key(max(values)):
                break
            assert leaves.last >= at
            at = key(int.from_bytes(leaves.last) + 1)
    with environment.begin() as transaction:
        assert dict(transaction.cursor(database)) == {key(n): v for n, v in (values | later).items()}
        assert [n for n, _ in transaction.cursor(database)] == sorted(map(key, values))
        assert dict(transaction.cursor(other)) == {b"a": b"b"}
        after = transaction.stat(database)["leaf_pages"]
    environment.close()
    return before, after, calls


@pytest.mark.parametrize(
    ("replaced", "at_most"),
    [
        (lambda number: True, 0.5),
        (lambda number: number % 10, 0.55),
        (lambda number: number % 2, 0.8),
        (lambda number: number <= ENTRIES // 2, 0.8),
        (lambda number: number > ENTRIES // 2, 0.8),
    ],
)
def test_pages_of_smaller_values_are_packed(
    replaced: Callable[[int], bool], at_most: float, tmp_path: Path
) -> None:
    dice = random.Random(1)
    values = {number: dice.randbytes(dice.randrange(150, 380)) for number in range(1, ENTRIES + 1)}
    later = {number: b"s" * 110 for number in values if replaced(number)}
    before, after, calls = packed(tmp_path / "store", values, later)
    assert after < at_most * before
    assert calls >= 2
    used = sum(len(values[n] if n not in later else later[n]) + 18 for n in values)
    assert used / (after * 4_080) > 0.85


def test_pages_that_are_full_stay_as_they_are(tmp_path: Path) -> None:
    values = dict.fromkeys(range(1, ENTRIES + 1), b"x" * 200)
    assert FULL < 0.9
    assert packed(tmp_path / "store", values, {5: b"s" * 100})[2] == 0


def test_large_values_in_pages_of_their_own_are_not_written_again(tmp_path: Path) -> None:
    values = {number: bytes(200 if number % 9 else 20_000) for number in range(1, 3_000)}
    later = {number: b"s" for number in values if number % 9}
    assert packed(tmp_path / "store", values, later)[2] == 0


@pytest.mark.parametrize("count", [1, 5, 30, 300])
def test_a_small_database_is_packed_or_left_alone(count: int, tmp_path: Path) -> None:
    values = dict.fromkeys(range(1, count + 1), b"x" * 300)
    before, after, _ = packed(tmp_path / "store", values, dict.fromkeys(values, b"s"))
    assert after <= before


def test_a_database_that_is_empty_or_missing_has_no_leaves(tmp_path: Path) -> None:
    environment = open_environment(tmp_path / "store", sync=False)
    environment.open_db(b"events")
    with (tmp_path / "store" / DATA_FILE).open("rb") as file, environment.begin() as reading:
        for name in (b"events", b"none"):
            assert leaves_at(PageFile(file.fileno()), reading.id(), name, b"") is None
        assert leaves_at(PageFile(file.fileno()), reading.id() + 7, b"events", b"") is None
    environment.close()
