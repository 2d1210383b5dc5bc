"""What a consumer group keeps in hand: events, and the streams that fell behind. Guarded by the group's lock."""

from __future__ import annotations

from dataclasses import dataclass

from storage import RecordedEvent

__all__ = ["Behind", "Entry"]


class Entry:
    """An event in hand. `token` tells one delivery of it from another; `due` is when it runs out, or may go again.

    `slot` is where it is noted that it is out, 0 where it is not; `ended` says that its last delivery ended the process.
    """

    __slots__ = ("attempts", "due", "ended", "holder", "out", "recorded", "replayed", "slot", "token")

    def __init__(self, recorded: RecordedEvent, attempts: int, replayed: bool) -> None:
        self.recorded = recorded
        self.attempts = attempts
        self.replayed = replayed
        self.out = False
        self.due: float | None = None
        self.token = 0
        self.holder: object = None
        self.slot = 0
        self.ended = False


@dataclass(slots=True)
class Behind:
    """A stream that fell behind at the position `first`, of that `version`: parked for a reason, or being replayed."""

    first: int
    version: int
    reason: str
    attempts: int
    replaying: bool = False
