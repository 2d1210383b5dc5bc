"""The command ids that belong to process managers, which callers may not give. Pure; any thread."""

from __future__ import annotations

import re
from collections.abc import Collection

from actors.errors import InvalidMessage

__all__ = ["is_of_manager", "refuse_reserved"]

RESERVED = re.compile(r"([A-Za-z0-9_.-]+):(?:[0-9]+(?:\.[0-9]+)?:.+|[0-9a-f]{32}(?::.*)?)", re.DOTALL)
"""What the ids of managers' commands look like, and looked like before they had marks."""


EFFECT = re.compile(r":e[0-9]+(?::[0-9a-f]{24})?\Z")
"""The end of an effect's key, and of no command's id. A key may be a command's id in a store that it is
passed to.
"""


def is_of_manager(command_id: str | None, managers: Collection[str]) -> bool:
    """Whether a command's id is one of those that these managers give."""
    if command_id is None or ":" not in command_id:
        return False
    found = RESERVED.fullmatch(command_id)
    return found is not None and found[1] in managers


def refuse_reserved(command_id: str, managers: Collection[str]) -> None:
    """Raise `InvalidMessage` for a caller's command id that one of these managers could give."""
    found = RESERVED.fullmatch(command_id)
    if found is not None and found[1] in managers and not EFFECT.search(command_id):
        raise InvalidMessage(
            f"command_id={command_id[:100]!r} has the form of the ids that process manager {found[1]!r} "
            "gives its "
            "commands, and could be taken for one; put something else in front of it"
        )
