"""What an operator does to a parked effect: have it delivered again, or drop it. Callers' threads."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from actors.errors import ConsistencyTimeout, UnknownName
from actors.process_managers.outbox_messages import DeliverEffects
from actors.process_managers.record_codec import RecordCodec
from actors.writer.atomic_step import StepSuperseded
from actors.writer.command_client import CommandClient
from storage import EventLog

if TYPE_CHECKING:
    from actors.process_managers.quiescence import ManagerHandle

__all__ = ["release_effect"]


def release_effect(
    running: ManagerHandle,
    key: str,
    timeout: float,
    *,
    drop: bool,
    log: EventLog,
    values: RecordCodec,
    writes: CommandClient,
) -> None:
    """Deliver a parked effect again, or drop it; `key` is its own.

    Raises `UnknownName` for one that is not parked, also where another operator was first, `ConsistencyTimeout` where the
    step is not on disk after `timeout` seconds, `Overloaded`, and what a step does.
    """
    end = time.monotonic() + timeout
    while True:
        parked, value, notes = _notes_of(running, key, drop, log, values)
        running.desk.release()
        try:
            step = writes.step(
                [],
                lambda _outcomes, notes=notes: notes,  # type: ignore[misc]
                (parked, value),
                max(end - time.monotonic(), 0.0),
            )
        except BaseException:
            running.outbox.put(DeliverEffects(again=True))
            raise
        # Also where its time is over before it is on disk.
        step.add_done_callback(lambda _done: running.outbox.put(DeliverEffects(again=True)))
        try:
            step.result(max(end - time.monotonic(), 0.0))
        except StepSuperseded:
            continue  # Somebody else was first: mostly it is not parked any more.
        except TimeoutError:
            name = running.spec.name
            raise ConsistencyTimeout(
                f"effect {key!r} of process manager {name!r} was not {'dropped' if drop else 'released'} within "
                f"{timeout:g} s; that is done as soon as the writer comes to it: look at effects({name!r}) whether it is "
                "still parked, and at health() what the writer is busy with"
            ) from None
        return


def _notes_of(
    running: ManagerHandle, key: str, drop: bool, log: EventLog, values: RecordCodec
) -> tuple[bytes, bytes, list[tuple[bytes, bytes | None]]]:
    """The note of the parked effect, and the notes that release it."""
    known = []
    for parked, value in log.notes(running.keys.parked):
        entry = values.entry(value)
        if entry.id == key:
            notes: list[tuple[bytes, bytes | None]] = [(parked, None)]
            if not drop:
                due = running.keys.due + parked[len(running.keys.parked) :]
                notes.append((due, values.pack_entry(entry._replace(reason="", attempts=0))))
            return parked, value, notes
        known.append(entry.id)
    raise UnknownName(f"parked effect of process manager {running.spec.name!r}", key, known)
