"""What the writer is asked to correct, planned by the thread that waits for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress

from actors.errors import CommitUncertain
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from storage.log.corrections import ChangedEvent

__all__ = ["CorrectionRequest"]


class CorrectionRequest(Request):
    """One correction; `future` has its number. `types` are the names of the event types that it writes."""

    __slots__ = ("changes", "future", "models", "types", "weight", "who", "why")

    def __init__(
        self,
        changes: Sequence[ChangedEvent],
        who: str,
        why: str,
        models: Sequence[str],
        types: Collection[str],
    ) -> None:
        self.changes = changes
        self.who = who
        self.why = why
        self.models = models
        self.types = frozenset(types)
        self.future: Reply[int] = Reply()
        self.weight = 1

    def uncertain(self, why: str) -> CommitUncertain:
        """The error that says that its commit failed, and how to find out what is on disk."""
        return CommitUncertain(
            "", f"a correction may or may not be on disk ({why}): corrections() says whether it was made"
        )

    def fail(self, error: Exception) -> None:
        """Answer with `error`."""
        with suppress(InvalidStateError):  # the caller is not waiting any more
            self.future.set_exception(error)
