"""A log as lines of JSON, and the same log again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from actors import System
from storage import (
    Codec,
    CommandRecord,
    DamagedStore,
    EventLog,
    EventsRemoved,
    InvalidExport,
    NotAStore,
    RecordedEvent,
    StoreFull,
    StoreLocked,
)
from storage.log.log_follower import LogFollower
from storage.log.records import DROPPED
from storage.transfer.export import Export, Selection
from storage.transfer.import_log import ENDING, Import
from tests.storage.transfer.damaged import replace_record
from tests.system.stock_versions import RELEASES


@dataclass(frozen=True, slots=True)
class Paid:
    account: str
    amount: Any


CODEC = Codec()
CODEC.register(Paid)


def event(
    position: int, stream: str, version: int, amount: Any, command_id: str, **more: Any
) -> RecordedEvent:
    return RecordedEvent(
        position, stream, version, Paid(stream, amount), "Paid", 1_700_000_000_000_000 + position, command_id,
        **more,
    )  # fmt: skip


def fill(path: Path) -> None:
    """A log with commands of all kinds, facts, tags, metadata and notes."""
    with EventLog.open(path, CODEC) as log:
        one = event(1, "a", 1, Decimal("1.50"), "c1", command="Pay", tags=("x", "y"), metadata={"user": (1,)})
        log.append([one], [CommandRecord("c1", 1, 1, b"d1", "a", 1)], notes=[(b"sub/x", b"\x93\1\2\3")])
        log.append(
            [event(2, "a", 2, 5, "c2"), event(3, "b", 1, -5, "c2", causation_id="c1", correlation_id="k")],
            [CommandRecord("c2", 2, 2, b"d2", "a", 2), CommandRecord("nothing", 1, 0, b"d0", "a", 1)],
            notes=[(b"\0\xff", b"no msgpack"), (b"counter", b"\7")],
        )
        log.append([event(4, "b", 2, b"\0", "fact"), event(5, "b", 3, [None], "fact")])
        log.append([event(6, "a", 3, "s", "c3")], [CommandRecord("c3", 6, 1, b"d3", "a", 3)])


def exported(path: Path, **options: Any) -> list[str]:
    with LogFollower.open(path, options.get("codec") or Codec()) as log:
        return list(Export(log, **options).lines())


def contents(path: Path) -> Any:
    with EventLog.open(path, CODEC, create=False) as log:
        ids = ["c1", "c2", "c3", "nothing", "fact", "other"]
        return [
            log.records(0, 100),
            [log.command(id) for id in ids],
            log.notes(b""),
            log.read_stream("a"),
            log.read_stream("b"),
            log.read_tag("x"),
            log.streams(),
        ]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fill(tmp_path / "store")
    return tmp_path / "store"


def test_an_imported_log_is_the_same_but_for_its_history(store: Path, tmp_path: Path) -> None:
    lines = exported(store)
    again = Import(lines, tmp_path / "again")
    again.run()
    assert contents(tmp_path / "again") == contents(store)
    assert (again.events, again.commands, again.notes) == (6, 1, 3)
    assert exported(tmp_path / "again")[1:] == lines[1:]
    first, second = (json.loads(one[0])["history_id"] for one in (lines, exported(tmp_path / "again")))
    assert first != second == again.history_id
    assert sorted(os.listdir(tmp_path)) == ["again", "store"]


def test_it_is_the_same_when_events_are_written_in_small_parts(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.transfer.import_log.CHUNK", 1)
    monkeypatch.setattr("storage.transfer.export.CHUNK", 1)
    reached = []
    lines = exported(store, progress=reached.append)
    assert reached == [1, 2, 3, 4, 5, 6]
    reached = []
    Import(lines, tmp_path / "again", lambda position, head: reached.append((position, head))).run()
    assert contents(tmp_path / "again") == contents(store)
    # The events of a command are written together.
    assert reached == [(1, 6), (3, 6), (5, 6), (6, 6)]


def test_an_empty_log_is_exported_and_imported(tmp_path: Path) -> None:
    EventLog.open(tmp_path / "empty", CODEC).close()
    Import(exported(tmp_path / "empty"), tmp_path / "again").run()
    with EventLog.open(tmp_path / "again", CODEC, create=False) as log:
        assert log.head == 0


def test_a_line_has_the_event_as_it_is_stored(store: Path) -> None:
    assert json.loads(exported(store)[1]) == {
        "position": 1,
        "stream": "a",
        "version": 1,
        "type": "Paid",
        "time": "2023-11-14T22:13:20.000001+00:00",
        "command_id": "c1",
        "command": "Pay",
        "causation_id": None,
        "correlation_id": None,
        "tags": ["x", "y"],
        "metadata": {"user": {"$tuple": [1]}},
        "fields": {"account": "a", "amount": {"$decimal": "1.50"}},
        "origin": {"digest": b"d1".hex()},
    }


def test_a_selection_has_its_events_alone(store: Path) -> None:
    def positions(**options: Any) -> list[int]:
        lines = map(json.loads, exported(store, selection=Selection(**options)))
        return [line["position"] for line in lines if "position" in line]

    assert positions(first=4) == [4, 5, 6]
    assert positions(streams=frozenset({"a"})) == [1, 2, 6]
    assert positions(types=frozenset({"Other"})) == []
    assert positions(first=3, types=frozenset({"Paid"}), streams=frozenset({"b", "c"})) == [3, 4, 5]
    header, *_, end = map(json.loads, exported(store, selection=Selection(first=4)))
    assert header["whole"] is False
    assert (end["end"]["notes"], end["end"]["commands"]) == (0, 0)


def test_events_of_a_time_without_a_year_come_back(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "store", CODEC) as log:
        log.append([RecordedEvent(1, "a", 1, Paid("a", 1), "Paid", 1 << 62, "c")])
    Import(exported(tmp_path / "store"), tmp_path / "again").run()
    with EventLog.open(tmp_path / "again", CODEC) as log:
        assert log.read()[0].time_us == 1 << 62


def test_classes_that_are_gone_matter_only_to_an_export_through_them(store: Path) -> None:
    export_lines = exported(store, codec=Codec())
    assert all("UnknownType" in json.loads(line)["undecodable"] for line in export_lines[1:7])
    assert json.loads(export_lines[1])["fields"]["account"] == "a"
    assert not any("undecodable" in line for line in exported(store))


def test_an_export_through_classes_has_what_they_make_of_the_events(store: Path, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Later:
        account: str
        amount: Any
        currency: str = "EUR"

    codec = Codec()
    codec.register(Later, "Paid")
    lines = exported(store, codec=codec)
    assert json.loads(lines[1])["fields"]["currency"] == "EUR"
    Import(lines, tmp_path / "again").run()
    with EventLog.open(tmp_path / "again", codec) as log:
        assert [one.event.currency for one in log.read()] == ["EUR"] * 6
        assert log.command("c2") == CommandRecord("c2", 2, 2, b"d2", "a", 2)


@pytest.mark.parametrize(("sealed", "reason"), [(True, "FormatError: "), (False, "DamagedStore: ")])
def test_a_damaged_record_is_exported_with_the_reason_and_not_imported(
    sealed: bool, reason: str, store: Path, tmp_path: Path
) -> None:
    replace_record(store, 4, b"\xc1 no event", sealed=sealed)
    lines = exported(store)
    line = json.loads(lines[4])
    assert line["position"] == 4
    assert line["undecodable"].startswith(reason)
    assert len(lines) == 1 + 6 + 1 + 3 + 1
    with pytest.raises(InvalidExport, match="line 5 can't be imported") as caught:
        Import(lines, tmp_path / "again").run()
    assert caught.value.line == 5
    assert os.listdir(tmp_path) == ["store"]


def test_a_record_that_msgpack_writes_in_another_way_keeps_its_bytes(store: Path, tmp_path: Path) -> None:
    with EventLog.open(store, CODEC) as log:
        one = event(7, "b", 4, 1, "fact")
        data = log.encode_event(one)
        # The version as an int of 8 bytes.
        longer = data.replace(b"\xa1b\x04", b"\xa1b\xcf" + (4).to_bytes(8))
        assert longer != data
        log.append([one], encoded=[longer])
    lines = exported(store)
    assert "stored" in json.loads(lines[7])
    Import(lines, tmp_path / "again").run()
    assert contents(tmp_path / "again") == contents(store)


def test_an_export_through_upcasters_has_what_they_make_of_an_event(tmp_path: Path) -> None:
    made = RELEASES[0]
    with System.open(tmp_path / "store", made.domain, replicas=1) as system:
        for number, kind in enumerate(["add", "move", "blame"], 1):
            system.execute(made.Change("a", kind, number))
    codec = RELEASES[2].domain.compile().codec
    lines = [json.loads(line) for line in exported(tmp_path / "store", codec=codec)[1:]]
    with System.open(tmp_path / "store", RELEASES[2].domain, replicas=1) as system:
        events = [(one.position, one.type) for one in system.stream("item-a")]
    assert len(events) > events[-1][0]
    shown = [(one["position"], codec.base_name(one["type"])) for one in lines if "type" in one]
    assert shown == events
    assert [one.get("part") for one in lines if one.get("position") == 2] == [1, 2]
    with pytest.raises(InvalidExport, match="several events that upcasters made"):
        Import(exported(tmp_path / "store", codec=codec), tmp_path / "again").run()


def changed(lines: list[str], number: int, change: Callable[[dict[str, Any]], object]) -> list[str]:
    line = json.loads(lines[number - 1])
    change(line)
    return [*lines[: number - 1], json.dumps(line), *lines[number:]]


@pytest.mark.parametrize(
    ("spoil", "number", "error"),
    [
        (lambda lines: ["{}"], 1, "not that of an export"),
        (lambda lines: [], 1, "not that of an export"),
        (lambda lines: ["no json"], 1, "Expecting value"),
        (lambda lines: ["[]"], 1, "no JSON object"),
        (lambda lines: changed(lines, 1, lambda line: line.update(onewriter_export=2)), 1, "format 2"),
        (lambda lines: changed(lines, 1, lambda line: line.update(whole=False)), 1, "of a part"),
        (lambda lines: lines[:-1], 11, "cut short"),
        (lambda lines: [*lines[:3], lines[3][:-20]], 4, "can't be imported"),
        (lambda lines: [lines[0], *lines[2:]], 2, "position 2, where 1 would follow"),
        (lambda lines: [*lines[:5], *lines[6:]], 6, "position 6, where 5 would follow"),
        (lambda lines: [*lines[:9], *lines[10:]], 11, "3 notes, and 2 of them"),
        (lambda lines: [*lines, lines[-1]], 13, "after the end"),
        (lambda lines: changed(lines, 3, lambda line: line.pop("stream")), 3, "KeyError"),
        (lambda lines: changed(lines, 3, lambda line: line.update(version="x")), 3, "its version"),
        (lambda lines: changed(lines, 3, lambda line: line.update(version=7)), 12, "version 7"),
        (lambda lines: changed(lines, 3, lambda line: line.update(fields={"$no": 1})), 3, "the JSON form"),
        (lambda lines: changed(lines, 3, lambda line: line["fields"].update(amount=6)), 12, "digest"),
        (lambda lines: changed(lines, 8, lambda line: line.update(digest="00")), 12, "digest"),
        (lambda lines: changed(lines, 8, lambda line: line.update(first="x")), 8, "whole numbers"),
        (lambda lines: changed(lines, 9, lambda line: line.update(note="other")), 12, "digest"),
        (lambda lines: [*lines[:4], '{"what": 1}', *lines[4:]], 5, "no line of an export"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_nothing_is_made(
    spoil: Callable[[list[str]], list[str]], number: int, error: str, store: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidExport, match=error) as caught:
        Import(spoil(exported(store)), tmp_path / "again").run()
    assert caught.value.line == number
    assert os.listdir(tmp_path) == ["store"]


def test_a_path_that_is_taken_is_refused_and_left_alone(store: Path, tmp_path: Path) -> None:
    lines = exported(store)
    before = contents(store)
    with pytest.raises(NotAStore, match="exists already"):
        Import(lines, store).run()
    (tmp_path / "file").write_text("text")
    with pytest.raises(NotAStore, match="exists already"):
        Import(lines, tmp_path / "file").run()
    assert contents(store) == before
    (tmp_path / "empty").mkdir()
    Import(lines, tmp_path / "empty").run()
    assert contents(tmp_path / "empty") == before


def test_what_another_import_left_is_removed_unless_it_is_running(store: Path, tmp_path: Path) -> None:
    lines, target = exported(store), tmp_path / "again"
    folder = tmp_path / f"again{ENDING}"
    with EventLog.open(folder, CODEC) as log:
        log.append([event(1, "other", 1, 1, "c")])
        with pytest.raises(StoreLocked):
            Import(lines, target).run()
        assert log.read()
    Import(lines, target).run()
    assert contents(target) == contents(store)
    assert not folder.exists()


def test_a_folder_of_something_else_is_not_removed(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / f"again{ENDING}"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear reader")
    with pytest.raises(NotAStore, match="something else is there"):
        Import(exported(store), tmp_path / "again").run()
    assert (folder / "letter.txt").exists()


def test_a_disk_that_becomes_full_leaves_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StoreFull("the disk is full")

    monkeypatch.setattr(EventLog, "append", full)
    with pytest.raises(StoreFull):
        Import(exported(store), tmp_path / "again").run()
    assert os.listdir(tmp_path) == ["store"]


def test_a_disk_that_gives_something_else_back_is_noticed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = EventLog.records
    monkeypatch.setattr(EventLog, "records", lambda *given: [b"x" + one for one in records(*given)])
    with pytest.raises(DamagedStore, match="read back as something else"):
        Import(exported(store), tmp_path / "again").run()
    assert os.listdir(tmp_path) == ["store"]


def test_a_command_record_of_an_earlier_format_is_kept(tmp_path: Path) -> None:
    # The events of format 1 have no origin: the record stands alone.
    with EventLog.open(tmp_path / "store", CODEC) as log:
        one = event(1, "a", 1, 1, "c1")
        log.append([one], [CommandRecord("c1", 1, 1, b"d1", "a", 1)], encoded=[log.encode_event(one)])
    Import(exported(tmp_path / "store"), tmp_path / "again").run()
    with EventLog.open(tmp_path / "again", CODEC) as log:
        assert log.command("c1") == CommandRecord("c1", 1, 1, b"d1", "a", 1)


def test_archived_events_are_exported_and_removed_ones_stay_removed(tmp_path: Path) -> None:
    fill(tmp_path / "log")
    with EventLog.open(tmp_path / "log", CODEC) as log:
        for positions in ([1], [2, 3]):
            made = log.begin_archive(positions, who="ann", why="old", time_us=1)
            log.move_to_archive(made.number, 10)
        log.remove_archive(1, who="ann", why="old", time_us=1)
        wanted = log.read()
    with LogFollower.open(tmp_path / "log", Codec()) as follower:
        export = Export(follower)
        lines = list(export.lines())
    assert (export.removed, export.undecodable) == (1, 0)
    Import(lines, tmp_path / "again").run()
    with EventLog.open(tmp_path / "again", CODEC) as again:
        assert again.read() == wanted
        assert again.read()[0].event is DROPPED
        assert again.command("c1") == CommandRecord("c1", 1, 1, b"d1", "a", 1)
        assert again.archives() == []
        with pytest.raises(EventsRemoved):
            again.read_stream("a")
        assert again.read_stream("b", limit=1) == [wanted[2]]
        assert again.verify().findings == []
