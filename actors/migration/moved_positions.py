"""What points into a log, and where it points in the copy: positions, orders and ids. Pure; any thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.migration.position_mapping import PositionMapping
from actors.process_managers.input_order import OTHER, Order

__all__ = ["NOWHERE", "MovedPositions"]

HIGHEST = 1 << 32
NOWHERE = 10**18
"""In the id of what a dropped event led to, its position is put beyond all positions by this number."""


@dataclass(frozen=True, slots=True)
class MovedPositions:
    """The positions of one copy.

    `names_in_ids` has the name in the ids of each process manager that was renamed.
    """

    mapping: PositionMapping
    names_in_ids: Mapping[str, str] = field(default_factory=dict)

    def events(self, position: int) -> range:
        """The events that came of one."""
        return self.mapping.events(position)

    def checkpoint(self, position: Any) -> Any:
        """Up to where everything is handled; None stays None."""
        return None if position is None else self.mapping.checkpoint(position)

    def order(self, order: Order) -> Order:
        """The order of an input of a process manager.

        An event's is that of the first event that came of it. What followed on one comes after the last. The
        order of a dropped event comes right after the event before it, and differs from all others.
        """
        position, kind, step, number, more = order
        events = self.events(position)
        if kind == OTHER:
            return Order(self.checkpoint(position), OTHER, step, number, more)
        if not events:
            return Order(self.checkpoint(position), OTHER, number, position % HIGHEST, more)
        return Order(events[-1] if more else events[0], kind, step, number, more)

    def history_suffix(self, data: bytes) -> bytes:
        """The end of the key of an input in a history."""
        return self.order(Order.of_history_suffix(data)).history_suffix()

    def number(self, position: int) -> int:
        """The position in the id of what an event led to."""
        if not 0 < position <= self.mapping.head:
            return position  # No event of this log: a digest, or what an earlier copy put there.
        events = self.events(position)
        return events[0] if events else NOWHERE + position

    def id_of_event(self, manager: str, position: int, part: int) -> str:
        """The id of the input that an event of the copy is."""
        return f"{self.names_in_ids.get(manager, manager)}:{position}" + (f".{part}" if part else "")

    def id(self, manager: str, id: str) -> str:
        """The id of an input of a manager, or of what it led to."""
        name = self.names_in_ids.get(manager, manager)
        found = re.match(rf"{re.escape(name)}:(checkpoint:)?([0-9]{{1,19}})(?=[:.]|\Z)", id)
        if found is None:
            return id
        position = int(found[2])
        number = self.checkpoint(position) if found[1] else self.number(position)
        return f"{name}:{found[1] or ''}{number}{id[found.end() :]}"
