"""What is stored of a process manager has the same keys and bytes for ever, whatever the code calls it."""

from __future__ import annotations

import msgpack
import pytest

from actors.process_managers.input_order import OTHER, Order
from actors.process_managers.inputs import Input, Timer
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys, ids_of, timer_of_key
from actors.process_managers.records import (
    Checkpoint,
    DeliveryAttempts,
    InstanceSnapshot,
    ManagerMetadata,
    OutboxEntry,
    QuarantineRecord,
    UnhandledRejections,
)
from storage.codec.codec import Codec

KEYS = RecordKeys("worker")
CODEC = Codec()
RECORDS = RecordCodec(CODEC, 3)
ORDER = Order(7, OTHER, 2, 1)
HISTORY = bytes(7) + b"\7" + bytes(7) + b"\2" + bytes(3) + b"\1"
TIMER = Timer(5, "worker:7:t0", None, None)


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        (KEYS.checkpoint, b"pm/worker/place"),
        (KEYS.metadata, b"pm/worker/about"),
        (KEYS.state("ä"), b"pm/worker/state/\xc3\xa4"),
        (KEYS.timer(TIMER), b"pm/worker/timer/" + bytes(7) + b"\5worker:7:t0"),
        (KEYS.rejection(Input("rejection", "i:r", "k", None, 6, "i", None)), b"input/" + bytes(7) + b"\6i:r"),
        (KEYS.handled(ORDER), b"pm/worker/past/" + HISTORY),
        (KEYS.history_index_of("ä"), b"pm/worker/heard/\0\2\xc3\xa4"),
        (KEYS.snapshot("k"), b"pm/worker/checkpoint/k"),
        (KEYS.fired_timer(b"worker:7:t0"), b"pm/worker/fired/worker:7:t0"),
        (KEYS.indexed, b"pm/worker/indexed"),
        (KEYS.skip("worker:7"), b"pm/worker/skipped/worker:7"),
        (KEYS.unhandled, b"pm/worker/unheard"),
        (KEYS.quarantine("k"), b"pm/worker/quarantine/k"),
        (KEYS.held_of("k"), b"pm/worker/held/\0\1k"),
        (KEYS.effect(2, 1), b"outbox/worker/due/" + bytes(7) + b"\2\0\0\0\1"),
        (KEYS.attempts_of(KEYS.effect(2, 1)), b"outbox/worker/tried/" + bytes(7) + b"\2\0\0\0\1"),
        (KEYS.parked, b"outbox/worker/parked/"),
        (KEYS.blocked_of("k"), b"outbox/worker/behind/\0\1k"),
    ],
)
def test_keys_are_the_same_for_ever(key: bytes, stored: bytes) -> None:
    assert key.endswith(stored)
    assert key.startswith((b"pm/worker/", b"outbox/worker/"))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (ManagerMetadata(2, 5).pack(CODEC), [2, 5, None, False, b"", None, None]),
        (
            ManagerMetadata(2, 5, 9, True, b"a", b"b", {"E": "f"}).pack(CODEC),
            [2, 5, 9, True, b"a", b"b", {"E": "f"}],
        ),
        (
            RECORDS.pack_quarantine(QuarantineRecord(ORDER, "i", "an event", "E: no", "trace", 8)),
            [[7, 1, 2, 1, 0], "i", "an event", "E: no", "trace", 8],
        ),
        (RECORDS.pack_attempts(DeliveryAttempts(4, "trace")), [4, "trace"]),
        (RECORDS.pack_unhandled(UnhandledRejections(3, ("a",))), [3, ["a"]]),
        (RECORDS.pack_snapshot(InstanceSnapshot(ORDER, b"s", [])), [[7, 1, 2, 1, 0], b"s"]),
        (RECORDS.pack_snapshot(InstanceSnapshot(ORDER, None, [b"t"])), [[7, 1, 2, 1, 0], None, [b"t"]]),
        (RECORDS.pack_skip("why", "E: no", 8), ["why", "E: no", 8]),
        (
            RECORDS.pack_entry(OutboxEntry("i:e0", "k", "mail", 1, 8, "c")),
            ["i:e0", "k", "mail", 1, 8, "c", "", 0],
        ),
        (RECORDS.pack_held(Input("event", "i", "k", None, 8, None, None, 7), False), [False, "i", None]),
    ],
)
def test_values_are_the_same_for_ever(value: bytes, stored: list[object]) -> None:
    assert msgpack.unpackb(value) == stored


def test_a_checkpoint_is_longer_where_instances_are_set_aside() -> None:
    plain = b"".join(number.to_bytes(8) for number in (1, 2, 3, 4))
    for checkpoint, stored in (
        (Checkpoint(1, 2, 3, 4), plain),
        (Checkpoint(1, 2, 3, 4, 5), plain + (5).to_bytes(8)),
    ):
        assert checkpoint.pack() == stored
        assert Checkpoint.unpack(stored) == checkpoint


def test_what_is_packed_is_read_again() -> None:
    metadata = ManagerMetadata(2, 5, 9, True, b"a", b"b", {"E": "f"})
    assert ManagerMetadata.unpack(CODEC, metadata.pack(CODEC)) == metadata
    record = QuarantineRecord(ORDER, "i", "an event", "E: no", "trace", 8)
    assert RECORDS.quarantine(RECORDS.pack_quarantine(record)) == record
    for snapshot in (InstanceSnapshot(ORDER, b"s", []), InstanceSnapshot(ORDER, None, [b"t"])):
        assert RECORDS.snapshot(RECORDS.pack_snapshot(snapshot)) == snapshot
    attempts = DeliveryAttempts(4, "trace")
    assert RECORDS.attempts(RECORDS.pack_attempts(attempts)) == attempts
    assert RECORDS.unhandled(None) == UnhandledRejections()


def test_keys_are_parsed_again() -> None:
    assert timer_of_key(KEYS.timer(TIMER), KEYS.timers) == (5, "worker:7:t0")
    assert ids_of([(KEYS.skip("a"), b""), (KEYS.skip("b"), b"")], KEYS.skipped) == {"a", "b"}
    suffix = KEYS.effect(2, 1)[len(KEYS.due) :]
    assert KEYS.parse_blocked(KEYS.blocked_of("ä") + suffix) == ("ä", suffix)
    assert Order.of_history_suffix(ORDER.history_suffix()) == ORDER
