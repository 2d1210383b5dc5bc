"""Compacting the log of a running system: the caller's thread copies, the writer's makes the last step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout

from actors.errors import CommandTimeout
from actors.kernel.actor import refuse_in_actor
from actors.runtime.parts import Parts
from actors.runtime.reading import opened_for_reading
from actors.runtime.store_identity import KEY, in_new_file
from actors.writer.writer_task import WriterTask
from storage import EventLog, StorageError
from storage.log.live_compaction import Compaction, LiveCompaction

__all__ = ["compact_log"]


def compact_log(
    parts: Parts, one_at_a_time: threading.Lock, timeout: float, progress: Callable[[int, int], None]
) -> Compaction:
    """As `System.compact`; the lock is that of the running system."""
    refuse_in_actor("compact", parts.progress)
    log = parts.log
    if not isinstance(log, EventLog):
        raise opened_for_reading(parts.path)
    if not one_at_a_time.acquire(blocking=False):
        raise StorageError(f"the log in {log.path} is being compacted by another call; wait for that")
    try:
        compaction = LiveCompaction(log, KEY, in_new_file(log.path))
        return compaction.run(lambda work: _between_batches(parts, work, timeout), timeout, progress)
    finally:
        one_at_a_time.release()


def _between_batches(parts: Parts, work: Callable[[], bool], timeout: float) -> bool:
    task = WriterTask(work)
    parts.command_client.mailbox.put(task)
    try:
        done: bool = task.future.result(timeout)
    except FutureTimeout:
        if task.future.cancel():
            raise CommandTimeout(
                "",
                f"the log was not compacted: the writer did not come to it within {timeout:g} s; look at "
                "health() what it is busy with, and compact it again",
            ) from None
        # It has begun, and ends soon.
        done = task.future.result()
    return done
