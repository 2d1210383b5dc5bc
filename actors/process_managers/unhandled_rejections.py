"""Rejections that no handler takes: counted in the step that passes them over, and logged.

There is no handler where no `on_rejected` is for the command, where it is for another phase of the instance,
and once the instance has ended. Whether the manager or an effect's handler asked for the command makes no
difference. The manager's thread calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from actors.process_managers.inputs import Input
from actors.process_managers.records import UnhandledRejections
from actors.process_managers.unreadable_values import Unreadable
from storage.value_text import short_repr

__all__ = ["count_unhandled", "log_unhandled"]

logger = logging.getLogger("onewriter.process")

LAST = 10
"""How many are kept in words."""
COMMAND, TEXT = 200, 200
"""Characters that are kept of a command, and of why it was refused."""


def count_unhandled(before: UnhandledRejections, unhandled: Sequence[Input]) -> UnhandledRejections:
    """The count with these rejections, and the last few of all."""
    last = (*before.last, *map(_in_words, unhandled[-LAST:]))
    return UnhandledRejections(before.total + len(unhandled), last[-LAST:])


def log_unhandled(name: str, unhandled: Sequence[Input]) -> None:
    """Log the rejections of a step that is on disk; `name` is the manager's."""
    for rejection in unhandled:
        logger.warning(
            "process manager %r: a rejection is passed over, since no on_rejected handler takes it then: %s",
            name,
            _in_words(rejection),
        )


def _in_words(rejection: Input) -> str:
    refusal = rejection.message
    command = (
        refusal.command.name
        if isinstance(refusal.command, Unreadable)
        else short_repr(refusal.command, COMMAND)
    )
    text = f"{refusal.code}: {refusal.text}".encode(errors="backslashreplace").decode()[:TEXT]
    return f"{command} {rejection.causation} of instance {rejection.key!r}: {text}"
