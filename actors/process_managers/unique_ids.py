"""Ids of what a manager asks for: the same for the same request, and globally unique. Pure; any thread.

A position identifies a request within one log alone: another store has that position too, and so has the same
store once it went on from a backup. So an id ends with a mark, a digest of the log's history and of the
origin of the input: the id of an event's command, the origin and the time of a timer; that of an effect
covers its payload as well. What is handled again, after a crash or a restore, gets the id that it had.
"""

from __future__ import annotations

from actors.domain.reserved_ids import EFFECT
from actors.kernel.unique_mark import mark_of
from actors.process_managers.inputs import Decision, Input, Issued
from storage.codec.codec import Codec

__all__ = ["LONGEST_KEY", "UniqueIds"]

LONGEST_KEY = 150
"""Characters of an id that leaves the store, at most; they are ASCII."""
MARK_BYTES = 12


class UniqueIds:
    """Of one manager of the log with this history id."""

    def __init__(self, history_id: str, codec: Codec) -> None:
        self._history_id = history_id
        self._codec = codec

    def give(self, input: Input, decision: Decision) -> None:
        """Set the ids of what an input led to. Raises what the codec does for an unencodable payload."""
        if decision.commands:
            mark = self._mark(input)
            decision.commands = [Issued(f"{one.id}:{mark}", one.message) for one in decision.commands]
        if decision.effects:
            decision.effects = [
                Issued(self._key(number, input, one), one.message, one.name)
                for number, one in enumerate(decision.effects)
            ]

    def _key(self, number: int, input: Input, effect: Issued) -> str:
        # An id that was too long is a digest.
        named = effect.id if EFFECT.search(effect.id) else f"{effect.id}:e{number}"
        return f"{named}:{self._mark(input, effect)}"

    def _mark(self, input: Input, effect: Issued | None = None) -> str:
        origin = [
            self._history_id,
            input.id,
            input.key,
            # An event or a rejection that happens again has another time, and is identified by its command's
            # id.
            str(input.time_us) if input.kind == "timer" or not input.causation else "",
            input.causation or "",
            input.correlation or "",
        ]
        if effect is not None:
            origin.append(effect.name)
        payload = b"" if effect is None else self._codec.digesting.encode(effect.message)
        return mark_of(origin, MARK_BYTES, payload)
