"""A command in flight: what callers hand over to the writer, and its outcome.

Callers' threads make it, the writer's settles it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from actors.domain.specs import CommandSpec
from actors.errors import CommitUncertain
from actors.kernel.async_reply import AsyncReply
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from actors.receipt import LateReceipt, Receipt, receipt_of_event
from storage import RecordedEvent

__all__ = ["Bulk", "CommandOutcome", "ReceiptReply", "Submission", "receipt_or_error"]

CommandOutcome = Receipt | RecordedEvent | LateReceipt | Exception
"""The outcome of a command: its receipt, what a receipt is made of on demand, or an error.

A pipelined caller may hold thousands of outcomes, and looks at few: an event, or a `LateReceipt`, stands for
its receipt until then. `receipt_or_error` and `ReceiptReply` make it.
"""


def receipt_or_error(outcome: CommandOutcome) -> Receipt | Exception:
    """The outcome as callers see it."""
    if isinstance(outcome, RecordedEvent):
        return receipt_of_event(outcome)
    return outcome.receipt() if isinstance(outcome, LateReceipt) else outcome


class ReceiptReply(Reply[Any]):
    """The future of a command: its receipt is made in the thread that asks for it."""

    __slots__ = ()

    def _received(self, result: Any) -> Any:
        # As `receipt_or_error`, once, and without a call for a receipt that is made.
        if result.__class__ is RecordedEvent:
            result = self._result = receipt_of_event(result)
        elif result.__class__ is LateReceipt:
            result = self._result = result.receipt()
        return result


class Submission(Request):
    """One command (or, with `spec` None, facts to append) in flight.

    `fresh`: the engine has just made the command id, so no earlier receipt can exist. `digest` is that of
    what was `sent`, in canonical form; where the caller gave the id, `sent` is kept, to compare it with what
    earlier versions stored.
    """

    __slots__ = (
        "bulk",
        "causation_id",
        "command",
        "command_id",
        "correlation_id",
        "deadline",
        "digest",
        "events",
        "expected_version",
        "fresh",
        "future",
        "metadata",
        "outcome",
        "sent",
        "settled",
        "spec",
        "stream",
    )

    def __init__(
        self,
        command: Any,
        spec: CommandSpec | None,
        stream: str,
        command_id: str,
        digest: bytes,
        fresh: bool,
    ) -> None:
        self.command = command
        self.spec = spec
        self.stream = stream
        self.command_id = command_id
        self.digest = digest
        self.fresh = fresh
        self.sent: Any  # only where the id was given: most have none, and this is made for every command
        self.events: Sequence[Any] = ()
        self.expected_version: int | None = None
        self.deadline: float | None = None
        self.causation_id: str | None = None
        self.correlation_id: str | None = None
        self.metadata: dict[str, Any] | None = None
        self.future: ReceiptReply | AsyncReply | None = None
        self.bulk: Bulk | None = None
        self.outcome: CommandOutcome | None = None
        self.settled = False

    def settle(self, outcome: CommandOutcome) -> None:
        """Give the caller the outcome; a second outcome is ignored. The writer's thread."""
        if self.settled:
            return
        self.settled = True
        self.outcome = outcome
        future = self.future
        if future is not None:
            try:
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            except InvalidStateError:
                pass  # The caller cancelled it and is not waiting any more.
        elif self.bulk is not None:
            self.bulk.one_settled()

    def uncertain(self, why: str) -> CommitUncertain:
        """The error that says that its commit failed, and how to find out what is on disk."""
        return CommitUncertain(
            self.command_id,
            f"command {self.command_id!r} may or may not be on disk ({why}): "
            "execute it again with this command_id to find out",
        )

    def fail(self, error: Exception) -> None:
        """Answer with `error`, nothing having been written."""
        self.settle(error)


class Bulk(Request):
    """Commands handed over together by `execute_many`; answered together, in order."""

    __slots__ = ("future", "remaining", "submissions", "weight")

    def __init__(self, submissions: list[Submission]) -> None:
        self.submissions = submissions
        self.weight = self.remaining = len(submissions)
        self.future: Reply[list[CommandOutcome]] | AsyncReply = Reply()
        for submission in submissions:
            submission.bulk = self

    def one_settled(self) -> None:
        """Count down; the last one answers the caller."""
        self.remaining -= 1
        if not self.remaining:
            outcomes: list[Any] = [submission.outcome for submission in self.submissions]
            for submission in self.submissions:
                submission.bulk = None  # the two would wait for the garbage collector
            with suppress(InvalidStateError):
                self.future.set_result(outcomes)

    def fail(self, error: Exception) -> None:
        """Answer every command that has no outcome yet with `error`."""
        for submission in self.submissions:
            submission.settle(error)
