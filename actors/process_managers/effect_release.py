"""What an operator does to a parked effect: have it delivered again, or drop it. Callers' threads."""

from __future__ import annotations

import time

from actors.errors import ConsistencyTimeout, UnknownName
from actors.process_managers.manager_handle import ManagerHandle
from actors.process_managers.outbox_messages import DeliverEffects
from actors.process_managers.record_codec import RecordCodec
from actors.writer.atomic_step import StepSuperseded
from actors.writer.step_client import StepClient
from storage.log.log_reader import LogReader

__all__ = ["release_effect"]


def release_effect(
    handle: ManagerHandle,
    key: str,
    timeout: float,
    *,
    drop: bool,
    log: LogReader,
    records: RecordCodec,
    steps: StepClient,
) -> None:
    """Deliver a parked effect again, or drop it; `key` is its own.

    Raises `UnknownName` for one that is not parked, also where another operator was first,
    `ConsistencyTimeout` where the step is not on disk after `timeout` seconds, `Overloaded`, and what a step
    does.
    """
    end = time.monotonic() + timeout
    while True:
        parked, value, notes = _notes_of(handle, key, drop, log, records)
        handle.board.count_release()
        try:
            step = steps.submit(
                [],
                lambda _outcomes, notes=notes: notes,  # type: ignore[misc]
                (parked, value),
                max(end - time.monotonic(), 0.0),
            )
        except BaseException:
            handle.outbox.put(DeliverEffects(reload=True))
            raise
        # Also where its time is over before it is on disk.
        step.add_done_callback(lambda _done: handle.outbox.put(DeliverEffects(reload=True)))
        try:
            step.result(max(end - time.monotonic(), 0.0))
        except StepSuperseded:
            continue  # Another operator was first: usually it is not parked any more.
        except TimeoutError:
            name = handle.spec.name
            raise ConsistencyTimeout(
                f"effect {key!r} of process manager {name!r} was not {'dropped' if drop else 'released'} "
                "within "
                f"{timeout:g} s; that is done as soon as the writer comes to it: look at effects({name!r}) "
                "whether it is "
                "still parked, and at health() what the writer is busy with"
            ) from None
        return


def _notes_of(
    handle: ManagerHandle, key: str, drop: bool, log: LogReader, records: RecordCodec
) -> tuple[bytes, bytes, list[tuple[bytes, bytes | None]]]:
    """The note of the parked effect, and the notes that release it."""
    known = []
    for parked, value in log.notes(handle.keys.parked):
        entry = records.entry(value)
        if entry.id == key:
            notes: list[tuple[bytes, bytes | None]] = [(parked, None)]
            if not drop:
                due = handle.keys.due + parked[len(handle.keys.parked) :]
                notes.append((due, records.pack_entry(entry._replace(reason="", attempts=0))))
            return parked, value, notes
        known.append(entry.id)
    raise UnknownName(f"parked effect of process manager {handle.spec.name!r}", key, known)
