"""Subscriptions: every committed event from a position on, in order, first from the log and then live."""

from __future__ import annotations

import time
from collections.abc import Iterator

from actors.errors import ForkedProcess
from actors.progress import Progress
from storage import EventLog, RecordedEvent, StoreClosed

__all__ = ["subscribe"]

BATCH = 500


def subscribe(
    log: EventLog, progress: Progress, after: int, until: int | None, timeout: float | None
) -> Iterator[RecordedEvent]:
    """Events after `after`, up to and with `until`.

    Reads the log in batches and holds nothing in between, so a slow reader costs the writer
    nothing. Ends at `until`, when the system closes, or when nothing new came for `timeout` seconds.
    """
    position = after
    while until is None or position < until:
        _refuse_forked(progress)
        head = progress.head
        if head > position:
            try:
                batch = log.read(position, BATCH, head if until is None else min(head, until))
            except StoreClosed:
                if progress.closed:
                    return
                raise
            for recorded in batch:
                _refuse_forked(progress)
                yield recorded
                position = recorded.position
            continue
        end = None if timeout is None else time.monotonic() + timeout
        # A bounded wait, so that a lost wake-up could only ever delay it.
        while not progress.wait_committed(
            position + 1, 1.0 if end is None else min(1.0, end - time.monotonic())
        ):
            if end is not None and time.monotonic() >= end:
                return
        if progress.closed and progress.head <= position:
            return


def _refuse_forked(progress: Progress) -> None:
    if progress.forked:
        raise ForkedProcess(
            "this subscription was begun by the parent process and can't go on in a forked child; "
            "subscribe in a process that opened the system itself"
        )
