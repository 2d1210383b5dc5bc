"""Removing an archive: planned and agreed to in the caller's thread, recorded by the writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

from actors.kernel.actor import refuse_in_actor
from actors.retention.archiving import archives_alone, writable_log
from actors.retention.removal_plan import plan_of_removal, require_agreed
from actors.retention.stream_closing import in_parts
from actors.retention.writer_call import ask_writer
from actors.runtime.archive_moves import ArchiveMoves
from actors.runtime.operation_record import checked_record
from actors.runtime.parts import Parts
from actors.writer.kept_states import keep_states, keys_in_streams
from actors.writer.log_operation import LogOperation
from storage import ArchiveRecord, ArchiveRefused, EventLog

__all__ = ["remove_archive"]

TRIES = 5


def remove_archive(
    parts: Parts,
    moves: ArchiveMoves,
    number: int,
    lose: Collection[str] | Literal["all"],
    who: str,
    why: str,
    timeout: float,
    progress: Callable[[int, int], None] | None,
) -> ArchiveRecord:
    """As `System.remove_archive`."""
    refuse_in_actor("remove_archive", parts.progress)
    log = writable_log(parts)
    checked_record("remove_archive", who, why)
    with archives_alone(moves):
        for _ in range(TRIES):
            record = _removed(parts, log, number, lose, who, why, timeout, progress)
            if record is not None:
                break
        else:
            raise ArchiveRefused(
                f"archive {number} was not removed: streams were closed or opened again, events corrected or "
                "people forgotten whenever it was planned; remove it again once that is done"
            )
        # Not in the writer's thread: a large file takes seconds.
        log.erase_removed_archives()
    return record


def _removed(
    parts: Parts,
    log: EventLog,
    number: int,
    lose: Collection[str] | Literal["all"],
    who: str,
    why: str,
    timeout: float,
    progress: Callable[[int, int], None] | None,
) -> ArchiveRecord | None:
    """The removed archive; None, and nothing is removed, if an operation may have changed who loses what."""
    since = log.last_operation()
    plan = plan_of_removal(parts, number, progress)
    require_agreed(plan, lose)
    for some in in_parts(plan._kept):
        keeping = LogOperation(
            partial(
                keep_states,
                streams=keys_in_streams(log, some, parts.domain.codec),
                codec=parts.domain.codec,
            ),
            "states were kept",
            "archives() says whether the archive is removed; remove it again if not",
        )
        ask_writer(parts, keeping, timeout)
    operation = LogOperation(
        partial(_remove, number=number, who=who, why=why, since=since),
        f"archive {number} was removed",
        "archives() says whether it is; remove it again if not",
        # What was folded from these events can't be found by an opening either.
        forgets_states=True,
    )
    record: ArchiveRecord | None = ask_writer(parts, operation, timeout)
    return record


def _remove(log: EventLog, number: int, who: str, why: str, since: int) -> ArchiveRecord | None:
    if log.last_operation() != since:
        return None
    return log.remove_archive(number, who=who, why=why, time_us=time.time_ns() // 1000, erase=False)
