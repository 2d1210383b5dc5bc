"""What an operator is shown of an outbox. Any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import DeliveryAttempts

__all__ = ["PendingEffect", "pending_effects"]

UNTRIED = DeliveryAttempts(0, "")


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect that is not delivered yet. `attempts` failed; `error` is the last traceback, None for none.

    `parked` is the same once it was given up, and None before. `behind` is the key of a parked effect of the
    same instance that it waits for, None where it waits for none.
    """

    key: str
    name: str
    instance: str
    payload: Any
    parked: str | None
    attempts: int = 0
    error: str | None = None
    behind: str | None = None


def pending_effects(
    notes: NoteReader, keys: RecordKeys, records: RecordCodec, attempts: Mapping[bytes, DeliveryAttempts]
) -> list[PendingEffect]:
    """The effects that wait, then those that are parked. `attempts` has their failures by their keys."""
    given_up = [(key[len(keys.parked) :], records.entry(value)) for key, value in notes.notes(keys.parked)]
    first: dict[str, tuple[bytes, str]] = {}
    for suffix, one in given_up:
        first.setdefault(one.key, (suffix, one.id))
    found = []
    for key, value in notes.notes(keys.due) + notes.notes(keys.blocked):
        one, last = records.entry(value), attempts.get(key, UNTRIED)
        before = first.get(one.key)
        behind = None if before is None or key[-len(before[0]) :] < before[0] else before[1]
        found.append(
            PendingEffect(
                one.id, one.name, one.key, one.payload, None, last.failed, last.traceback or None, behind
            )
        )
    for _, one in given_up:
        found.append(
            PendingEffect(one.id, one.name, one.key, one.payload, one.reason, one.attempts, one.reason)
        )
    return found
