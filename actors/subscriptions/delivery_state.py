"""The state of an event in a delivery window, and of a stream that fell behind. Guarded by the
group's lock.
"""

from __future__ import annotations

from dataclasses import dataclass

from storage import RecordedEvent

__all__ = ["StreamBacklog", "DeliveryState"]


class DeliveryState:
    """An event in a window, and how its delivery stands.

    `outstanding` says that a consumer has it. `token` tells one delivery of it from another; `due` is when it
    runs out, or may be delivered again. `slot` is where it is noted that it is outstanding, 0 where it is
    not; `ended` says that its last delivery ended the process.
    """

    __slots__ = ("attempts", "due", "ended", "holder", "outstanding", "recorded", "replayed", "slot", "token")

    def __init__(self, recorded: RecordedEvent, attempts: int, replayed: bool) -> None:
        self.recorded = recorded
        self.attempts = attempts
        self.replayed = replayed
        self.outstanding = False
        self.due: float | None = None
        self.token = 0
        self.holder: object = None
        self.slot = 0
        self.ended = False


@dataclass(slots=True)
class StreamBacklog:
    """A stream that fell behind at the position `first`, of that `version`: parked for a reason, or being
    replayed.
    """

    first: int
    version: int
    reason: str
    attempts: int
    replaying: bool = False
