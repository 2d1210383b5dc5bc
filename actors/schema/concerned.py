"""How much of a store a mismatch concerns: counted on stored bytes, without decoding. Any thread."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgpack

from actors.schema.comparison import Mismatch
from storage.codec.upcasting import stored_name
from storage.errors import StorageError
from storage.log.log_reader import LogReader
from storage.log.record_filter import type_of

__all__ = ["Concerned", "Needed", "count_concerned", "records_holding"]

CHUNK = 10_000
"""Events that are read at a time."""


@dataclass(slots=True)
class Concerned:
    """How many events each mismatch concerns, among the first `looked_at` of `head`."""

    events: Counter[Mismatch] = field(default_factory=Counter)
    looked_at: int = 0
    head: int = 0

    @property
    def complete(self) -> bool:
        """Whether every event was looked at."""
        return self.looked_at >= self.head

    def text(self, one: Mismatch) -> str:
        """The number in words."""
        count = self.events[one]
        number = f"{count:,}" if self.complete else f"at least {count:,}"
        some = f" (of {self.looked_at:,} looked at, and there are {self.head:,})" * (not self.complete)
        if one.kind == "event":
            what = "such event is stored" if count == 1 else "such events are stored"
        elif one.kind == "state":
            what = "stored event is in such a stream" if count == 1 else "stored events are in such streams"
        else:
            what = "stored event holds it" if count == 1 else "stored events hold it"
        return f"{number} {what}{some}"


def count_concerned(log: LogReader, mismatches: Iterable[Mismatch], seconds: float) -> Concerned:
    """Look at the events from the first one on, for so many seconds at most."""
    by_type: dict[str, list[Mismatch]] = {}
    inside: list[Mismatch] = []
    for one in mismatches:
        if one.kind in ("event", "state"):
            for name in one.of_events:
                for stored in _names(one._replace(name=name)):
                    by_type.setdefault(stored, []).append(one)
        elif one.of_events:
            inside.append(one)
    found = Concerned(head=log.head)
    end = time.monotonic() + seconds
    while not found.complete and time.monotonic() < end:
        try:
            records = log.records(found.looked_at, CHUNK)
        except StorageError:
            break  # those that are damaged are found when they are read
        if by_type:
            types = Counter(type_of(data) for data in records)
            for name, count in types.items():
                for one in by_type.get(name, ()):
                    found.events[one] += count
        for one in inside:
            marks = _marks(one)
            found.events[one] += sum(_holds(data, marks, one.members) for data in records)
        found.looked_at += len(records)
    return found


Needed = Callable[[LogReader, str, bytes, bytes], bytes]
"""The part of a record that the code may have to read: from the manager's name, the key and the value."""


def records_holding(log: LogReader, one: Mismatch, needed: Needed) -> dict[str, int]:
    """How many records of each process manager hold, where it is needed, a value of the type of `one`."""
    marks = _marks(one)
    found: Counter[str] = Counter()
    for prefix in (b"pm/", b"outbox/"):
        for key, value in log.notes(prefix):
            name = key[len(prefix) :].partition(b"/")[0].decode()
            if _holds(value, marks, one.members) and _holds(
                needed(log, name, key, value), marks, one.members
            ):
                found[name] += 1
    return dict(found)


def _names(one: Mismatch) -> list[str]:
    """The stored names that it is about."""
    first = 1 if one.any_version or one.kind not in ("event", "state") else one.version
    return [stored_name(one.name, version) for version in range(first, one.version + 1)]


def _marks(one: Mismatch) -> list[bytes]:
    """What the bytes of every stored value of the type hold: a list of two that begins with its name."""
    return [b"\x92" + msgpack.packb(name) for name in _names(one)]


def _holds(data: bytes, marks: Iterable[bytes], members: Sequence[str]) -> bool:
    """Whether the bytes hold a value with one of the marks; of an enum, one with a member of these."""
    for mark in marks:
        at = data.find(mark)
        while at >= 0:
            at += len(mark)
            if not members or not _members_at(data, at).isdisjoint(members):
                return True
            at = data.find(mark, at)
    return False


def _members_at(data: bytes, at: int) -> set[str]:
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data[at:])
    return set(unpacker.unpack())
