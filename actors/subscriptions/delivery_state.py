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
    not; `ended` says that its last delivery ended the process. `rest` are events that upcasters made of the
    same one of the log, which are delivered after it.
    """

    __slots__ = (
        "attempts",
        "due",
        "ended",
        "failed_before",
        "holder",
        "outstanding",
        "recorded",
        "replayed",
        "rest",
        "slot",
        "token",
    )

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
        self.rest: list[RecordedEvent] | None = None
        self.failed_before = 0
        """Failed deliveries before it was loaded; only where there is a `rest`."""

    def add(self, recorded: RecordedEvent) -> None:
        """Deliver this event after those that it has."""
        if self.rest is None:
            self.rest = []
            self.failed_before = self.attempts
        self.rest.append(recorded)

    def go_on(self) -> bool:
        """Turn to the next event of the `rest`; False where there is none."""
        if not self.rest:
            return False
        self.recorded = self.rest.pop(0)
        # One that ends the process each time is not to begin anew with each restart.
        self.attempts = self.failed_before
        self.outstanding = self.ended = False
        self.due, self.token, self.holder, self.slot = None, 0, None, 0
        return True


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
