"""Corrections of stored events: what may change, what is kept, and which forgeries verification finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest

from storage import (
    Codec,
    CommandRecord,
    CommitFailed,
    CorrectionRefused,
    EventLog,
    InvalidKey,
    RecordedEvent,
)
from storage.log.checksums import opened_event, resealed_event, sealed_record
from storage.log.corrections import ChangedEvent
from storage.log.log_follower import LogFollower
from storage.log.records import encode_event, envelope_of
from storage.log.verification import verify_store

CODEC = Codec()


@dataclass(frozen=True)
class Paid:
    amount: int
    currency: str


@dataclass(frozen=True)
class Refunded:
    amount: int


CODEC.register(Paid, "Paid")
CODEC.register(Refunded, "Refunded")


def paid(
    position: int, currency: str = "EUR", stream: str = "a", version: int | None = None
) -> RecordedEvent:
    number = position if version is None else version
    return RecordedEvent(
        position, stream, number, Paid(position * 10, currency), "Paid", 1000 + position, f"pay-{position}",
        "Pay", tags=("payments",),
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with EventLog.open(tmp_path / "log", CODEC) as log:
        for first in (1, 3, 5):
            events = [paid(first), paid(first + 1)]
            commands = [
                CommandRecord(f"pay-{one.position}", one.position, 1, b"d" * 16, "a", one.version)
                for one in events
            ]
            log.append(events, commands, [("a", first + 1, "f", {"sum": 1})])
        yield log


def changed(log: EventLog, position: int, event: Any, **other: Any) -> ChangedEvent:
    [before] = log.records(position - 1, 1)
    [recorded] = log.read(position - 1, 1)
    recorded.event = event
    for name, value in other.items():
        setattr(recorded, name, value)
    return ChangedEvent(position, before, encode_event(CODEC, recorded, *envelope_of(before)[11:]))


def dollars(log: EventLog, *positions: int, currency: str = "USD") -> int:
    changes = [changed(log, one, Paid(one * 10, currency)) for one in positions]
    return log.correct(changes, who="ann", why="wrong currency", time_us=5_000_000, models=["sums"])


def currencies(log: Any) -> list[str]:
    return [recorded.event.currency for recorded in log.read()]


def test_a_correction_changes_events_and_keeps_what_they_were(log: EventLog) -> None:
    assert dollars(log, 2, 3) == 1
    assert currencies(log) == ["EUR", "USD", "USD", "EUR", "EUR", "EUR"]
    [one] = log.corrections()
    assert (one.number, one.who, one.why, one.positions) == (1, "ann", "wrong currency", (2, 3))
    assert (one.position, one.count, one.time.timestamp()) == (6, 2, 5.0)
    found = log.corrected_events(1)
    assert [CODEC.decode(each.before)[3]["currency"] for each in found] == ["EUR", "EUR"]
    assert [each.after for each in found] == log.records(1, 2)
    assert log.corrected_events(1, after=2)[0].position == 3
    assert [one.event.currency for one in log.read_stream("a", 1, 2)] == ["USD", "USD"]
    assert [one.event.currency for one in log.read_tag("payments", 2, 1)] == ["USD"]


def test_notes_are_changed_as_a_recorded_operation(log: EventLog) -> None:
    before = log.chain_head()[1]
    assert log.record_notes([(b"one/a", b"1"), (b"one/b", b"2")], who="ann", why="first", time_us=7) == 1
    assert log.record_notes([(b"one/a", None)], who="bob", why="second", time_us=8) == 2
    assert log.notes(b"one/") == [(b"one/b", b"2")]
    assert [(one.who, one.why, one.count) for one in log.corrections()] == [
        ("ann", "first", 0),
        ("bob", "second", 0),
    ]
    assert (log.head, log.chain_head()[1] != before) == (6, True)
    with pytest.raises(InvalidKey):
        log.record_notes([(b"", b"")], who="ann", why="no key", time_us=9)
    assert (len(log.corrections()), log.verify().findings) == (2, [])


def test_a_corrected_event_is_corrected_again(log: EventLog) -> None:
    dollars(log, 2, 3)
    assert dollars(log, 3, 4, currency="GBP") == 2
    assert [one.positions for one in log.corrections()] == [(2, 3), (3, 4)]
    assert [CODEC.decode(one.after)[3]["currency"] for one in log.corrected_events(1)] == ["USD", "USD"]
    assert [CODEC.decode(one.before)[3]["currency"] for one in log.corrected_events(2)] == ["USD", "EUR"]
    assert log.verify().findings == []


def test_the_type_and_the_metadata_may_change(log: EventLog) -> None:
    log.correct([changed(log, 6, Refunded(60), metadata={"by": "ann"})], who="ann", why="x", time_us=1)
    [recorded] = log.read(5)
    assert (recorded.event, recorded.type, recorded.metadata) == (Refunded(60), "Refunded", {"by": "ann"})
    assert log.command("pay-6") is not None
    assert log.verify().findings == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("stream", "b", "stream"),
        ("version", 9, "version"),
        ("time_us", 1, "time"),
        ("command_id", "other", "command id"),
        ("causation_id", "other", "causation id"),
        ("tags", ("payments", "more"), "tags"),
    ],
)
def test_nothing_else_may_change(log: EventLog, name: str, value: Any, said: str) -> None:
    with pytest.raises(CorrectionRefused, match=f"at position 4 changes its {said};"):
        log.correct(
            [changed(log, 3, Paid(1, "USD")), changed(log, 4, Paid(1, "USD"), **{name: value})],
            who="ann", why="x", time_us=1,
        )  # fmt: skip
    assert currencies(log) == ["EUR"] * 6
    assert (log.corrections(), log.verify().findings) == ([], [])


def test_what_it_says_of_its_command_may_not_change(log: EventLog) -> None:
    [before] = log.records(3, 1)
    after = encode_event(CODEC, paid(4, "USD"))
    with pytest.raises(CorrectionRefused, match="changes its what it says of its command"):
        log.correct([ChangedEvent(4, before, after)], who="ann", why="x", time_us=1)


def test_a_correction_of_what_the_event_is_not_any_more_is_refused(log: EventLog) -> None:
    planned = changed(log, 2, Paid(20, "USD"))
    dollars(log, 2, currency="GBP")
    with pytest.raises(CorrectionRefused, match=r"position 2 .* no longer, as this correction expects"):
        log.correct([planned], who="ann", why="x", time_us=1)
    with pytest.raises(CorrectionRefused, match="position 7"):
        log.correct([planned._replace(position=7)], who="ann", why="x", time_us=1)
    for none_or_twice in ([], [planned, planned]):
        with pytest.raises(CorrectionRefused, match="at least one event"):
            log.correct(none_or_twice, who="ann", why="x", time_us=1)
    with pytest.raises(CorrectionRefused, match="no correction 2"):
        log.corrected_events(2)


def test_snapshots_of_the_streams_are_gone_and_others_stay(log: EventLog) -> None:
    log.append([paid(7, stream="b", version=1)], snapshots=[("b", 1, "f", {})])
    dollars(log, 2)
    assert log.snapshot("a") is None
    assert log.snapshot("b") is not None


def test_an_events_digest_stays_as_replicas_know_it(log: EventLog) -> None:
    before = [log.digest(position) for position in range(1, 7)]
    dollars(log, 2, 6)
    log.read_commands(0, 6, 6)  # must not remember the bytes of now
    assert [log.digest(position) for position in range(1, 7)] == before
    log._digests = [(0, b"")] * len(log._digests)
    assert [log.digest(position) for position in range(1, 7)] == before


def test_models_know_the_last_correction_that_concerns_them(log: EventLog) -> None:
    assert log.last_correction_of("sums") == 0
    dollars(log, 2)
    log.correct([changed(log, 1, Paid(1, "USD"))], who="ann", why="x", time_us=1, models=["other"])
    assert (log.last_correction_of("sums"), log.last_correction_of("other")) == (1, 2)


def test_the_log_goes_on_after_a_correction_and_is_opened_again(tmp_path: Path, log: EventLog) -> None:
    kept = log.chain_head()
    dollars(log, 5, 6)
    assert log.chain_head()[1] != kept[1]
    with_correction = log.chain_head()
    log.append([], [CommandRecord("none", 6, 0, b"d" * 16, "a", 6)])
    log.append([paid(7)])
    log.close()
    with EventLog.open(tmp_path / "log", CODEC) as again:
        assert currencies(again) == ["EUR"] * 4 + ["USD"] * 2 + ["EUR"]
        again.append([paid(8)])
        for head in (kept, with_correction, again.chain_head()):
            assert again.verify(head).findings == []
    with LogFollower.open(tmp_path / "log", CODEC) as follower:
        follower.advance_to_end()
        assert [one.positions for one in follower.corrections()] == [(5, 6)]


def test_nothing_is_changed_if_the_commit_fails(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_transaction: Any) -> None:
        raise OSError("no")

    planned = [changed(log, 2, Paid(20, "USD"))]
    monkeypatch.setattr(log, "_commit", fails)
    with pytest.raises(CommitFailed):
        log.correct(planned, who="ann", why="x", time_us=1)
    monkeypatch.undo()
    log.reopen()
    assert (currencies(log), log.corrections()) == (["EUR"] * 6, [])
    assert (dollars(log, 2), log.verify().findings) == (1, [])


# -- forgeries -----------------------------------------------------------------------------------------------
Forge = Callable[[Any, dict[str, Any]], None]


def key(position: int) -> bytes:
    return position.to_bytes(8)


def event_of(transaction: Any, databases: dict[str, Any], position: int, currency: str) -> None:
    stored = transaction.get(key(position), db=databases["events"])
    opened = opened_event(position, stored)
    assert opened is not None
    body = opened[0].replace(b"USD", currency.encode()).replace(b"EUR", currency.encode())
    transaction.put(key(position), resealed_event(position, body, opened[1]), db=databases["events"])


def put(transaction: Any, databases: dict[str, Any], name: bytes, value: bytes) -> None:
    record = sealed_record("corrections", name, value)
    transaction.put(name, record, db=databases["corrections"])


def a_corrected_event(transaction: Any, databases: dict[str, Any]) -> None:
    event_of(transaction, databases, 2, "GBP")


def an_event_with_what_it_was(transaction: Any, databases: dict[str, Any]) -> None:
    before = opened_event(4, transaction.get(key(4), db=databases["events"]))
    assert before is not None
    event_of(transaction, databases, 4, "GBP")
    put(transaction, databases, b"b" + key(1) + key(4), before[0])
    put(transaction, databases, b"p" + key(4), key(1))


def an_event_with_a_record(transaction: Any, databases: dict[str, Any]) -> None:
    before = opened_event(4, transaction.get(key(4), db=databases["events"]))
    assert before is not None
    event_of(transaction, databases, 4, "GBP")
    put(transaction, databases, b"b" + key(2) + key(4), before[0])
    put(transaction, databases, b"p" + key(4), key(2))
    put(transaction, databases, b"o" + key(2), msgpack.packb(["eve", "?", 1, 6, 1, bytes(32)]))


def what_it_was(transaction: Any, databases: dict[str, Any]) -> None:
    name = b"b" + key(1) + key(2)
    before = transaction.get(name, db=databases["corrections"])[:-4]
    put(transaction, databases, name, before.replace(b"EUR", b"GBP"))


def who_did_it(transaction: Any, databases: dict[str, Any]) -> None:
    record = transaction.get(b"o" + key(1), db=databases["corrections"])[:-4]
    put(transaction, databases, b"o" + key(1), record.replace(b"ann", b"bob"))


def without_a_record(transaction: Any, databases: dict[str, Any]) -> None:
    transaction.delete(b"o" + key(1), db=databases["corrections"])


def without_what_it_was(transaction: Any, databases: dict[str, Any]) -> None:
    transaction.delete(b"b" + key(1) + key(2), db=databases["corrections"])


def without_a_link(transaction: Any, databases: dict[str, Any]) -> None:
    transaction.delete(key(6) + key(0), db=databases["chain"])


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (a_corrected_event, "events of correction 1 are not what it made of them"),
        (an_event_with_what_it_was, "events of correction 1 are not what it made of them"),
        (an_event_with_a_record, "correction 2 is not in the chain"),
        (what_it_was, "events of correction 1 are not what it made of them"),
        (who_did_it, "correction 1, made when the log ended at position 6, is not as it was"),
        (without_a_record, "correction 1"),
        (without_what_it_was, "events of correction 1 are not what it made of them"),
        (without_a_link, "correction 1 is not in the chain"),
    ],
)
def test_a_forged_correction_is_found(tmp_path: Path, log: EventLog, forge: Forge, said: str) -> None:
    dollars(log, 2, 3)
    log.append([paid(7)])
    log.close()
    path = tmp_path / "log"
    assert verify_store(path).findings == []
    with lmdb.open(os.fspath(path), max_dbs=20, lib_version=0) as environment:
        names = ("events", "chain", "corrections")
        databases = {name: environment.open_db(name.encode(), create=False) for name in names}
        with environment.begin(write=True) as transaction:
            forge(transaction, databases)
    findings = verify_store(path).findings
    assert any(said in one for one in findings), findings
