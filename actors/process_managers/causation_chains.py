"""How often a chain of causes has come back to an instance: from an input back through command ids. Pure.

A command's id contains the manager that asked for it and the event behind it, and that event has the id of
its command. The manager's thread walks the chain, and only for an instance that has come to its limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.process_managers.event_reader import EventSource
from actors.process_managers.inputs import Input
from actors.process_managers.step_errors import InputFailed

__all__ = ["MAX_COMMANDS", "MAX_ROUNDS", "is_loop", "origin_of"]

MAX_ROUNDS = 10
"""How often a chain has to come back to an instance to be a loop."""
MAX_COMMANDS = 1_000
"""Commands that are looked at."""

ORIGIN = re.compile(r"([A-Za-z0-9_.-]+):([0-9]{1,19})(?:\.[0-9]+)?:")
HOP = re.compile(r":(?:t[0-9]+|r)(?=:|\Z)")


def origin_of(id: str | None) -> tuple[str, int] | None:
    """The manager in an id, and the position of the event behind it; None for a digest, or another kind of
    id.
    """
    found = ORIGIN.match(id or "")
    return None if found is None else (found[1], int(found[2]))


def is_loop(spec: ProcessManagerSpec, events: EventSource, input: Input) -> bool:
    """Whether what an instance asked for has come back to it `MAX_ROUNDS` times, directly or by other
    managers.
    """
    id = input.causation if input.kind == "event" else input.id
    if input.kind != "event" and origin_of(id) is None:
        return True  # So many timers and rejections in a row that the id is a digest.
    rounds = 0
    before = input.position or 1 << 63
    for _ in range(MAX_COMMANDS):
        origin = origin_of(id)
        if origin is None or origin[0] not in spec.managers or not 0 < origin[1] < before:
            return False
        manager, before = origin
        try:
            parts = events.at(before)
        except InputFailed:
            return False
        if manager == spec.ids and any(_key(spec, one.event) == input.key for one in parts):
            rounds += 1 + len(HOP.findall(id or ""))
        if rounds >= MAX_ROUNDS:
            return True
        id = parts[0].command_id
    return False


def _key(spec: ProcessManagerSpec, event: object) -> str | None:
    rule = spec.events.get(type(event))
    key_of: Callable[[object], str | None] | None = None if rule is None else rule.key_of
    try:
        return None if key_of is None else key_of(event)
    except Exception:  # It has no key now: it does not drive the instance.
        return None
