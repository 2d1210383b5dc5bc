"""The plan of one step: what is to be put on disk together, and what is left to find out from its outcome. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol

from actors.domain.process_manager_spec import Rejection
from actors.errors import Rejected, described
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Decision, Input, Issued, input_of_rejection
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import Checkpoint, OutboxEntry, RecordKeys
from actors.process_managers.unreadable_values import name_of
from actors.receipt import Receipt
from actors.writer.atomic_step import AtomicStep
from actors.writer.submission import Submission
from storage import RecordedEvent

__all__ = [
    "CommandsFailed",
    "EventSource",
    "InputFailed",
    "InputResult",
    "MakeSubmission",
    "StepPlan",
    "describe",
    "effects_of",
    "submissions_of",
]

MakeSubmission = Callable[[Issued, Input], Submission]


class InputFailed(Exception):
    """A handler raised, asked for something that can't be, or the event can't be decoded."""

    def __init__(self, id: str, what: str, error: BaseException, position: int | None = None) -> None:
        self.id = id
        self.what = what
        self.error = error
        self.position = position
        super().__init__(f"{what}: {described(error)}")


class CommandsFailed(Exception):
    """A command of a step failed otherwise than by a rejection: nothing of the step was written."""

    def __init__(self, input: Input, command: Any, error: Exception) -> None:
        self.input = input
        self.command = command
        self.error = error
        super().__init__(f"{type(command).__name__}: {described(error)}")


class EventSource(Protocol):
    """Gives the events of the log after a position."""

    def peek(self, after: int) -> RecordedEvent | None:
        """The event at `after` + 1, None at the end of the log; raises `InputFailed` where it can't be decoded."""

    def at(self, position: int) -> RecordedEvent:
        """One event that was looked at before; raises as `peek` does."""


@dataclass(slots=True)
class StepPlan:
    """One step: `submissions` and `notes`, to be done if the place is still as `guard` says."""

    guard: bytes
    place: Checkpoint
    now_us: int
    inputs: list[Input] = field(default_factory=list)
    issued: list[tuple[Input, Issued]] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    notes: dict[bytes, bytes | None] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    refused: list[tuple[int, Input, Issued, Rejected]] = field(default_factory=list)
    """By their own `validate`; the number is that of the `issued` before them."""
    rejected: list[Input] = field(default_factory=list)
    effects: int = 0
    pasts: int = 0
    skipped: list[str] = field(default_factory=list)
    set_aside: list[tuple[str, str, BaseException]] = field(default_factory=list)
    """The instances that it sets aside, each with the input that failed and why."""
    unheard: list[Input] = field(default_factory=list)
    """The rejections among the inputs that no handler took."""
    retried: list[str] = field(default_factory=list)
    """The instances that were set aside and go on with it."""
    drained: dict[str, Order] = field(default_factory=dict)
    """Of these, those with commands on their way: after which place what those are refused with is held."""

    def step(
        self, keys: RecordKeys, values: RecordCodec, guard: tuple[bytes, bytes | None] | None
    ) -> AtomicStep:
        """What to hand to the writer."""
        return AtomicStep(
            self.submissions, lambda outcomes: self.notes_for(keys, values, outcomes).items(), guard
        )

    def notes_for(
        self, keys: RecordKeys, values: RecordCodec, outcomes: list[Receipt | Exception]
    ) -> dict[bytes, bytes | None]:
        """The notes to write, rejections among them; the writer's thread. Raises `CommandsFailed`."""
        refusals = [(2 * before, input, issued, refusal) for before, input, issued, refusal in self.refused]
        for number, ((input, issued), outcome) in enumerate(zip(self.issued, outcomes, strict=True)):
            if isinstance(outcome, Rejected):
                refusals.append((2 * number + 1, input, issued, outcome))
            elif isinstance(outcome, Exception):
                raise CommandsFailed(input, issued.message, outcome) from outcome
        refusals.sort(key=itemgetter(0))
        # In the order of issue, also once they are read from their notes: their times are a microsecond apart.
        rejected = [
            input_of_rejection(
                issued.id,
                input.key,
                Rejection(issued.message, refusal.code, refusal.message, refusal.details),
                self.now_us + number,
                input.correlation,
            )
            for number, (_, input, issued, refusal) in enumerate(refusals)
        ]
        notes = dict(self.notes)
        places = dict(self.drained)
        self.rejected = []
        for rejection, (_, input, issued, _refusal) in zip(rejected, refusals, strict=True):
            try:
                value = values.pack_input(rejection)
            except Exception as error:
                raise CommandsFailed(input, issued.message, error) from error
            # As it is read again after a restart.
            self.rejected.append(values.input(value))
            place = places.get(rejection.key)
            if place is None:
                notes[keys.input(rejection)] = value
            else:
                place = places[rejection.key] = place.following()
                notes[keys.held_for(rejection.key) + place.pack()] = values.pack_held(rejection, silent=False)
                notes[keys.past(place)] = value
                notes[keys.heard_by(rejection.key) + place.past()] = b""
        return notes


def describe(input: Input) -> str:
    """What an input is, for messages."""
    if input.kind == "event":
        return f"event {type(input.message).__name__} at position {input.position}"
    if input.kind == "rejection":
        return f"the rejection of {name_of(input.message.command)} {input.causation}"
    if input.kind == "checkpoint":
        return "its state as of what is forgotten of it"
    name = "" if input.message is None else f" {name_of(input.message)}"
    return f"timer{name} {input.id}"


@dataclass(slots=True)
class InputResult:
    """What came of an input: its decision, None where there was no handler for it, and the bytes to write for it."""

    decision: Decision | None
    submissions: list[tuple[Submission, Issued]]
    refused: list[tuple[int, Issued, Rejected]]
    effects: list[bytes]
    state: bytes | None


def submissions_of(
    decision: Decision | None, input: Input, make: MakeSubmission
) -> tuple[list[tuple[Submission, Issued]], list[tuple[int, Issued, Rejected]]]:
    """The submissions of a decision's commands, and those that their own `validate` refuses; raises what `make` does.

    The number is that of the submissions before a refused one.
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
