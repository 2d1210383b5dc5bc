"""The place of an input among all of its instance: events by their positions, other inputs between them.
Pure.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["HISTORY", "ORDER_BYTES", "Order"]

ORDER = struct.Struct(">QBQII")
ORDER_BYTES = ORDER.size
HISTORY = struct.Struct(">QQI")
MORE = struct.Struct(">BI")
EVENT, OTHER = 0, 1


class Order(NamedTuple):
    """`position` is that of the event, or of the last event before a rejection or a timer.

    Those are in the order of the `step` that they were taken in and their `number` there. `more` counts what
    an input that had waited led to: it comes right after that input, before all else that waits.
    """

    position: int
    kind: int = EVENT
    step: int = 0
    number: int = 0
    more: int = 0

    @classmethod
    def unpack(cls, data: bytes) -> Order:
        """What `pack` gave."""
        return cls(*ORDER.unpack(data))

    @property
    def is_event(self) -> bool:
        """Whether it is that of an event, and no input's that came of one."""
        return self.kind == EVENT and not self.more

    def pack(self) -> bytes:
        """Bytes that sort like the orders."""
        return ORDER.pack(*self)

    @classmethod
    def of_history_suffix(cls, data: bytes) -> Order:
        """What `history_suffix` gave."""
        position, step, number = HISTORY.unpack(data[: HISTORY.size])
        if len(data) == HISTORY.size:
            return cls(position, OTHER, step, number)
        kind, more = MORE.unpack(data[HISTORY.size :])
        return cls(position, kind, step, number, more)

    def history_suffix(self) -> bytes:
        """The end of the key of a rejection or a firing in the history."""
        data = HISTORY.pack(self.position, self.step, self.number)
        return data + MORE.pack(self.kind, self.more) if self.more else data

    def following(self, count: int = 1) -> Order:
        """The order of an input that this one led to."""
        return self._replace(more=self.more + count)
