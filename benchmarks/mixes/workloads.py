"""YCSB's core workloads that ask for single records, as lists of operations made beforehand. Pure.

A workload is a mix of reads with one kind of write. E, which asks for short ranges, is not among them: ranges
have a table of their own in `benchmarks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Any

from benchmarks.mixes.domain import FIELDS, WIDTH
from benchmarks.mixes.zipf import Zipf, scattered


class Kind(IntEnum):
    """What an operation does."""

    READ = 0
    READ_LATEST = 1
    UPDATE = 2
    INSERT = 3
    MODIFY = 4


@dataclass(frozen=True)
class Workload:
    """`writes` of all operations are of the kind `write`, the others read."""

    name: str
    title: str
    writes: float
    write: Kind
    highest: int
    """More operations a second than any peer does, of all its callers."""


WORKLOADS = (
    Workload("a", "A: 50 % read, 50 % update", 0.5, Kind.UPDATE, 80_000),
    Workload("b", "B: 95 % read, 5 % update", 0.05, Kind.UPDATE, 250_000),
    Workload("c", "C: read only", 0.0, Kind.UPDATE, 500_000),
    Workload("d", "D: 95 % read latest, 5 % insert", 0.05, Kind.INSERT, 250_000),
    Workload("f", "F: 50 % read, 50 % read-modify-write", 0.5, Kind.MODIFY, 80_000),
)

Operation = tuple[Kind, Any, Any]
"""The kind, the key (for READ_LATEST how many came after it), and what is written: for UPDATE field and
value, for INSERT its number among the inserts of this list and the fields, for MODIFY the field."""


def key_of(number: int) -> str:
    """The key of a record; as YCSB's, in no order."""
    return f"user{scattered(number)}"


def fields_of(random: Random) -> tuple[str, ...]:
    """Ten fields of random digits."""
    digits = f"{random.getrandbits(332) % 10**100:0100}"
    return tuple(digits[start : start + WIDTH] for start in range(0, len(FIELDS) * WIDTH, WIDTH))


def first_records(keys: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys and fields of the records that every peer begins with, in key order, which loads fastest."""
    random = Random(len(keys))
    for key in sorted(keys):
        yield key, fields_of(random)


class Chooser:
    """Makes the operations of workloads over `records` records; once for all peers."""

    def __init__(self, records: int) -> None:
        self.keys = [key_of(number) for number in range(records)]
        self._zipf = Zipf(records)
        self._by_rank: dict[int, str] = {}
        self._inserted = records

    def operations(self, workload: Workload, count: int, seed: int) -> list[Operation]:
        """Operations in their order, the same for the same seed; keys of inserts are always new."""
        random = Random(seed)
        uniform, below = random.random, random.randrange
        ranks = self._zipf.ranks(count, seed)
        found: list[Operation] = []
        inserts = 0
        for rank in ranks:
            if uniform() >= workload.writes:
                if workload.write is Kind.INSERT:
                    found.append((Kind.READ_LATEST, rank, None))
                else:
                    found.append((Kind.READ, self._popular(rank), None))
            elif workload.write is Kind.UPDATE:
                value = f"{below(10**WIDTH):0{WIDTH}}"
                found.append((Kind.UPDATE, self._popular(rank), (below(len(FIELDS)), value)))
            elif workload.write is Kind.MODIFY:
                found.append((Kind.MODIFY, self._popular(rank), below(len(FIELDS))))
            else:
                key = key_of(self._inserted + inserts)
                found.append((Kind.INSERT, key, (inserts, fields_of(random))))
                inserts += 1
        self._inserted += inserts
        return found

    def _popular(self, rank: int) -> str:
        key = self._by_rank.get(rank)
        if key is None:
            key = self._by_rank[rank] = self.keys[scattered(rank) % len(self.keys)]
        return key
