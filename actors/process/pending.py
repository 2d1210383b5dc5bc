"""What an operator is shown of an outbox. Any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from actors.process.notes import Keys, Notes, Tried, Values

__all__ = ["PendingEffect", "pending_effects"]

UNTRIED = Tried(0, "")


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect that is not delivered yet. `attempts` failed; `error` is the traceback of the last one, None for none.

    `parked` is the same once it was given up, and None before.
    """

    key: str
    name: str
    instance: str
    payload: Any
    parked: str | None
    attempts: int = 0
    error: str | None = None


def pending_effects(
    notes: Notes, keys: Keys, values: Values, tried: Mapping[bytes, Tried]
) -> list[PendingEffect]:
    """The effects that wait, with what `tried` has of them by key, then those that are parked."""
    found = []
    for key, value in notes.notes(keys.due):
        one, last = values.entry(value), tried.get(key, UNTRIED)
        found.append(
            PendingEffect(one.id, one.name, one.key, one.payload, None, last.attempts, last.text or None)
        )
    for _, value in notes.notes(keys.parked):
        one = values.entry(value)
        found.append(
            PendingEffect(one.id, one.name, one.key, one.payload, one.reason, one.attempts, one.reason)
        )
    return found
