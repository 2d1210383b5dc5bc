"""The messages of a process manager's actor. Any thread makes them; the manager's handles them."""

from __future__ import annotations

from concurrent.futures import Future

from actors.kernel.mailbox import Request
from actors.process_managers.step_plan import StepPlan
from actors.writer.atomic_step import Outcomes

__all__ = ["RejectionLeft", "RetryInstance", "SkipInput", "SkipInstance", "StepDone", "Wake"]


class Wake(Request):
    """There may be something to do."""

    __slots__ = ()


class RejectionLeft(Request):
    """The outbox left a rejection for the manager."""

    __slots__ = ()


class StepDone(Request):
    """The writer's answer to a step, in the writer's thread."""

    __slots__ = ("future", "plan")

    def __init__(self, plan: StepPlan, future: Future[Outcomes]) -> None:
        self.plan = plan
        self.future = future


class SkipInput(Request):
    """An operator: pass over the input that the manager is stopped at. `future` gets its id once that is on
    disk.
    """

    __slots__ = ("future", "reason")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.future: Future[str] = Future()

    def done(self, id: str) -> None:
        """It is on disk."""
        if not self.future.done():
            self.future.set_result(id)

    def fail(self, error: Exception) -> None:
        """It is not done, and will not be."""
        if not self.future.done():
            self.future.set_exception(error)


class SkipInstance(SkipInput):
    """An operator: pass over the input that an instance is set aside at."""

    __slots__ = ("key",)

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


class RetryInstance(Request):
    """Retry an instance that is set aside. `future` gets whether it got past the input that it failed on."""

    __slots__ = ("future", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self.future: Future[bool] = Future()

    def done(self, went_on: bool) -> None:
        """It was tried."""
        if not self.future.done():
            self.future.set_result(went_on)

    def fail(self, error: Exception) -> None:
        """It was not tried."""
        if not self.future.done():
            self.future.set_exception(error)
