"""What the outbox's actor has in hand, and what it is told. Small values of its thread, and messages to it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from actors.kernel.mailbox import Request
from actors.process_managers.records import OutboxEntry
from actors.process_managers.step_plan import StepPlan
from actors.writer.atomic_step import Outcomes

__all__ = ["DeliverEffects", "BlockedInstance", "AttemptsStored", "EffectsRemoved", "PendingDelivery"]


class DeliverEffects(Request):
    """There may be effects to deliver; with `again`, one for each release, all of the outbox is looked at anew."""

    __slots__ = ("again",)

    def __init__(self, again: bool = False) -> None:
        self.again = again


class EffectsRemoved(Request):
    """The writer's answer to a step that takes effects from the outbox."""

    __slots__ = ("future", "plan", "taken")

    def __init__(self, taken: dict[bytes, PendingDelivery], plan: StepPlan, future: Future[Outcomes]) -> None:
        self.taken = taken
        self.plan = plan
        self.future = future


class AttemptsStored(Request):
    """The writer's answer to a step that stores how often effects failed."""

    __slots__ = ("future", "keys")

    def __init__(self, keys: list[bytes], future: Future[Outcomes]) -> None:
        self.keys = keys
        self.future = future


@dataclass(slots=True)
class PendingDelivery:
    """One effect: due at a monotonic time, `results` once it is delivered, `leaving` while its removal is on its way."""

    entry: OutboxEntry
    value: bytes
    due: float = 0.0
    results: list[Any] | None = None
    leaving: bool = False
    """Also while it is put behind a parked one."""
    parks: bool = False
    """Leaving to be parked."""
    ended: bool = False
    """Its last attempt ended the process."""


@dataclass(slots=True)
class BlockedInstance:
    """An instance whose effect `first` failed; `left` is a place before those that stay in the notes for that."""

    first: bytes
    left: bytes | None = None

    def leave(self, after: bytes) -> None:
        """Those that come after this place are left in the notes."""
        self.left = after if self.left is None else min(self.left, after)
