"""A log copied through a function: its streams, commands and notes, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from actors import CopiedEvent, CopyFailed, StoredEnum, StoredValue
from actors.cli import copied_positions, copy_store
from actors.migration import log_copy
from actors.migration.log_copy import ENDING, LogCopy
from storage import Codec, CommandRecord, DamagedStore, EventLog, NotAStore, RecordedEvent, StoreLocked


class Colour(Enum):
    RED = 1


@dataclass(frozen=True)
class Money:
    amount: Any


@dataclass(frozen=True)
class Paid:
    account: str
    amount: Any


CODEC = Codec()
for cls in (Colour, Money, Paid):
    CODEC.register(cls)


def paid(
    position: int, stream: str, version: int, amount: Any, command_id: str, **more: Any
) -> RecordedEvent:
    fields = Paid(stream, amount)
    return RecordedEvent(position, stream, version, fields, "Paid", position, command_id, **more)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with EventLog.open(tmp_path / "store", CODEC) as log:
        log.append(
            [
                paid(
                    1, "a", 1, Money(Decimal("1.50")), "c1", command="Pay", tags=("x",), metadata={"by": (1,)}
                )
            ],
            [CommandRecord("c1", 1, 1, b"d1", "a", 1)],
        )
        log.append(
            [paid(2, "a", 2, Colour.RED, "c2"), paid(3, "b", 1, frozenset({1}), "c2")],
            [CommandRecord("c2", 2, 2, b"d2", "a", 2), CommandRecord("none", 1, 0, b"d0", "a", 1)],
        )
        log.append([paid(4, "b", 2, 4, "c3")], [CommandRecord("c3", 4, 1, b"d3", "b", 2)])
        log.append([paid(5, "b", 3, 5, "fact"), paid(6, "a", 3, 6, "fact")])
    return tmp_path / "store"


def copied(store: Path, through: Callable[[CopiedEvent], Any], **options: Any) -> LogCopy:
    copy = LogCopy(store, store.with_name("copy"), through, "test", **options)
    copy.run()
    return copy


def opened(store: Path) -> EventLog:
    return EventLog.open(store.with_name("copy"), CODEC, create=False)


def test_a_copy_through_nothing_has_the_same_bytes_and_commands(store: Path) -> None:
    copy = copied(store, lambda event: event)
    with opened(store) as log, EventLog.open(store, CODEC) as source:
        assert log.records(0, 10) == source.records(0, 10)
        for id in ("c1", "c2", "c3", "none", "fact"):
            assert log.command(id) == source.command(id)
        assert log.history_id == copy.history_id != source.history_id
    assert sorted(os.listdir(store.parent)) == ["copy", "store"]


def test_the_function_sees_what_is_stored(store: Path) -> None:
    seen = []
    copied(store, lambda event: seen.append(event.replace()) or event)
    assert [event.position for event in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[0] == CopiedEvent(
        position=1,
        stream="a",
        type="Paid",
        fields={"account": "a", "amount": StoredValue("Money", {"amount": Decimal("1.50")})},
        time=datetime(1970, 1, 1, 0, 0, 0, 1, UTC),
        command_id="c1",
        command="Pay",
        causation_id=None,
        correlation_id=None,
        tags=("x",),
        metadata={"by": (1,)},
    )
    assert seen[1].fields["amount"] == StoredEnum("Colour", ("RED",))
    assert seen[2].fields["amount"] == frozenset({1})


def test_changed_fields_are_read_by_the_classes(store: Path) -> None:
    def change(event: CopiedEvent) -> CopiedEvent:
        event.fields["amount"] = StoredValue("Money", {"amount": (StoredEnum("Colour", ("RED",)), 2**70)})
        event.metadata = None
        event.tags = ("new",)
        return event

    copied(store, change)
    with opened(store) as log:
        assert {one.event for one in log.read()} == {Paid(name, Money((Colour.RED, 2**70))) for name in "ab"}
        assert len(log.read_tag("new")) == 6
        assert log.read_tag("x") == []
        assert log.read()[0].metadata is None


def test_streams_are_merged_in_the_order_of_the_log(store: Path) -> None:
    def merged(event: CopiedEvent) -> CopiedEvent:
        event.stream = "all"
        return event

    copied(store, merged)
    with opened(store) as log:
        assert [one.position for one in log.read_stream("all")] == [1, 2, 3, 4, 5, 6]
        assert log.streams() == [("all", 6)]
        assert log.command("c2") == CommandRecord("c2", 2, 2, b"d2", "all", 2)
        assert log.command("c3") == CommandRecord("c3", 4, 1, b"d3", "all", 4)
        assert log.command("none") == CommandRecord("none", 1, 0, b"d0", "all", 1)


def test_a_command_whose_events_are_dropped_is_still_known(store: Path) -> None:
    copied(store, lambda event: None if event.stream == "b" else event)
    with opened(store) as log:
        assert [(one.stream, one.version) for one in log.read()] == [("a", 1), ("a", 2), ("a", 3)]
        assert log.command("c2") == CommandRecord("c2", 2, 1, b"d2", "a", 2)
        assert log.command("c3") == CommandRecord("c3", 2, 0, b"d3", "b", 0)
        assert log.command("none") == CommandRecord("none", 1, 0, b"d0", "a", 1)


def test_a_split_event_gives_several_of_its_command(store: Path) -> None:
    copy = copied(store, lambda event: [event, event.replace(type="Told", stream="told")])
    with opened(store) as log:
        records = [json.loads(json.dumps(one)) for one in log.streams()]
        assert records == [["a", 3], ["b", 3], ["told", 6]]
        assert log.command("c2") == CommandRecord("c2", 3, 4, b"d2", "told", 2)
    assert (copy.state.split, copy.state.types_out) == (6, {"Paid": 6, "Told": 6})


def test_the_own_stream_of_a_command_without_an_event_of_it_left_is_where_it_was(store: Path) -> None:
    def change(event: CopiedEvent) -> CopiedEvent | None:
        if event.position == 2:
            return None
        event.stream = event.stream.upper()
        return event

    for chunk in (1, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log_copy, "CHUNK", chunk)
            LogCopy(store, store.with_name(f"copy{chunk}"), change, "test").run()
        with EventLog.open(store.with_name(f"copy{chunk}"), CODEC) as log:
            assert log.command("c2") == CommandRecord("c2", 2, 1, b"d2", "A", 1)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (lambda event: 7, "TypeError: it returned 7"),
        (lambda event: "text", "TypeError: it returned 'text'"),
        (lambda event: [event, 7], "which is not a CopiedEvent"),
        (lambda event: event.replace(position=9), "changed position or command_id"),
        (lambda event: event.replace(command_id="other"), "changed position or command_id"),
        (lambda event: event.replace(stream=""), "InvalidKey: stream '' is empty"),
        (lambda event: event.replace(type=""), "type is empty"),
        (lambda event: event.replace(type=None), "type is text, not None"),
        (lambda event: event.replace(fields=[]), "fields is a dict"),
        (lambda event: event.replace(tags=("",)), "InvalidKey: tag '' is empty"),
        (lambda event: event.replace(time=datetime(2024, 1, 1)), "time has no time zone"),
        (lambda event: event.replace(fields={"amount": object}), "UnencodableValue"),
        (lambda event: event.fields["nothing"], "KeyError: 'nothing'"),
    ],
)
def test_what_a_function_does_wrong_is_said_with_the_event(
    result: Callable[[CopiedEvent], Any], error: str, store: Path
) -> None:
    with pytest.raises(CopyFailed, match="test failed at position 3, Paid of stream 'b'") as caught:
        copied(store, lambda event: result(event) if event.position == 3 else event)
    assert error in str(caught.value)
    assert not store.with_name("copy").exists()


def test_a_copy_that_failed_goes_on_unless_the_code_changed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_copy, "CHUNK", 1)
    calls: list[int] = []

    def through(event: CopiedEvent) -> CopiedEvent:
        calls.append(event.position)
        if event.position == 4 and len(calls) < 5:
            raise OSError("the network is down")
        return event

    with pytest.raises(CopyFailed):
        copied(store, through, code="1")
    assert copied(store, through, code="1").resumed_at == 3
    assert calls == [1, 2, 3, 4, 4, 5, 6]
    store.with_name("copy").rename(store.with_name("first"))
    calls.clear()
    with pytest.raises(CopyFailed):
        copied(store, through, code="1")
    assert copied(store, through, code="2").resumed_at == 0
    assert calls == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]


def test_a_note_of_an_unknown_kind_is_refused(store: Path) -> None:
    with EventLog.open(store, CODEC) as log:
        log.append([], notes=[(b"mine/7", b"\7")])
    with pytest.raises(CopyFailed, match="b'mine/7' of a kind that this version can't copy"):
        copied(store, lambda event: event)


def test_an_original_that_is_open_and_a_path_that_is_taken_are_refused(store: Path) -> None:
    with EventLog.open(store, CODEC), pytest.raises(StoreLocked):
        copied(store, lambda event: event)
    with pytest.raises(NotAStore):
        LogCopy(store.with_name("nowhere"), store.with_name("copy"), lambda event: event, "test").run()
    copied(store, lambda event: event)
    with pytest.raises(NotAStore, match="exists already"):
        copied(store, lambda event: event)


def test_a_disk_that_gives_something_else_back_is_noticed(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = EventLog.records
    monkeypatch.setattr(
        EventLog, "records", lambda *given: [one.replace(b"a", b"b") for one in records(*given)]
    )
    with pytest.raises(DamagedStore, match="read back as something else"):
        copied(store, lambda event: event)
    assert store.with_name(f"copy{ENDING}").exists()


def test_a_copy_of_a_copy_has_its_own_mapping(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied(store, lambda event: None if event.position == 1 else event)
    second = store.with_name("second")
    LogCopy(store.with_name("copy"), second, lambda event: [event, event.replace()], "test").run()
    assert copied_positions.main([str(store.with_name("copy")), "1", "2", "6"]) == 0
    assert capsys.readouterr().out == "1: dropped\n2: 1\n6: 5\n"
    assert copied_positions.main([str(second), "1", "5", "--json"]) == 0
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(lines) == [{"position": 1, "events": [1, 2]}, {"position": 5, "events": [9, 10]}]
    assert copied_positions.main([str(second), "6"]) == 2
    assert capsys.readouterr().err == "the original ended at position 5, before 6\n"
    assert copied_positions.main([str(store), "1"]) == 2
    assert "is not a copy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("through", "error"),
    [
        ("anonymous", "--through takes MODULE:FUNCTION"),
        ("no_such_module:anonymous", "importing no_such_module failed"),
        ("actors.demo.anonymous:nothing", "actors.demo.anonymous has nothing as nothing"),
        ("actors.demo.anonymous:__doc__", "actors.demo.anonymous has a str as __doc__"),
    ],
)
def test_a_wrong_call_is_one_line(
    through: str, error: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert copy_store.main([str(store), str(store.with_name("copy")), "--through", through]) == 2
    written = capsys.readouterr()
    assert error in written.err
    assert (written.out, written.err.count("\n")) == ("", 1)
