"""Carrying a plan out: the file is written in the caller's thread, the events are moved by the writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from actors.kernel.actor import refuse_in_actor
from actors.replication.rebuild_throttle import adapted_limit
from actors.retention.archive_plan import ArchivePlan, still_holds
from actors.retention.writer_call import ask_writer
from actors.runtime.archive_moves import STEP, ArchiveMoves
from actors.runtime.operation_record import checked_record
from actors.runtime.parts import Parts
from actors.runtime.reading import opened_for_reading
from actors.writer.log_operation import LogOperation
from storage import ArchiveRecord, ArchiveRefused, EventLog, StorageError
from storage.log.archive_records import MOVING

__all__ = ["archive", "archives_alone", "writable_log"]

Progress = Callable[[int, int], None]

STEP_SECONDS = 0.01
"""What one step takes of the writer's time, for which commands wait."""
FEWEST, MOST = 50, 10_000
"""Events of one step."""
SHARE = 0.5
"""What the steps take of the writer's time at most."""


def archive(
    parts: Parts,
    moves: ArchiveMoves,
    plan: ArchivePlan,
    who: str,
    why: str,
    timeout: float,
    progress: Progress | None,
) -> ArchiveRecord:
    """As `System.archive`."""
    refuse_in_actor("archive", parts.progress)
    log = writable_log(parts)
    checked_record("archive", who, why)
    with archives_alone(moves):
        _refuse_unfinished(log)
        still_holds(plan, log)
        told = progress or _silent
        # Half of the work is the file, half is moving what it has.
        begun = log.begin_archive(
            plan._positions,
            who=who,
            why=why,
            time_us=time.time_ns() // 1000,
            progress=lambda done, total: told(done, 2 * total),
        )
        try:
            still_holds(plan, log)
        except BaseException:
            log.cancel_archive(begun.number)
            raise
        try:
            _move(parts, begun, timeout, told)
        except BaseException:
            # A step may be under way, so this is to be looked at later in any case. Nothing can be asked of
            # a log that was closed meanwhile; the next opening goes on.
            moves.unfinished = True
            with suppress(StorageError):
                if all(one.number != begun.number for one in log.archives()):
                    log.cancel_archive(begun.number)
            raise
        return next(one for one in log.archives() if one.number == begun.number)


def _move(parts: Parts, begun: ArchiveRecord, timeout: float, told: Progress) -> None:
    """Have the writer move all events, in steps that leave it time for commands."""
    left, limit = begun.events, STEP
    while left:
        operation = LogOperation(
            partial(_step, number=begun.number, limit=limit),
            f"events were moved to archive {begun.number}",
            "archives() says how far it is; what is left is moved by itself",
        )
        left, took = ask_writer(parts, operation, timeout)
        limit = adapted_limit(limit, took, limit, STEP_SECONDS, FEWEST, MOST)
        told(2 * begun.events - left, 2 * begun.events)
        if left:
            time.sleep(took * (1 / SHARE - 1))


def _step(log: EventLog, number: int, limit: int) -> tuple[int, float]:
    """How many events are left, and how long it took. The writer's thread."""
    began = time.monotonic()
    left = log.move_to_archive(number, limit)
    return left, time.monotonic() - began


def _refuse_unfinished(log: EventLog) -> None:
    for one in log.archives():
        if one.state == MOVING:
            raise ArchiveRefused(
                f"the events of archive {one.number} are still being moved, which goes on by itself: wait "
                "until archives() shows its state as archived, then plan and archive again"
            )


@contextmanager
def archives_alone(moves: ArchiveMoves) -> Iterator[None]:
    """While one call works on archives, another one is refused. Raises ArchiveRefused."""
    if not moves.one_at_a_time.acquire(blocking=False):
        raise ArchiveRefused("another call archives events, or removes an archive; wait for that")
    try:
        yield
    finally:
        moves.one_at_a_time.release()


def writable_log(parts: Parts) -> EventLog:
    """The log. Raises `OpenedForReading`."""
    if not isinstance(parts.log, EventLog):
        raise opened_for_reading(parts.path)
    return parts.log


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""
