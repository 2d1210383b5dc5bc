"""Calling what delivers an effect, and what it may return. The delivery threads."""

from __future__ import annotations

from typing import Any

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.errors import InvalidMessage
from actors.process_managers.attempt_counter import AttemptCounter
from actors.process_managers.outstanding_effects import OutstandingEffects
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import OutboxEntry
from actors.process_managers.unreadable_values import Unreadable
from storage.value_text import short_repr

__all__ = ["EffectCalls"]


class EffectCalls:
    """Of one manager; what is being delivered is marked in `outstanding`."""

    def __init__(
        self,
        spec: ProcessManagerSpec,
        records: RecordCodec,
        outstanding: OutstandingEffects,
        attempts: AttemptCounter,
    ) -> None:
        self._spec = spec
        self._records = records
        self._outstanding = outstanding
        self._attempts = attempts

    def deliver(self, key: bytes, entry: OutboxEntry) -> list[Any]:
        """Run the handler, with its own copy of the payload; returns the commands that it returned."""
        with self._outstanding.marked(entry, self._attempts.next_number(key)):
            return self._send(entry)

    def _send(self, entry: OutboxEntry) -> list[Any]:
        effect = self._spec.effects.get(entry.name)
        if effect is None:
            raise InvalidMessage(
                f"no handler delivers effect {entry.name!r}; write @{self._spec.name}.effect({entry.name!r})"
            )
        if isinstance(entry.payload, Unreadable):
            raise entry.payload.error
        return self._commands(effect.send(self._records.own(entry.payload), entry.id), entry)

    def _commands(self, given: Any, entry: OutboxEntry) -> list[Any]:
        commands = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
        for command in commands:
            if type(command) not in self._spec.commands:
                raise InvalidMessage(
                    f"the handler of effect {entry.name!r} returned {short_repr(command, 100)}, which is not "
                    "a command of this "
                    "domain; return a command, a list of them, or None"
                )
        return commands
