"""A process manager's ledger: its place, its instances and their timers, as the plans made so far leave them.

How the outcome of an input is entered, both here and in the plan's notes. Knows no thread: the manager's calls it.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from actors.domain.instance_keys import utf8
from actors.errors import InvalidMessage
from actors.process_managers import input_history as pasts
from actors.process_managers.input_history import InputHistory
from actors.process_managers.input_order import OTHER, Order
from actors.process_managers.inputs import Decision, Input, Instance, Timer
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import Checkpoint, ManagerMetadata, NoteReader, RecordKeys, ids_of
from actors.process_managers.step_plan import InputResult, StepPlan
from actors.process_managers.timer_queue import TimerQueue
from storage import CodecError
from storage.codec.codec import Codec

__all__ = ["Ledger"]


class Ledger:
    """What one incarnation of a manager knows. Made anew from the notes whenever a step did not go as planned."""

    def __init__(self, name: str, version: int, codec: Codec, notes: NoteReader) -> None:
        self.keys = RecordKeys(name)
        self.values = RecordCodec(codec, version)
        self._notes = notes
        place = notes.note(self.keys.place)
        about = notes.note(self.keys.about)
        assert place is not None, "a manager is entered when the system opens"
        assert about is not None
        self.place = Checkpoint.unpack(place)
        # What the note says once the plans made so far are on disk; the place itself may be further on.
        self._guard = place
        self.about = ManagerMetadata.unpack(codec, about)
        self.inputs = deque(self.values.input(value) for _, value in notes.notes(self.keys.inputs))
        self.skipped = ids_of(notes.notes(self.keys.skips), self.keys.skips)
        self.skipping: dict[str, tuple[str, str]] = {}
        self.unheard = self.values.unheard(notes.note(self.keys.unheard))
        self.timer_keys: dict[str, str] | None = None
        """Which instance has which timer, by its id, where somebody asks for that."""
        self.instances: dict[str, Instance] = {}
        self.timers = TimerQueue(self.keys, notes)
        self.pasts = InputHistory(self.keys, self.values, notes)

    @property
    def rebuilding(self) -> bool:
        """Whether the states are being built anew: no command is executed and no effect delivered meanwhile."""
        return self.about.until is not None

    def instance(self, key: str) -> Instance:
        """An instance as the plans made so far leave it."""
        found = self.instances.get(key)
        if found is None:
            found = self.values.instance(self._notes.note(self.keys.state(key)))
            self.instances[key] = found
        return found

    def next_due(self) -> int | None:
        """When the earliest timer is due, in microseconds since 1970 UTC."""
        if self.rebuilding:
            return None
        while (first := self.timers.first()) is not None:
            if self.timer(first[2], first[1]) is not None:
                return first[0]
            self.timers.drop_first()
        return None

    def timer(self, key: str, id: str) -> Timer | None:
        """An instance's timer, without what it tells where that can't be read: its instance is set aside then."""
        try:
            timers = self.instance(key).timers
        except CodecError:
            return Timer(0, id, None, None)
        return next((one for one in timers if one.id == id), None)

    # -- entering ----------------------------------------------------------------------------
    def apply(self, plan: StepPlan, input: Input, made: InputResult) -> None:
        """Add to the plan what came of an input; nothing here can fail."""
        before = len(plan.issued)
        plan.refused += [
            (before + number, input, issued, refusal) for number, issued, refusal in made.refused
        ]
        plan.submissions += [submission for submission, _ in made.submissions]
        plan.issued += [(input, issued) for _, issued in made.submissions]
        if made.submissions or made.refused:
            plan.busy.add(input.key)
        for entry in made.effects:
            plan.notes[self.keys.effect(self.place.step, plan.effects)] = entry
            plan.effects += 1
        if made.decision is not None:
            self._keep(plan, input.key, made.decision, made.state)

    def _keep(self, plan: StepPlan, key: str, decision: Decision, state: bytes | None) -> None:
        before = self.instance(key)
        instance = decision.instance
        self.instances[key] = instance
        if instance.state is not before.state or instance.timers != before.timers:
            plan.notes[self.keys.state(key)] = state
        added = (instance.state is not None) - (before.state is not None)
        for timer in decision.timers_gone:
            plan.notes[self.keys.timer(timer)] = None
        for timer in decision.timers_set:
            plan.notes[self.keys.timer(timer)] = utf8(key)
            self.timers.add(timer, key)
            if self.timer_keys is not None:
                self.timer_keys[timer.id] = key
        more = len(instance.timers) - len(before.timers)
        if added or more:
            position, step, instances, timers, quarantined = self.place
            self.place = Checkpoint(position, step, instances + added, timers + more, quarantined)

    def order_of(self, plan: StepPlan, input: Input) -> Order:
        """Where a new input stands among those of its instance."""
        if input.kind == "event":
            return Order(input.position)
        return Order(self.place.position, OTHER, self.place.step, plan.pasts)

    def consume(
        self,
        plan: StepPlan,
        input: Input,
        order: Order | None,
        *,
        handled: bool = False,
        held: bool = False,
    ) -> None:
        """The input is dealt with: `handled`, `held` for its instance, or passed over."""
        plan.inputs.append(input)
        if input.kind == "event":
            self.reach(input.position)
            return
        order = order or self.order_of(plan, input)
        if input.kind == "rejection":
            plan.notes[self.keys.input(input)] = None
            if self.inputs and self.inputs[0].id == input.id:
                self.inputs.popleft()
        else:
            if not handled and not held:
                self.forget_timer(plan, input.key, input.id)
            self.drop_timer(plan, input)
        if not self.rebuilding:
            self.pasts.remember(plan, input, order)
            if not held:
                self.let_go(plan, input.key, order)

    def let_go(self, plan: StepPlan, key: str, order: Order) -> None:
        """After an input: forget what its instance has heard where that has ended, or its state may stand for it."""
        try:
            instance = self.instance(key)
        except (CodecError, InvalidMessage):
            return
        if instance.state is not None:
            if not order.is_event and len(self.pasts.heard(key)) > pasts.MAX_HISTORY:
                self.pasts.prune(plan, key, order, self.values.pack_instance(instance))
        elif not order.is_event or self.pasts.heard(key):
            self.pasts.prune(plan, key, order, None)
        else:
            self.pasts.forget(key)

    def reach(self, position: int) -> None:
        """What was held is behind the place already."""
        before, step, instances, timers, quarantined = self.place
        if position > before:
            self.place = Checkpoint(position, step, instances, timers, quarantined)

    def drop_timer(self, plan: StepPlan, input: Input) -> None:
        """A timer does not fire any more."""
        plan.notes[self.keys.timer_at(input.time_us, input.id)] = None
        first = self.timers.first()
        if first is not None and first[1] == input.id:
            self.timers.drop_first()

    def forget_timer(self, plan: StepPlan, key: str, id: str) -> None:
        """A timer is not its instance's any more, since it was passed over."""
        instance = self.instance(key)
        for timer in instance.timers:
            if timer.id == id:
                kept = tuple(one for one in instance.timers if one.id != id)
                instance = self.instances[key] = Instance(instance.state, kept)
                plan.notes[self.keys.state(key)] = self.values.pack_instance(instance)
                plan.notes[self.keys.timer(timer)] = None
                self.place = self.place._replace(timers=self.place.timers - 1)

    # -- what an operator skipped -------------------------------------------------------------
    def skip(self, id: str, reason: str, text: str) -> None:
        """Pass over an input when it comes; `text` is why it failed."""
        self.skipping[id] = reason, text

    def pass_input(self, plan: StepPlan, id: str, position: int | None) -> None:
        reason, text = self.skipping[id]
        plan.notes[self.keys.skip(id)] = self.values.pack_skip(reason, text, plan.now_us)
        plan.skipped.append(id)
        if position:
            self.reach(position)

    def skip_held(self, plan: StepPlan, key: str, id: str) -> None:
        """Pass over what is held for an instance."""
        with suppress(
            CodecError, InvalidMessage
        ):  # What can't be read, or be an instance, has no timers to forget.
            self.forget_timer(plan, key, id)
        self.pass_input(plan, id, None)
