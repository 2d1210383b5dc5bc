"""What a process manager knows: its checkpoint, instances and timers, after all plans made so far.

Read from its records when the manager starts, and again whenever a step fails. The result of an input is
entered here and in the notes of the plan together. Knows no thread: the manager's calls it.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress

from actors.domain.instance_keys import utf8
from actors.errors import InvalidMessage
from actors.process_managers import input_history
from actors.process_managers.input_history import InputHistory
from actors.process_managers.input_order import OTHER, Order
from actors.process_managers.input_result import InputResult
from actors.process_managers.inputs import Decision, Input, Instance, Timer
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys, ids_of, timer_of_key
from actors.process_managers.records import Checkpoint, ManagerMetadata
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.timer_queue import TimerQueue
from actors.process_managers.unhandled_rejections import count_unhandled
from storage import CodecError
from storage.codec.codec import Codec

__all__ = ["ManagerState"]


class ManagerState:
    """Of one incarnation of a manager."""

    def __init__(self, name: str, version: int, codec: Codec, notes: NoteReader) -> None:
        """Reads the records of the manager `name`; raises what the codec does for unreadable ones."""
        self.keys = RecordKeys(name)
        self.records = RecordCodec(codec, version)
        self.notes = notes
        self._codec = codec
        checkpoint = notes.note(self.keys.checkpoint)
        metadata = notes.note(self.keys.metadata)
        assert checkpoint is not None, "a manager is entered when the system opens"
        assert metadata is not None
        self.checkpoint = Checkpoint.unpack(checkpoint)
        # What the record says once the plans made so far are on disk; the checkpoint itself may be further
        # on.
        self._guard = checkpoint
        self.written = self.checkpoint.position
        """The position of that record."""
        self.metadata = ManagerMetadata.unpack(codec, metadata)
        self.rejections: deque[Input] = deque()
        """Those that wait to be handled, in order."""
        self.reload_rejections()
        self.skipped = ids_of(notes.notes(self.keys.skipped), self.keys.skipped)
        self.skip_requests: dict[str, tuple[str, str]] = {}
        """Inputs to pass over when they come, by id: the operator's reason, and the error."""
        self.unhandled = self.records.unhandled(notes.note(self.keys.unhandled))
        self.instances: dict[str, Instance] = {}
        self.timers = TimerQueue(self.keys, notes)
        self.history = InputHistory(self.keys, self.records, notes)
        self._busy: Counter[str] = Counter()
        self._timer_owners: dict[str, str] | None = None

    @property
    def rebuilding(self) -> bool:
        """Whether the states are being rebuilt: no command is executed and no effect delivered meanwhile."""
        return self.metadata.until is not None

    def reload_rejections(self) -> None:
        """Read the waiting rejections again, since a step of the outbox left one; none of the manager's is in
        flight.
        """
        found = self.notes.notes(self.keys.rejections)
        self.rejections = deque(self.records.input(value) for _, value in found)

    def is_busy(self, plan: StepPlan, key: str) -> bool:
        """Whether commands of an instance are in flight, or in this plan."""
        return bool(self._busy[key]) or key in plan.busy

    # -- instances and timers -----------------------------------------------------------------
    def instance(self, key: str) -> Instance:
        """An instance as the plans made so far leave it. Raises `CodecError` for one that can't be read."""
        found = self.instances.get(key)
        if found is None:
            found = self.records.instance(self.notes.note(self.keys.state(key)))
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
        """An instance's timer; if the message can't be read, without it: its instance is set aside then."""
        try:
            timers = self.instance(key).timers
        except CodecError:
            return Timer(0, id, None, None)
        return next((one for one in timers if one.id == id), None)

    def timer_owner(self, plan: StepPlan, id: str) -> str | None:
        """The instance that has the timer with this id; reads all timers, once."""
        if self._timer_owners is None:
            prefix = self.keys.timers
            notes = dict(self.notes.notes(prefix)) | plan.notes
            self._timer_owners = {
                timer_of_key(note, prefix)[1]: value.decode("utf-8", "surrogatepass")
                for note, value in notes.items()
                if value is not None and note.startswith(prefix)
            }
        return self._timer_owners.get(id)

    # -- entering what came of an input -------------------------------------------------------
    def apply(self, plan: StepPlan, input: Input, result: InputResult) -> None:
        """Add the result of an input to the plan; nothing here can fail."""
        before = len(plan.issued)
        plan.refused += [
            (before + number, input, issued, refusal) for number, issued, refusal in result.refused
        ]
        plan.submissions += [submission for submission, _ in result.submissions]
        plan.issued += [(input, issued) for _, issued in result.submissions]
        if result.submissions or result.refused:
            plan.busy.add(input.key)
        for entry in result.effects:
            plan.notes[self.keys.effect(self.checkpoint.step, plan.effect_count)] = entry
            plan.effect_count += 1
        if result.decision is not None:
            self._keep(plan, input.key, result.decision, result.state)

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
            if self._timer_owners is not None:
                self._timer_owners[timer.id] = key
        more = len(instance.timers) - len(before.timers)
        if added or more:
            position, step, instances, timers, quarantined, part = self.checkpoint
            self.checkpoint = Checkpoint(position, step, instances + added, timers + more, quarantined, part)

    def order_of(self, plan: StepPlan, input: Input) -> Order:
        """The order of a new input among those of its instance."""
        if input.kind == "event":
            return Order(input.position, number=input.part)
        # Between the parts of a split event it is after all of them: a rebuild handles these in one go.
        position = self.checkpoint.position + bool(self.checkpoint.part)
        return Order(position, OTHER, self.checkpoint.step, plan.history_count)

    def consume(
        self,
        plan: StepPlan,
        input: Input,
        order: Order | None,
        *,
        handled: bool = False,
        held: bool = False,
    ) -> None:
        """An input is dealt with: `handled`, `held` for its instance, or else passed over."""
        plan.inputs.append(input)
        if input.kind == "event":
            self.advance_to(input.position, input.part, input.parts)
            return
        order = order or self.order_of(plan, input)
        if input.kind == "rejection":
            plan.notes[self.keys.rejection(input)] = None
            if self.rejections and self.rejections[0].id == input.id:
                self.rejections.popleft()
        else:
            if not handled and not held:
                self.remove_timer(plan, input.key, input.id)
            self.unschedule(plan, input)
        if not self.rebuilding:
            self.history.record(plan, input, order)
            # A snapshot here would stand for the rest of a split event, too.
            if not held and not self.checkpoint.part:
                self.trim_history(plan, input.key, order)

    def advance_to(self, position: int, part: int = 0, parts: int = 1) -> None:
        """All events up to there are dealt with: of one in several parts, all up to `part`.

        What was held is behind the checkpoint already.
        """
        before, step, instances, timers, quarantined, done = self.checkpoint
        part += 1
        if part >= parts:
            part = 0
        else:
            position -= 1
        if position > before or (position == before and part > done):
            self.checkpoint = Checkpoint(position, step, instances, timers, quarantined, part)

    def trim_history(self, plan: StepPlan, key: str, order: Order) -> None:
        """After an input: drop the history of an instance that has ended, or that its state can replace."""
        try:
            instance = self.instance(key)
        except (CodecError, InvalidMessage):
            return
        if instance.state is not None:
            if not order.is_event and len(self.history.entries(key)) > input_history.MAX_HISTORY:
                self.history.replace_by_snapshot(plan, key, order, self.records.pack_instance(instance))
        elif not order.is_event or self.history.entries(key):
            self.history.replace_by_snapshot(plan, key, order, None)
        else:
            self.history.evict(key)

    def unschedule(self, plan: StepPlan, input: Input) -> None:
        """The timer of this input does not fire any more."""
        plan.notes[self.keys.timer_at(input.time_us, input.id)] = None
        first = self.timers.first()
        if first is not None and first[1] == input.id:
            self.timers.drop_first()

    def remove_timer(self, plan: StepPlan, key: str, id: str) -> None:
        """A timer is not its instance's any more, since it was passed over."""
        instance = self.instance(key)
        for timer in instance.timers:
            if timer.id == id:
                kept = tuple(one for one in instance.timers if one.id != id)
                instance = self.instances[key] = Instance(instance.state, kept)
                plan.notes[self.keys.state(key)] = self.records.pack_instance(instance)
                plan.notes[self.keys.timer(timer)] = None
                self.checkpoint = self.checkpoint._replace(timers=self.checkpoint.timers - 1)

    # -- what an operator skips ---------------------------------------------------------------
    def request_skip(self, id: str, reason: str, text: str) -> None:
        """Pass over an input when it comes; `text` is why it failed."""
        self.skip_requests[id] = reason, text

    def skip(self, plan: StepPlan, id: str, position: int | None, part: int = 0, parts: int = 1) -> None:
        """An input that was to be passed over has come; `position`, and the parts, are those of an event."""
        reason, text = self.skip_requests[id]
        plan.notes[self.keys.skip(id)] = self.records.pack_skip(reason, text, plan.now_us)
        plan.skipped.append(id)
        if position:
            self.advance_to(position, part, parts)

    def skip_held(self, plan: StepPlan, key: str, id: str) -> None:
        """Pass over what is held for an instance."""
        # What can't be read, or be an instance, has no timers to remove.
        with suppress(CodecError, InvalidMessage):
            self.remove_timer(plan, key, id)
        self.skip(plan, id, None)

    # -- plans --------------------------------------------------------------------------------
    def new_plan(self, now_us: int) -> StepPlan:
        """An empty plan of the next step, guarded by the record that the one before it leaves."""
        return StepPlan((self.keys.checkpoint, self._guard), now_us)

    def set_metadata(self, plan: StepPlan, metadata: ManagerMetadata) -> None:
        """Enter how far a rebuild has come."""
        self.metadata = metadata
        plan.notes[self.keys.metadata] = metadata.pack(self._codec)

    def close(self, plan: StepPlan) -> StepPlan:
        """Complete a plan with the checkpoint after it; the next one follows it."""
        if plan.unhandled:
            self.unhandled = count_unhandled(self.unhandled, plan.unhandled)
            plan.notes[self.keys.unhandled] = self.records.pack_unhandled(self.unhandled)
        self.checkpoint = self.checkpoint._replace(step=self.checkpoint.step + 1)
        plan.notes[self.keys.checkpoint] = self._guard = self.checkpoint.pack()
        self.written = self.checkpoint.position
        self._busy.update(plan.busy)
        return plan

    def checkpoint_plan(self) -> StepPlan | None:
        """A step that writes the checkpoint alone, or None where it is written."""
        if self.written == self.checkpoint.position or self.rebuilding:
            return None
        return self.close(self.new_plan(0))

    def step_written(self, plan: StepPlan) -> None:
        """A plan is on disk."""
        for key in plan.busy:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
        self.rejections.extend(one for one in plan.rejected if one.key not in plan.drained)
        for key in plan.drained:
            self.history.evict(key)
        for id in plan.skipped:
            self.skipped.add(id)
            self.skip_requests.pop(id, None)
