"""A step: commands and notes that are one unit, written together, at most once.

A process manager's reaction to an event is one: the commands that follow from it, and the note of its
checkpoint. The writer puts the accepted commands' events and the notes on disk in one transaction. The guard
is a note that must still have its old value: so a step that is retried after a failure is not done twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import InvalidStateError

from actors.errors import ActorsError, CommitUncertain
from actors.kernel.mailbox import Request
from actors.kernel.reply import Reply
from actors.receipt import Receipt
from actors.writer.submission import Submission
from storage.log.notes import Note

__all__ = ["AtomicStep", "Outcomes", "StepSuperseded"]

Outcomes = list[Receipt | Exception]
"""The outcome of each command of a step, in order."""


class StepSuperseded(ActorsError):
    """The guard note of a step does not have the expected value: nothing of the step was done now.

    Either another step came first, or this one was on disk already when it was retried after a failure; the
    note's value says which. ``key`` is the note's, ``expected`` and ``actual`` are values, None for no note.
    """

    def __init__(self, key: bytes, expected: bytes | None, actual: bytes | None) -> None:
        self.key = key
        self.expected = expected
        self.actual = actual
        super().__init__(
            f"note {key!r} is not as the step expects it, so the step was not done: another one came first, "
            "or it "
            "is done already; read the note and go on from there"
        )


class AtomicStep(Request):
    """Commands, possibly none, and the notes that follow from their outcomes, committed together.

    `notes(outcomes)` runs in the writer's thread once the commands are decided, and returns the notes to
    change. It must be pure: it runs again when the batch is decided again after a failure. A command that is
    refused or fails has its error among the outcomes, and does not fail the step. Where `notes` raises,
    nothing of the step is written, and `future` has the error. `guard` is a note's key and the value that it
    must have, None for no note; otherwise `future` has `StepSuperseded`.
    """

    __slots__ = ("future", "guard", "notes", "outcome", "settled", "submissions", "weight")

    def __init__(
        self,
        submissions: Sequence[Submission],
        notes: Callable[[Outcomes], Iterable[Note]],
        guard: tuple[bytes, bytes | None] | None = None,
    ) -> None:
        self.submissions = submissions
        self.notes = notes
        self.guard = guard
        self.future: Reply[Outcomes] = Reply()
        self.outcome: Outcomes | Exception | None = None
        self.settled = False
        self.weight = max(len(submissions), 1)

    @property
    def command_id(self) -> str:
        """That of its first command, empty when it has none: what errors about its commit carry."""
        return self.submissions[0].command_id if self.submissions else ""

    def settle(self, outcome: Outcomes | Exception) -> None:
        """Give the caller the outcomes or the error; a second time is ignored. The writer's thread."""
        if self.settled:
            return
        self.settled = True
        try:
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            pass  # The caller cancelled it and is not waiting any more.

    def uncertain(self, why: str) -> CommitUncertain:
        """The error that says that its commit failed, and how to find out what is on disk."""
        return CommitUncertain(
            self.command_id,
            f"a step may or may not be on disk ({why}): look at the notes that it was to change",
        )

    def fail(self, error: Exception) -> None:
        """Answer with `error`, nothing having been written."""
        self.settle(error)
