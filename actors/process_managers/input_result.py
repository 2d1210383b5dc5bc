"""The result of an input: its handler's decision, and what that asks for, ready to be written. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actors.errors import Rejected
from actors.process_managers.inputs import Decision, Input, Issued
from actors.process_managers.records import OutboxEntry
from actors.writer.submission import Submission

__all__ = ["InputResult", "MakeSubmission", "effects_of", "submissions_of"]

MakeSubmission = Callable[[Issued, Input], Submission]
"""Makes the submission of a command that an input led to. Raises what is wrong with the command."""


class InputResult(NamedTuple):
    """The `decision`, None where there was no handler, and what is to be written for it.

    `refused` has the commands that their own `validate` refuses, each with the number of submissions before
    it; `effects` and `state` are packed records, `state` None where the instance has none afterwards.
    """

    decision: Decision | None
    submissions: list[tuple[Submission, Issued]]
    refused: list[tuple[int, Issued, Rejected]]
    effects: list[bytes]
    state: bytes | None


def submissions_of(
    decision: Decision | None, input: Input, make: MakeSubmission
) -> tuple[list[tuple[Submission, Issued]], list[tuple[int, Issued, Rejected]]]:
    """The submissions of a decision's commands, and the commands that their own `validate` refuses.

    The number is that of the submissions before a refused one. Raises what `make` does.
    """
    made: list[tuple[Submission, Issued]] = []
    refused: list[tuple[int, Issued, Rejected]] = []
    for issued in decision.commands if decision else ():
        try:
            made.append((make(issued, input), issued))
        except Rejected as refusal:
            refused.append((len(made), issued, refusal))
    return made, refused


def effects_of(decision: Decision | None, input: Input, now_us: int) -> list[OutboxEntry]:
    """What a decision puts into the outbox."""
    return [
        OutboxEntry(issued.id, input.key, issued.name, issued.message, now_us, input.correlation)
        for issued in (decision.effects if decision else ())
    ]
