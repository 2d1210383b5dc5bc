"""Refuses an event whose field can't identify an instance: once written, its instance could only be set
aside.

When the domain is compiled, the check is added to those of the events that a process manager assigns by a
field; it runs where they run. Other events have none: keys that a function gives are known only once the
manager runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from actors.domain.check import describe
from actors.domain.instance_keys import utf8
from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.domain.specs import EventSpec
from actors.errors import InvalidMessage
from storage.limits import MAX_NAME_BYTES

__all__ = ["check_keys"]

SHORT = MAX_NAME_BYTES // 4
"""Characters that fit whatever they are: one takes four bytes at most."""
SMALL = 1 << 64


def check_keys(managers: Iterable[ProcessManagerSpec], events: dict[type, EventSpec]) -> None:
    """Add the check to the events that these managers assign by a field."""
    fields: dict[type, dict[str, str]] = {}
    for manager in managers:
        for event, rule in manager.events.items():
            if rule.field is not None:
                fields.setdefault(event, {}).setdefault(rule.field, manager.name)
    for event, named in fields.items():
        if event in events:
            spec = events[event]
            spec.check = _checked(spec.name, spec.check, named)


def _checked(event: str, check: Callable[[Any], None], fields: dict[str, str]) -> Callable[[Any], None]:
    pairs = tuple(fields.items())

    def check_with_keys(message: Any) -> None:
        check(message)
        for field, manager in pairs:
            value = getattr(message, field)
            kind = type(value)
            if (
                (kind is str and 0 < len(value) <= SHORT)
                or (kind is int and -SMALL < value < SMALL)
                or value is None
                or kind is UUID
            ):
                continue
            _require_key(event, field, manager, value)

    return check_with_keys


def _require_key(event: str, field: str, manager: str, value: Any) -> None:
    try:
        size = len(utf8(value if isinstance(value, str) else str(value)))
    except ValueError:  # An int of more digits than Python writes.
        size = MAX_NAME_BYTES + 1
    if not 0 < size <= MAX_NAME_BYTES:
        raise InvalidMessage.of(
            event,
            field,
            f"1 to {MAX_NAME_BYTES} bytes of text in UTF-8 (it tells the instance of process manager "
            f"{manager!r})",
            f"{describe(value)} of {size}" if isinstance(value, str) else describe(value),
        )
