"""Handing steps to the writer: for process managers, subscriptions and repairs. Does not touch the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from actors.kernel.mailbox import Mailbox
from actors.writer.atomic_step import AtomicStep, Outcomes
from actors.writer.call_errors import overloaded
from actors.writer.options import TIMEOUT
from actors.writer.submission import Submission
from actors.writer.submission_factory import SubmissionFactory
from storage.log.notes import Note

__all__ = ["StepClient"]


class StepClient:
    """Any thread but the writer's."""

    def __init__(self, mailbox: Mailbox, factory: SubmissionFactory) -> None:
        self._mailbox = mailbox
        self._factory = factory

    def submission(self, command: Any, **options: Any) -> Submission:
        """A process manager's command for a step, checked. Raises what is wrong with it.

        `options` are those of `execute`. Middleware does not see it: that surrounds a caller, and a step has
        none.
        """
        return self._factory.of_command(command, options, options.get("metadata"), of_manager=True)

    def submit(
        self,
        submissions: Sequence[Submission],
        notes: Callable[[Outcomes], Iterable[Note]],
        guard: tuple[bytes, bytes | None] | None = None,
        timeout: float = TIMEOUT,
    ) -> Future[Outcomes]:
        """Hand over a step, waiting up to `timeout` seconds for room; the future has its commands' outcomes.

        `AtomicStep` says what the arguments are. Raises `Overloaded`.
        """
        step = AtomicStep(submissions, notes, guard)
        if not self._mailbox.offer(step, timeout):
            raise overloaded(self._mailbox)
        return step.future

    def put(self, step: AtomicStep) -> None:
        """Hand over a step past the mailbox's bound, which is for callers: they can wait."""
        self._mailbox.put(step)

    def put_notes(
        self, notes: Iterable[Note], guard: tuple[bytes, bytes | None] | None = None
    ) -> Future[Outcomes]:
        """Hand over a step that writes these notes and executes nothing, past the mailbox's bound.

        `notes` may be read more than once.
        """
        step = AtomicStep([], lambda _outcomes: notes, guard)
        self._mailbox.put(step)
        return step.future
