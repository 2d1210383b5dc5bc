"""What the writer is asked to forget, by the thread that waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from contextlib import suppress

from actors.errors import CommitUncertain
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply

__all__ = ["ForgetRequest"]


class ForgetRequest(Request):
    """Destroy the keys of subjects, and record which models have to be filled again.

    `inline` are the inline models that the next opening fills. A request without `subjects` deletes the
    snapshots of these `streams` instead.
    """

    __slots__ = ("future", "inline", "models", "streams", "subjects", "weight", "who", "why")

    def __init__(
        self,
        subjects: Sequence[str] = (),
        *,
        who: str = "",
        why: str = "",
        models: Sequence[str] = (),
        inline: Sequence[str] = (),
        streams: Sequence[str] = (),
    ) -> None:
        self.subjects = subjects
        self.who = who
        self.why = why
        self.models = models
        self.inline = inline
        self.streams = streams
        self.future: Reply[None] = Reply()
        self.weight = 1

    def uncertain(self, why: str) -> CommitUncertain:
        """The error that says that its commit failed, and what to do."""
        return CommitUncertain(
            "", f"the log may or may not say that somebody was forgotten ({why}): forget them again"
        )

    def fail(self, error: Exception) -> None:
        """Answer with `error`."""
        with suppress(InvalidStateError):  # the caller is not waiting any more
            self.future.set_exception(error)
