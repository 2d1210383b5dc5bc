"""Files of archives: what is read of them, and that no changed byte stays unseen."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage import ArchiveUnavailable, NewerFormat
from storage.archive import archive_format, archive_writer
from storage.archive.archive_file import ArchiveFile
from storage.archive.archive_format import ArchiveHeader, EventBlock
from storage.archive.archive_writer import ArchiveWriter
from storage.archive.archives import Archives, KnownArchive

HEADER = ArchiveHeader("a" * 32, 1, "ann", "old", 1_000, 0)
EVENTS = {position: b"%d " % position * (position % 40 + 1) for position in range(3, 900, 7)}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(archive_writer, "BLOCK_BYTES", 1_000)
    return written(tmp_path / "00000001.archive", EVENTS)


def written(path: Path, events: dict[int, bytes], header: ArchiveHeader = HEADER) -> Path:
    with path.open("wb") as file:
        writer = ArchiveWriter(file.write, header)
        for position, event in events.items():
            writer.add(position, event)
        writer.end()
    return path


def archives(path: Path, *, removed: bool = False) -> Archives:
    digest = ArchiveFile.open(path).end.digest
    return Archives(path.parent, lambda number: KnownArchive(digest, removed) if number == 1 else None)


def test_what_was_written_is_read_in_order_and_from_every_position(path: Path) -> None:
    file = ArchiveFile.open(path)
    assert len(file.first) > 5
    file.check()
    assert file.header == HEADER
    assert (file.end.events, file.end.first, file.end.last) == (len(EVENTS), 3, max(EVENTS))
    assert file.end.event_bytes == sum(map(len, EVENTS.values()))
    for after in range(905):
        assert list(file.events(after)) == [item for item in EVENTS.items() if item[0] > after]


def test_single_events_are_read_at_random(path: Path) -> None:
    found = archives(path)
    dice = random.Random(1)
    for position in dice.choices(list(EVENTS), k=500):
        assert found.event(1, position) == EVENTS[position]


def test_an_event_larger_than_a_block_has_one_of_its_own(tmp_path: Path) -> None:
    events = {1: b"a", 2: random.Random(2).randbytes(300_000), 3: b"", 9: b"c"}
    file = ArchiveFile.open(written(tmp_path / "00000001.archive", events))
    file.check()
    assert dict(file.events()) == events


def test_a_position_that_is_not_in_it_says_that_the_file_is_another(path: Path) -> None:
    for position in (1, 4, 10_000):
        with pytest.raises(
            ArchiveUnavailable, match=f"event at position {position} is in archive 1: "
        ) as found:
            archives(path).event(1, position)
        assert (found.value.archive, found.value.position) == (1, position)


def test_a_missing_file_says_what_to_do_and_is_read_once_it_is_back(path: Path) -> None:
    found = archives(path)
    path.rename(path.with_name("away"))
    with pytest.raises(ArchiveUnavailable, match=r"is missing; put it back there, or say with"):
        found.event(1, 3)
    path.with_name("away").rename(path)
    assert found.event(1, 3) == EVENTS[3]


def test_a_file_of_another_archive_is_refused(path: Path, tmp_path: Path) -> None:
    found = archives(path)
    written(path, {3: b"another"})
    with pytest.raises(ArchiveUnavailable, match="is another one than the log's archive 1"):
        found.event(1, 3)
    with pytest.raises(ArchiveUnavailable, match="but no record of it"):
        found.event(2, 3)


def test_a_file_that_is_replaced_while_it_is_in_use_is_noticed(path: Path) -> None:
    found = archives(path)
    assert found.event(1, 3) == EVENTS[3]
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ArchiveUnavailable, match="is damaged"):
        found.event(1, max(EVENTS))
    with pytest.raises(ArchiveUnavailable, match="does not begin as an archive does"):
        found.event(1, 3)


def test_events_of_a_removed_archive_are_none(path: Path) -> None:
    found = archives(path, removed=True)
    assert found.event(1, 3) is None
    assert found.is_removed(1)


def test_a_removal_by_another_process_is_noticed(path: Path) -> None:
    digest, removed = ArchiveFile.open(path).end.digest, False
    found = Archives(path.parent, lambda _: KnownArchive(digest, removed))
    assert found.event(1, 3) == EVENTS[3]
    removed = True
    path.unlink()
    assert found.event(1, max(EVENTS)) is None
    assert found.event(1, 3) is None


def test_a_newer_format_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_format, "FORMAT", 2)
    path = written(tmp_path / "00000001.archive", EVENTS)
    with pytest.raises(NewerFormat, match="has format 2, and this program reads up to 1"):
        ArchiveFile.open(path)


def test_every_changed_byte_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_writer, "BLOCK_BYTES", 200)
    events = {position: b"%d" % position * 10 for position in range(1, 40)}
    path = written(tmp_path / "00000001.archive", events)
    sound = path.read_bytes()
    dice = random.Random(3)
    for at in range(len(sound)):
        data = bytearray(sound)
        data[at] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        with pytest.raises((ArchiveUnavailable, NewerFormat)):
            ArchiveFile.open(path).check()


def test_a_file_that_was_cut_or_has_more_is_found(path: Path) -> None:
    sound = path.read_bytes()
    for data in (sound[:-1], sound[:-30], sound[: len(sound) // 2], b"", sound + b"\0", sound[:18]):
        path.write_bytes(data)
        with pytest.raises(ArchiveUnavailable, match="is damaged"):
            ArchiveFile.open(path).check()


def test_a_block_whose_lengths_are_wrong_is_refused() -> None:
    whole = EventBlock.pack([1, 2], [b"a", b"bc"])
    assert EventBlock.of(whole).event(1) == b"bc"
    from zlib import compress, decompress

    with pytest.raises(ValueError, match="not as long as they say"):
        EventBlock.of(compress(decompress(whole) + b"more"))
