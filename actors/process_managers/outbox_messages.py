"""The messages of an outbox's actor. Any thread makes them; the outbox's handles them."""

from __future__ import annotations

from concurrent.futures import Future

from actors.kernel.mailbox import Request
from actors.process_managers.pending_delivery import PendingDelivery
from actors.process_managers.step_plan import StepPlan
from actors.writer.atomic_step import Outcomes

__all__ = ["AttemptsStored", "DeliverEffects", "EffectUnblocked", "EffectsRemoved"]


class DeliverEffects(Request):
    """There may be effects to deliver; with `reload`, one per release, the whole outbox is read again."""

    __slots__ = ("reload",)

    def __init__(self, reload: bool = False) -> None:
        self.reload = reload


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


class EffectUnblocked(Request):
    """The writer's answer to a step that moves a blocked effect of an instance back."""

    __slots__ = ("future", "instance")

    def __init__(self, instance: str, future: Future[Outcomes]) -> None:
        self.instance = instance
        self.future = future
