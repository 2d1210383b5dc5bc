"""Processes that pack runs of events for a backup, beside the one that makes it. The thread of the backup.

Python verifies one event after the other, on one core. So a backup that may take all of its time shares it.
Whatever happens to such a process, its runs are packed here in its place.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from storage.backup.chain_follower import ChainFollower
from storage.backup.event_run import PackedRun, RunTooLarge, pack_run
from storage.backup.pack_worker import EventRun, PackWorker
from storage.backup.segment_format import Point
from storage.backup.segment_source import end_of_run
from storage.backup.segment_writer import SegmentWriter
from storage.errors import StorageError
from storage.files.published_file import PublishedFile
from storage.log.log_reader import LogReader

__all__ = ["RunPool", "workers_for"]

RUN = 8_000
"""Events of a run, about."""
WORTH_WORKERS = 250_000
"""So many events take longer than starting a process."""
MOST_WORKERS = 3
WAITING = 4
"""Runs at most that are packed here and wait for one before them."""


def workers_for(events: int) -> int:
    """How many processes beside this one are worth starting for a number of events.

    None if others use the processor, or if it is not certain that Python would be started, and not the
    program that it is part of.
    """
    known = Path(sys.executable or "").name.startswith(("python", "pypy")) and not hasattr(sys, "frozen")
    if events < WORTH_WORKERS or not known:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        busy = round(os.getloadavg()[0])
    except OSError:
        busy = 0
    # Of the load one may be this process itself.
    return min(max(cores - max(busy, 1), 0), MOST_WORKERS)


class RunPool:
    """Workers for a backup of `log` to a file. Close it before the file is published or discarded."""

    def __init__(self, log: LogReader, file: PublishedFile, stretch: int, workers: int) -> None:
        """Starts `workers` processes, or fewer if that is not possible. A block has `stretch` events."""
        self._log = log
        self._stretch = stretch
        self._file = file
        self._numbers = 0
        self._too_large = False
        self._workers: list[PackWorker] = []
        with suppress(OSError):
            for _ in range(workers):
                files = str(log.path), str(log.archives_path), str(file.partial)
                self._workers.append(PackWorker(files, stretch))

    def write(
        self, chain: ChainFollower, writer: SegmentWriter, head: int, progress: Callable[[], None]
    ) -> None:
        """Write events up to the position `head`, or to the next link of the chain.

        Raises DamagedStore, StoreFull, StorageError.
        """
        try:
            self._write_runs(chain, writer, head, progress)
        except RunTooLarge:
            self._too_large = True
        for worker in self._workers:
            while worker.writing and not worker.lost:
                worker.listen(wait=True)
            self._write_again(worker)

    @property
    def useful(self) -> bool:
        """Whether it is faster with it than without."""
        return not self._too_large and not all(worker.lost for worker in self._workers)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def _write_runs(
        self, chain: ChainFollower, writer: SegmentWriter, head: int, progress: Callable[[], None]
    ) -> None:
        runs: deque[EventRun] = deque()
        at = chain.point
        more = True
        while more or runs:
            for worker in self._workers:
                worker.listen(wait=False)
                while more and worker.has_room:
                    run = self._next_run(at, head)
                    if run is None:
                        more = False
                        break
                    worker.ask(run)
                    runs.append(run)
                    at = run.end
            if more and sum(run.packed is not None for run in runs) < WAITING:
                run = self._next_run(at, head)
                if run is None:
                    more = False
                else:
                    run.packed = self._pack(run)
                    runs.append(run)
                    at = run.end
            elif runs and not runs[0].ready:
                assert runs[0].worker is not None
                runs[0].worker.listen(wait=True)
            while runs and runs[0].ready:
                run = runs.popleft()
                self._write(run, chain, writer)
                progress()

    def _next_run(self, at: Point, head: int) -> EventRun | None:
        with self._log.transaction() as transaction:
            end = end_of_run(transaction, at, RUN, head)
        if end is None:
            return None
        self._numbers += 1
        return EventRun(self._numbers, at, end)

    def _write(self, run: EventRun, chain: ChainFollower, writer: SegmentWriter) -> None:
        chain.go_on(run.begin, run.end)
        if run.size and run.worker is not None and not run.worker.lost:
            run.offset = self._file.leave(run.size)
            writer.left_out(run.heads, run.size)
            run.worker.tell_offset(run)
            return
        writer.packed(*(run.packed or self._pack(run)))

    def _write_again(self, worker: PackWorker) -> None:
        """Write what a worker that was lost may not have written."""
        while worker.writing:
            _, run = worker.writing.popitem()
            packed = self._pack(run)
            if packed.heads != run.heads:
                raise StorageError(
                    f"another process has packed the events from position {run.begin.position + 1} on in "
                    "another way than this one; if the program was replaced meanwhile, start it again"
                )
            self._file.write_at(run.offset, packed.blocks)

    def _pack(self, run: EventRun) -> PackedRun:
        return pack_run(self._log, run.begin, run.end, self._stretch)
