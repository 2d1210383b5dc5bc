"""A process that archives and removes ends at every step in turn: every event is there, or was removed.

Each time a child archives some streams, two of them overlapping in time, and removes one archive. It ends
without notice before or after a step: a write to the file, its publication, a commit, the erasing of a file.

`ONEWRITER_CRASH_ROUNDS` sets how many times as many events, and so steps, there are (1).
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import EventLog, EventsRemoved
from storage.archive import archive_writer
from storage.files.published_file import PublishedFile
from storage.log import archive_files_log
from storage.log.records import DROPPED, RecordedEvent
from storage.log.verification import verify_store
from tests.storage.log.test_archives import CODEC, WHO, fill, of_streams

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "1"))
MOST_STEPS = 400 * ROUNDS


def work(path: Path) -> None:
    """What the child does: it begins where an earlier one has ended."""
    with EventLog.open(path, CODEC, durable=False) as log:
        for number, streams in enumerate((("s-1", "s-4"), ("s-2",), ("s-3",)), 1):
            if all(one.number != number for one in log.archives()):
                log.begin_archive(of_streams(log, *streams), **WHO)
            while log.move_to_archive(number, 40) if not removed(log, number) else 0:
                pass
            if number == 2 and not removed(log, 1):
                log.remove_archive(1, **WHO)


def removed(log: EventLog, number: int) -> bool:
    return any(one.number == number and one.state == "removed" for one in log.archives())


def work_until(path: Path, step: int) -> bool:
    """Do the work in a child that ends at a step; whether it came to its end before."""
    child = os.fork()
    if child == 0:
        left = itertools.count(step, -1)

        def counted() -> None:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            for owner, name in (
                (PublishedFile, "write"),
                (PublishedFile, "publish"),
                (EventLog, "_commit"),
                (archive_files_log, "erase_file"),
            ):
                setattr(owner, name, around(getattr(owner, name), counted))
            work(path)
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status == 0


def around(call: Callable[..., Any], counted: Callable[[], None]) -> Callable[..., Any]:
    def stepped(*arguments: Any, **named: Any) -> Any:
        counted()
        result = call(*arguments, **named)
        counted()
        return result

    return stepped


def check(path: Path, wanted: list[RecordedEvent]) -> None:
    """Everything can be read, before anything else is done and after the opening."""
    assert verify_store(path).findings == []
    with EventLog.open(path, CODEC, durable=False) as log:
        archives = log.archives()
        gone = archives[:1] if archives and archives[0].state == "removed" else []
        for was, now in zip(wanted, log.read(0, len(wanted)), strict=True):
            if gone and was.stream in ("s-1", "s-4"):
                assert now.event is DROPPED
            else:
                assert now == was
        if gone:
            with pytest.raises(EventsRemoved):
                log.read_stream("s-1")
        there = {file.name for file in (path / "archives").glob("*")}
        known = {Path(one.file).name for one in archives if one.state != "removed"}
        begun = f"{len(archives) + 1:08d}.archive"
        assert known <= there <= known | {begun}
        assert log.unavailable_archives() == []
    assert verify_store(path).findings == []


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(archive_writer, "BLOCK_BYTES", 6_000)
    with EventLog.open(tmp_path / "log", CODEC, durable=False) as log:
        fill(log, 100 * ROUNDS)
    return tmp_path / "log"


def test_whatever_step_is_the_last_one_every_event_is_read(path: Path) -> None:
    with EventLog.open(path, CODEC, durable=False) as log:
        wanted = log.read(0, log.head)
    pristine = {file: file.read_bytes() for file in path.iterdir() if file.is_file()}
    for step in range(MOST_STEPS):
        for file in path.rglob("*"):
            if file.is_file():
                file.unlink()
        for file, data in pristine.items():
            file.write_bytes(data)
        if work_until(path, step):
            break
        check(path, wanted)
    assert 30 < step < MOST_STEPS
    print(f"{step} steps")


def test_a_work_that_ends_again_and_again_comes_to_its_end(path: Path) -> None:
    with EventLog.open(path, CODEC, durable=False) as log:
        wanted = log.read(0, log.head)
    tries = 0
    while not work_until(path, 30 * ROUNDS):
        check(path, wanted)
        tries += 1
        assert tries < 30
    check(path, wanted)
    assert tries > 0
