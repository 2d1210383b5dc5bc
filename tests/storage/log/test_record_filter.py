"""Which stored events are wanted, decided on their bytes: the same as decoding them all says."""

from __future__ import annotations

import random

import msgpack
import pytest

from storage.codec.upcasting import version_of
from storage.log.record_filter import RecordFilter, type_of

TYPES = ["Price", "PriceChanged", "Changed", "X", "Größe", "A" * 40]
STREAMS = [
    "x",
    "order",
    "order-1",
    "orders-1",
    "border-1",
    "order-" + "9" * 36,
    "größe-1",
    "s" * 300,
    "PriceChanged",
]
VERSIONS = [1, 127, 128, 70_000, 1 << 31, 1 << 40]


def stored(stream: str, version: int, type_: str, text: str = "") -> bytes:
    record = [stream, version, type_, {"text": text}, 5, "command-1", "Price", None, None, [], None]
    data: bytes = msgpack.packb(record)
    return data


def some_events(count: int, seed: int) -> list[tuple[str, str, bytes]]:
    """Stream, base name of the type, and bytes; fields hold names that are none."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        stream, name = chance.choice(STREAMS), chance.choice(TYPES)
        full = name + chance.choice(["", "", "@2", "@12"])
        text = chance.choice(["", *TYPES, *STREAMS, msgpack.packb("Price").decode("latin-1")])
        found.append((stream, name, stored(stream, chance.choice(VERSIONS), full, text)))
    return found


@pytest.mark.parametrize("stream", ["", "order-1", "order"])
@pytest.mark.parametrize("category", ["", "order", "größe", "s"])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_filter_finds_what_looking_at_each_decoded_event_finds(
    stream: str, category: str, count: int
) -> None:
    events = some_events(700, seed=count)
    for seed in range(20):
        types = random.Random(seed).sample(TYPES, count)
        wanted = RecordFilter(types, stream, category)
        expected = [
            index
            for index, (of, name, _) in enumerate(events)
            if (not types or name in types)
            and (not stream or of == stream)
            and (not category or of.partition("-")[0] == category)
        ]
        assert list(wanted.indexes([data for *_, data in events])) == expected
        assert [index for index, (*_, data) in enumerate(events) if wanted.wants(data)] == expected


def test_a_single_event_among_many_is_found_wherever_it_is() -> None:
    others = [stored("a", 1, "Changed", "PriceChange")] * 1_000
    wanted = RecordFilter(["PriceChanged"])
    assert list(wanted.indexes(others)) == []
    for index in (0, 99, 100, 555, 999):
        values = list(others)
        values[index] = stored("a", 1, "PriceChanged")
        assert list(wanted.indexes(values)) == [index]


def test_the_type_is_known_without_the_rest() -> None:
    for stream, name, data in some_events(200, seed=7):
        assert version_of(type_of(data))[0] == name
        assert version_of(type_of(data[: len(stream.encode()) + 60]))[0] == name


def test_what_is_no_event_is_wanted_by_a_filter_of_many_types_so_that_reading_it_says_so() -> None:
    wanted = RecordFilter(["A", "B", "C", "D", "E"])
    for damaged in (b"", b"\x9b", b"\x9b\xa5ab", b"\x9b\xa1a\xff", b"\xff" * 30):
        assert wanted.wants(damaged)
