"""Kills a process with SIGKILL at random moments while eight threads execute commands, and looks what is
left.

`ONEWRITER_CRASH_ROUNDS` sets the number of rounds (20), `ONEWRITER_CRASH_SEED` the seed, which is printed.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors import RecordedEvent, System
from tests.forked import Forked
from tests.system.checks import check_log, check_receipt, check_replicas, read_log
from tests.system.depot import command_of, depot

pytestmark = pytest.mark.kill

ROUNDS = int(os.environ.get("ONEWRITER_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("ONEWRITER_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CHAPTER = 10
"""Rounds on one store, which grows from one to the next; comparing all of it takes longer each time."""

MOMENTS = {"working": (0.0, 0.5), "opening": (0.05, 0.3), "catching up": (0.0, 0.2)}
"""When the kill comes, in seconds: after the start of the process for "opening", else after it says it is
open.
"""


@dataclass(frozen=True)
class Note:
    """One acknowledgement: `first` to `last` and `version` are the receipt's; a refusal has no receipt."""

    name: str
    command_id: str = ""
    first: int = 0
    last: int = 0
    version: int = 0


@contextmanager
def child(store: Path, notes: Path, number: int) -> Iterator[Forked]:
    """A process that works on the store; killed at the end of the block, however that comes."""
    with Forked("tests.system.crash_child", str(store), str(notes), str(number)) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_killed(process: Forked, seconds: float) -> None:
    """Let the process run for that long; it must not end by itself."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    pytest.fail(f"the child ended by itself: {process.stdout.read()}")


def read_notes(path: Path) -> tuple[list[Note], list[str]]:
    """What was acknowledged: the receipts, and the names of the commands that were refused."""
    done, refused = [], []
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, name, *numbers = line.split()
        if kind == "refused":
            refused.append(name)
        else:
            done.append(Note(name, numbers[0], *map(int, numbers[1:])))
    return done, refused


def check_round(
    system: System, before: list[RecordedEvent], done: list[Note], refused: list[str]
) -> list[RecordedEvent]:
    """Everything that was promised holds after a kill; returns the log."""
    events = read_log(system)
    assert events[: len(before)] == before
    check_log(events)

    of_command: dict[str, list[RecordedEvent]] = {}
    for recorded in events[len(before) :]:
        of_command.setdefault(recorded.command_id, []).append(recorded)
    for name in refused:
        assert name not in of_command
    again = [(note, system.submit(command_of(note.name), command_id=note.command_id)) for note in done]
    for note, future in again:
        receipt = future.result(30)
        assert (note.first, note.last, note.version) == (receipt.first, receipt.last, receipt.version)
        check_receipt(receipt, events)
        written = of_command.get(note.command_id, [])
        assert [recorded.position for recorded in written] == list(
            range(note.first, note.last + bool(written))
        )
    assert system.position == len(events), "a command that was acknowledged was done a second time"

    check_replicas(system, events)
    return events


@pytest.mark.parametrize("chapter", range(-(-ROUNDS // CHAPTER)))
def test_nothing_acknowledged_is_lost_torn_or_doubled_when_the_process_is_killed(
    tmp_path: Path, chapter: int
) -> None:
    print(f"ONEWRITER_CRASH_SEED={SEED}")
    dice = random.Random(f"{SEED}, chapter {chapter}")
    store = tmp_path / "store"
    before: list[RecordedEvent] = []
    acknowledged = rejected = 0
    for number in range(CHAPTER):
        notes = tmp_path / f"round-{number}"
        moment = dice.choice(["working", *MOMENTS])
        if moment == "catching up":
            # The replica starts from nothing while the threads begin.
            shutil.rmtree(store / "replicas" / "replica-1", ignore_errors=True)
        delay = dice.uniform(*MOMENTS[moment])
        print(f"round {number}: {moment}, killed after {delay:.3f} s")
        with child(store, notes, number) as process:
            if moment != "opening":
                assert process.stdout.readline() == "open\n"
            wait_until_killed(process, delay)
        done, refused = read_notes(notes)
        with System.open(store, depot, replicas=2) as system:
            before = check_round(system, before, done, refused)
        acknowledged += len(done)
        rejected += len(refused)
        print(f"  {len(done)} acknowledged, {len(refused)} refused, {len(before)} events now")
    assert acknowledged > CHAPTER
    assert rejected
