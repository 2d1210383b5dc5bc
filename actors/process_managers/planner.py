"""A process manager's book: its instances, what waits for them, and the plan of the next step.

Knows no thread: the manager's thread calls it, and tests do without one. Plans may follow each other before the first
is on disk, but an instance with commands on their way gets nothing new before their outcome is known, so that it
hears of a rejection before its next event.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from actors.domain.instance_keys import checked_key
from actors.domain.process_manager_spec import EventRule, ProcessManagerSpec
from actors.kernel.running_calls import CallSlot
from actors.process_managers.causation_chains import is_loop
from actors.process_managers.decision import decide, without
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Timer, input_of_event
from actors.process_managers.ledger import Ledger
from actors.process_managers.loop_limiter import LoopLimiter
from actors.process_managers.quarantine import Quarantine
from actors.process_managers.rebuild import StateRebuild
from actors.process_managers.records import NoteReader
from actors.process_managers.step_plan import (
    CommandsFailed,
    EventSource,
    InputFailed,
    InputResult,
    MakeSubmission,
    StepPlan,
    describe,
    effects_of,
    submissions_of,
)
from actors.process_managers.unhandled_rejections import count_unhandled
from actors.process_managers.unique_ids import UniqueIds
from storage import OnewriterError, RecordedEvent
from storage.codec.codec import Codec

__all__ = ["Book", "handler_activity"]

MAX_CACHED_INSTANCES = 10_000
"""Instances that stay in memory."""
HISTORY_PER_INSTANCE = 10
"""What each of them has heard, in memory, about."""

MAX_TIMERS_IN_A_ROW = 100
"""Timers that fire in a row while an event waits that is for another instance; then it has its turn."""

CHECKPOINT_EVERY = 10_000
"""Events that do not concern the manager before its place is written for their sake alone."""


class Book(Ledger):
    """A ledger, and what its next step is to be."""

    def __init__(
        self, spec: ProcessManagerSpec, codec: Codec, notes: NoteReader, handling: CallSlot | None = None
    ) -> None:
        """`handling` shows the handler that runs."""
        super().__init__(spec.name, spec.version, codec, notes)
        self.handling = handling or CallSlot("handler")
        self.spec = spec
        self.written = self.place.position
        self._busy: Counter[str] = Counter()
        self.failing: dict[str, CommandsFailed] = {}
        self.self_led = LoopLimiter(spec.name)
        self._fired_in_row = 0
        self._feed: EventSource | None = None
        self.quarantine = Quarantine(self, notes)
        self._ids = UniqueIds(notes.history_id, codec)
        self._rebuilding = StateRebuild(self, codec, notes) if self.about.until is not None else None

    # -- planning -----------------------------------------------------------------------------
    def plan(
        self, feed: EventSource, make: MakeSubmission, now_us: int, limit: int, alone: bool
    ) -> StepPlan | None:
        """The next step, of at most `limit` inputs, or None when there is nothing to do yet.

        `alone`: no step is in flight. Raises `InputFailed` when the next input can't be handled.
        """
        if (
            len(self.instances) > MAX_CACHED_INSTANCES
            or self.quarantine.known > MAX_CACHED_INSTANCES
            or self.pasts.known > MAX_CACHED_INSTANCES * HISTORY_PER_INSTANCE
        ):
            if not alone:
                return None
            self.instances.clear()
            self.quarantine.forget()
            self.pasts.forget()
        self._feed = feed
        plan = StepPlan(self._guard, self.place, now_us)
        if self.rebuilding:
            assert self._rebuilding is not None
            return self._rebuilding.plan(plan, feed, make, limit) if alone else None
        while len(plan.inputs) < limit and len(plan.submissions) < limit:
            try:
                input = self._next(feed, now_us, alone and not plan.inputs)
                if input is None or not self.handle(plan, input, make):
                    break
            except InputFailed as error:
                if self.pass_over(plan, error):
                    continue
                if plan.inputs:
                    break
                raise
        if not plan.inputs and self.place.position - self.written < CHECKPOINT_EVERY:
            return None
        return self.close(plan)

    def retry(
        self, feed: EventSource, make: MakeSubmission, now_us: int, keys: Sequence[str], limit: int
    ) -> tuple[StepPlan | None, dict[str, BaseException | None]]:
        """A step in which instances that are set aside go on, and what they failed on, None for those that did not.

        No step is in flight, and nothing is being built anew. Raises `InputFailed` as `plan` does.
        """
        self._feed = feed
        plan = StepPlan(self._guard, self.place, now_us)
        tried: dict[str, BaseException | None] = {}
        for key in keys:
            left = limit - max(len(plan.inputs), len(plan.submissions))
            if left <= 0:
                break
            tried[key] = self.quarantine.drain(plan, key, feed, make, left)
        plan.retried = [key for key, error in tried.items() if error is None]
        return (self.close(plan) if plan.notes else None), tried

    def _next(self, feed: EventSource, now_us: int, written: bool) -> Input | None:
        """The next input: rejections first, then timers and events in the order of their times.

        `written`: all that was planned is on disk, so more timers may be read.
        """
        if self.inputs:
            return self.inputs[0]
        while True:
            recorded = feed.peek(self.place.position)
            due = self.next_due()
            if self.timers.exhausted:
                if not written:
                    return None
                self.timers.load()
                continue
            fires = due is not None and due <= now_us and (recorded is None or due <= recorded.time_us)
            if fires and (recorded is None or self._fired_in_row < MAX_TIMERS_IN_A_ROW):
                first = self.timers.first()
                assert first is not None
                self._fired_in_row += 1
                return self._fired(*first)
            if recorded is None or self.place.position - self.written >= CHECKPOINT_EVERY:
                return None
            input = self.of_event(recorded)
            if input is None:
                self.reach(recorded.position)
                continue
            timer = self._due_before(input, now_us) if fires else None
            if timer is not None:
                return self._fired(timer.due_us, timer.id, input.key)
            self._fired_in_row = 0
            return input

    def _due_before(self, input: Input, now_us: int) -> Timer | None:
        """The timer of an event's own instance that fires before it."""
        try:
            timers = self.instance(input.key).timers
        except OnewriterError:  # As handling it will say.
            return None
        first = min(timers, key=lambda timer: (timer.due_us, timer.id), default=None)
        return None if first is None or first.due_us > min(input.time_us, now_us) else first

    def _fired(self, due_us: int, id: str, key: str) -> Input:
        timer = self.timer(key, id)
        assert timer is not None
        return Input("timer", id, key, timer.message, due_us, id, timer.correlation)

    def of_event(self, recorded: RecordedEvent) -> Input | None:
        """The input that an event is, None where it concerns no instance."""
        rule = self.spec.events.get(recorded.event.__class__)
        if rule is None:
            return None
        id = f"{self.spec.name}:{recorded.position}"
        if id in self.skipped:
            return None
        try:
            key = self.told(rule, recorded)
            if key is None:
                return None
            checked_key(key)
        except BaseException as error:  # Also sys.exit(): it must not take the manager along.
            raise InputFailed(id, _what(recorded), error, recorded.position) from error
        return input_of_event(self.spec.name, key, recorded)

    def told(self, rule: EventRule, recorded: RecordedEvent) -> str | None:
        """The key of the instance that an event is for; raises what telling it does."""
        self.handling.begin(recorded)
        try:
            return rule.key_of(recorded.event)
        finally:
            self.handling.end()

    def handle(self, plan: StepPlan, input: Input, make: MakeSubmission, order: Order | None = None) -> bool:
        """Add an input to the plan; False while commands of its instance are on their way.

        Where it fails its instance is set aside, and where that is so already it waits. `order` is its place while the
        states are built anew. Raises `InputFailed` for an error that is not the instance's.
        """
        key = input.key
        if self.place.quarantined and self.quarantine.hold(plan, input, order):
            return True
        if self._busy[key] or key in plan.busy:
            return False
        if input.id in self.skipping:
            self.pass_input(plan, input.id, input.position)
            self.consume(plan, input, order)
            return True
        try:
            made = self.made_of(plan, input, make, live=not self.rebuilding)
        except BaseException as error:
            self.quarantine.begin(plan, input, order, error)
            return True
        if made is None:
            self.reach(input.position)
            return True
        ended = made.state is None and self.instance(key).state is not None
        self.apply(plan, input, made)
        self.consume(plan, input, order, handled=True)
        if ended and input.kind == "event" and not self.rebuilding:
            self.let_go(plan, key, Order(input.position))
        return True

    def made_of(
        self, plan: StepPlan, input: Input, make: MakeSubmission, *, live: bool
    ) -> InputResult | None:
        """What comes of an input, None for an event without a handler; raises whatever is wrong with it."""
        failed = self.failing.pop(input.id, None)
        if failed is not None:
            raise failed
        self.handling.begin(input)
        try:
            return self._made_of(plan, input, make, live)
        finally:
            self.handling.end()

    def _made_of(self, plan: StepPlan, input: Input, make: MakeSubmission, live: bool) -> InputResult | None:
        self.keys.state(input.key)
        # The input is stored, or handled again, after a failure.
        told = self.values.own_instance(self.instance(input.key))
        decision = decide(self.spec, told, self.values.own_input(input), plan.now_us)
        if decision is None:
            if input.kind == "event":
                return None
            if live:
                plan.unheard.append(input)
        elif live:
            self.self_led.require(input, decision, self.spec.managers, plan.now_us, self._goes_round)
            self._ids.give(input, decision)
        elif self.rebuilding:
            without(decision, self.pasts.has_fired)
        submissions, refused = submissions_of(decision, input, make) if live else ([], [])
        entries = effects_of(decision, input, plan.now_us) if live else []
        instance = decision.instance if decision else self.instance(input.key)
        state = None if instance.state is None else self.values.pack_instance(instance)
        if decision is not None and state is not None:
            decision.instance = self.values.as_stored(instance, state)
        return InputResult(
            decision,
            submissions,
            refused,
            [self.values.pack_entry(entry) for entry in entries],
            state,
        )

    def _goes_round(self, input: Input) -> bool:
        return self._feed is None or is_loop(self.spec, self._feed, input)

    def close(self, plan: StepPlan) -> StepPlan:
        if plan.unheard:
            self.unheard = count_unhandled(self.unheard, plan.unheard)
            plan.notes[self.keys.unheard] = self.values.pack_unheard(self.unheard)
        self.place = self.place._replace(step=self.place.step + 1)
        plan.place = self.place
        plan.notes[self.keys.place] = self._guard = self.place.pack()
        self.written = self.place.position
        self._busy.update(plan.busy)
        return plan

    # -- after a plan -------------------------------------------------------------------------
    def settle(self, plan: StepPlan) -> None:
        """A plan is on disk."""
        for key in plan.busy:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]
        self.inputs.extend(one for one in plan.rejected if one.key not in plan.drained)
        for key in plan.drained:
            self.pasts.forget(key)
        for id in plan.skipped:
            self.skipped.add(id)
            self.skipping.pop(id, None)

    def last_place(self) -> StepPlan | None:
        """A step that writes the place alone, or None where it is written."""
        if self.written == self.place.position or self.rebuilding:
            return None
        return self.close(StepPlan(self._guard, self.place, 0))

    def refresh_inputs(self) -> None:
        """Read again which rejections wait, since another step than this manager's left one; none of its own in flight."""
        found = self._notes.notes(self.keys.inputs)
        self.inputs = deque(self.values.input(value) for _, value in found)

    def pass_over(self, plan: StepPlan, error: InputFailed) -> bool:
        """An event that can't be decoded or told to an instance has no input to skip."""
        if error.position is None or error.id not in self.skipping | dict.fromkeys(self.skipped):
            return False
        if error.id in self.skipping:
            self.pass_input(plan, error.id, error.position)
            plan.inputs.append(Input("event", error.id, "", None, 0, None, None, error.position))
        else:
            self.place = self.place._replace(position=error.position)
        return True


def handler_activity(what: Input | RecordedEvent) -> str:
    """What a handler is at, in words."""
    if isinstance(what, RecordedEvent):
        return f"telling the instance of {_what(what)}"
    return f"at {describe(what)}, of instance {what.key!r}"


def _what(recorded: RecordedEvent) -> str:
    return f"event {recorded.type} at position {recorded.position}"
