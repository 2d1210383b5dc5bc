"""A recorded operation that the writer is asked for, by the thread that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import Any

from actors.errors import CommitUncertain
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from storage import EventLog

__all__ = ["LogOperation"]


class LogOperation(Request):
    """A function that changes the log, and the future of its result; it is done between two batches.

    `what` is done, as the end of "before"; `find_out` says what to do when nobody knows whether it was. With
    `forgets_states` the writer folds its states from the events again.
    """

    __slots__ = ("find_out", "forgets_states", "future", "weight", "what", "work")

    def __init__(
        self,
        work: Callable[[EventLog], Any],
        what: str,
        find_out: str,
        *,
        forgets_states: bool = False,
    ) -> None:
        self.work = work
        self.what = what
        self.find_out = find_out
        self.forgets_states = forgets_states
        self.future: Reply[Any] = Reply()
        self.weight = 1

    def uncertain(self, why: str) -> CommitUncertain:
        """The error that says that its commit failed, and how to find out what is on disk."""
        return CommitUncertain("", f"nobody knows whether {self.what} ({why}): {self.find_out}")

    def fail(self, error: Exception) -> None:
        """Answer with `error`."""
        with suppress(InvalidStateError):  # the caller is not waiting any more
            self.future.set_exception(error)
