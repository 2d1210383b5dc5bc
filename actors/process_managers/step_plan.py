"""The plan of one step: what is to be written together, and what follows from its outcome. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter

from actors.domain.process_manager_spec import Rejection
from actors.errors import Rejected
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Issued, input_of_rejection
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.step_errors import CommandsFailed
from actors.receipt import Receipt
from actors.writer.atomic_step import AtomicStep
from actors.writer.submission import Submission

__all__ = ["Guard", "StepPlan"]

Guard = tuple[bytes, bytes | None]
"""A note's key, and the value that it must still have."""


@dataclass(slots=True)
class StepPlan:
    """One step: `submissions` and `notes`, to be done if `guard` is met; None means in any case.

    `now_us` is the time of planning, in microseconds since 1970 UTC. `busy` are the instances with commands
    in it.
    """

    guard: Guard | None
    now_us: int
    notes: dict[bytes, bytes | None] = field(default_factory=dict)
    inputs: list[Input] = field(default_factory=list)
    issued: list[tuple[Input, Issued]] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    refused: list[tuple[int, Input, Issued, Rejected]] = field(default_factory=list)
    """By their own `validate`; the number is that of the `issued` before them."""
    rejected: list[Input] = field(default_factory=list)
    """The rejections that came of it, once its outcome is known."""
    effect_count: int = 0
    history_count: int = 0
    skipped: list[str] = field(default_factory=list)
    quarantined: list[tuple[str, str, BaseException]] = field(default_factory=list)
    """The instances that it sets aside, each with the input that failed and why."""
    unhandled: list[Input] = field(default_factory=list)
    """The rejections among the inputs that no handler took."""
    released: list[str] = field(default_factory=list)
    """The instances that were set aside and go on with it."""
    drained: dict[str, Order] = field(default_factory=dict)
    """Those of them with commands in flight, and the order after which the rejections of these are held."""

    @classmethod
    def of_notes(cls, notes: dict[bytes, bytes | None], guard: Guard | None = None) -> StepPlan:
        """A step that writes these notes and executes nothing."""
        return cls(guard, 0, notes)

    def step(self, keys: RecordKeys, records: RecordCodec) -> AtomicStep:
        """What to hand to the writer."""
        return AtomicStep(
            self.submissions, lambda outcomes: self.notes_for(keys, records, outcomes).items(), self.guard
        )

    def notes_for(
        self, keys: RecordKeys, records: RecordCodec, outcomes: list[Receipt | Exception]
    ) -> dict[bytes, bytes | None]:
        """The notes to write, rejections among them; the writer's thread. Raises `CommandsFailed`."""
        refusals = [(2 * before, input, issued, refusal) for before, input, issued, refusal in self.refused]
        for number, ((input, issued), outcome) in enumerate(zip(self.issued, outcomes, strict=True)):
            if isinstance(outcome, Rejected):
                refusals.append((2 * number + 1, input, issued, outcome))
            elif isinstance(outcome, Exception):
                raise CommandsFailed(input, issued.message, outcome) from outcome
        refusals.sort(key=itemgetter(0))
        # In the order of issue, also once they are read from their notes: their times are a microsecond
        # apart.
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
        orders = dict(self.drained)
        self.rejected = []
        for rejection, (_, input, issued, _refusal) in zip(rejected, refusals, strict=True):
            try:
                value = records.pack_input(rejection)
            except Exception as error:
                raise CommandsFailed(input, issued.message, error) from error
            # As it is read again after a restart.
            self.rejected.append(records.input(value))
            order = orders.get(rejection.key)
            if order is None:
                notes[keys.rejection(rejection)] = value
            else:
                order = orders[rejection.key] = order.following()
                notes[keys.held_of(rejection.key) + order.pack()] = records.pack_held(rejection, silent=False)
                notes[keys.handled(order)] = value
                notes[keys.history_index_of(rejection.key) + order.history_suffix()] = b""
        return notes
