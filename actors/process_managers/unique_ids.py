"""Ids of what a manager asks for: the same whenever the same is asked for, and unique in the world. Pure; any thread.

A position says what is asked for within one log alone: another store has that position too, and so has the same store once
a backup was put in its place and it went on. So an id ends with a mark, a digest of the log's history and of what its
input came from: the id of an event's command, the origin and the time of a timer; that of an effect also of its payload.
What is handled again, after a crash or a restore, is asked for under the id that it had.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import blake2b

from actors.errors import InvalidMessage
from actors.process_managers.inputs import Decision, Input, Issued
from storage.codec.codec import Codec

__all__ = ["LONGEST_KEY", "UniqueIds", "is_of_manager", "refuse_reserved"]

LONGEST_KEY = 150
"""Characters of an id that leaves the store, at most; they are ASCII."""
MARK_BYTES = 12

RESERVED = re.compile(r"([A-Za-z0-9_.-]+):(?:[0-9]+:.+|[0-9a-f]{32}(?::.*)?)", re.DOTALL)
"""What the ids of managers' commands look like, and looked like before they had marks."""
EFFECT = re.compile(r":e[0-9]+(?::[0-9a-f]{24})?\Z")
"""The end of an effect's key, and of no command's id: a key may be the id of a command in a store that it is passed on to."""


class UniqueIds:
    """Of one manager of the log with this history id."""

    def __init__(self, history_id: str, codec: Codec) -> None:
        self._history_id = history_id
        self._codec = codec

    def give(self, input: Input, decision: Decision) -> None:
        """Give what an input led to its ids. Raises what the codec does for a payload that can't be stored."""
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
            # An event, or a rejection, that comes about again has another time, and is told by its command's id.
            str(input.time_us) if input.kind == "timer" or not input.causation else "",
            input.causation or "",
            input.correlation or "",
        ]
        if effect is not None:
            origin.append(effect.name)
        # What it is made of is told apart by its length: texts of users may hold any character.
        data = "".join(f"{len(one)}:{one}" for one in origin).encode("utf-8", "surrogatepass")
        if effect is not None:
            data += self._codec.encode(effect.message)
        return blake2b(data, digest_size=MARK_BYTES).hexdigest()


def is_of_manager(command_id: str | None, managers: Collection[str]) -> bool:
    """Whether a command's id is one of those that these managers give."""
    if command_id is None or ":" not in command_id:
        return False
    found = RESERVED.fullmatch(command_id)
    return found is not None and found[1] in managers


def refuse_reserved(command_id: str, managers: Collection[str]) -> None:
    """Raise `InvalidMessage` for a caller's command id that could be that of a command of one of these managers."""
    found = RESERVED.fullmatch(command_id)
    if found is not None and found[1] in managers and not EFFECT.search(command_id):
        raise InvalidMessage(
            f"command_id={command_id[:100]!r} has the form of the ids that process manager {found[1]!r} gives its "
            "commands, and could be taken for one; put something else in front of it"
        )
