"""`make bench-archives`: what archived events cost, by the size of the blocks of an archive.

All events of a log are archived. Times are of the processor, the lowest of several runs, as the disk and
others would move them.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import machine
from storage import Codec, CommandRecord, EventLog, RecordedEvent
from storage.archive import archive_writer
from storage.log.log_reader import LogReader

BATCH = 100
STREAMS = 2_000
READ_STREAMS = 300
WORDS = 3_000


@dataclass(frozen=True)
class Noted:
    text: str


codec = Codec()
codec.register(Noted)


class Figures(NamedTuple):
    """Bytes of the events and of the file, pages of events in the log, and microseconds an event."""

    event_bytes: int
    file_bytes: int
    pages: int
    written: float
    moved: float
    in_order: float
    by_stream: float


def fill(log: EventLog, events: int) -> None:
    """Commands of one event each, with text, in commits of a hundred."""
    dice = random.Random(1)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randrange(2, 9))) for _ in range(WORDS)]
    versions = [0] * STREAMS
    while log.head < events:
        batch, records = [], []
        for position in range(log.head + 1, log.head + 1 + BATCH):
            number = dice.randrange(STREAMS)
            versions[number] += 1
            stream, id = f"order-{number}", f"{dice.getrandbits(128):032x}"
            text = " ".join(dice.choices(words, k=dice.randrange(15, 45)))
            batch.append(
                RecordedEvent(position, stream, versions[number], Noted(text), "Noted", position, id, "Note")
            )
            records.append(CommandRecord(id, position, 1, b"d" * 16, stream, versions[number]))
        log.append(batch, records, new_ids=True)


def measured(log: EventLog, runs: int) -> Figures:
    """Archive all events of a log, and read them again."""
    head = log.head
    begun = time.process_time()
    made = log.begin_archive(range(1, head + 1), who="benchmark", why="all", time_us=1)
    written = time.process_time() - begun
    begun = time.process_time()
    while log.move_to_archive(made.number, 2_000):
        pass
    moved = time.process_time() - begun
    return Figures(
        made.event_bytes,
        made.bytes,
        pages_of(log),
        1e6 * written / head,
        1e6 * moved / head,
        lowest(runs, lambda: in_order(log)),
        lowest(runs, lambda: by_stream(log)),
    )


def in_order(log: LogReader) -> int:
    """Read all events; how many."""
    after = 0
    while found := log.records(after, 5_000):
        after += len(found)
    return after


def by_stream(log: LogReader) -> int:
    """Read some streams, decoded; how many events."""
    return sum(len(log.read_stream(name)) for name, _ in log.streams(limit=READ_STREAMS))


def lowest(runs: int, read: Callable[[], int]) -> float:
    """Microseconds of the processor an event."""
    found = []
    for _ in range(runs):
        begun = time.process_time()
        events = read()
        found.append(1e6 * (time.process_time() - begun) / events)
    return min(found)


def pages_of(log: LogReader) -> int:
    """Pages with events in the log's file."""
    with log.transaction() as reading:
        pages: int = reading.transaction.stat(reading.databases["events"])["leaf_pages"]
        return pages


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.archives", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kib", type=int, nargs="+", default=[16, 32, 64], help="sizes of blocks")
    options = parser.parse_args(arguments)
    print(f"{machine()}\n")
    print("| blocks of | events | file | pages | written | moved | read in order | by stream |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kib in [0, *options.kib]:
        with tempfile.TemporaryDirectory() as folder:
            archive_writer.BLOCK_BYTES = kib << 10
            with EventLog.open(Path(folder, "log"), codec, durable=False) as log:
                fill(log, options.events)
                print(archived(log, kib, options.runs) if kib else in_log(log, options.runs), flush=True)
    return 0


def in_log(log: EventLog, runs: int) -> str:
    """The line of a log without archives."""
    times = lowest(runs, lambda: in_order(log)), lowest(runs, lambda: by_stream(log))
    return f"| in the log | | | {pages_of(log):,} | | | {times[0]:.1f} us | {times[1]:.1f} us |"


def archived(log: EventLog, kib: int, runs: int) -> str:
    """The line of a log of which all events are archived in blocks of this size."""
    found = measured(log, runs)
    megabytes = " | ".join(f"{one / 1e6:.1f} MB" for one in found[:2])
    times = " | ".join(f"{one:.1f} us" for one in found[3:])
    return f"| {kib} KiB | {megabytes} | {found.pages:,} | {times} |"


if __name__ == "__main__":
    raise SystemExit(main())
