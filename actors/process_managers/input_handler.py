"""Runs a process manager's handlers on its inputs, and enters in a plan what comes of each.

Knows no thread: the manager's calls it, and tests do without one.
"""

from __future__ import annotations

from actors.domain.instance_keys import checked_key
from actors.domain.process_manager_spec import EventRule, ProcessManagerSpec
from actors.kernel.running_calls import CallSlot
from actors.process_managers.causation_chains import is_loop
from actors.process_managers.decision import decide, without
from actors.process_managers.event_reader import EventSource
from actors.process_managers.input_order import Order
from actors.process_managers.input_result import InputResult, MakeSubmission, effects_of, submissions_of
from actors.process_managers.inputs import Input, describe, id_of_event, input_of_event
from actors.process_managers.loop_limiter import LoopLimiter
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.quarantine import Quarantine
from actors.process_managers.step_errors import CommandsFailed, InputFailed
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.unique_ids import UniqueIds
from storage import RecordedEvent
from storage.codec.codec import Codec

__all__ = ["InputHandler", "handler_activity"]


class InputHandler:
    """Of one incarnation of a manager; all that it enters goes through `state`."""

    def __init__(
        self,
        spec: ProcessManagerSpec,
        state: ManagerState,
        quarantine: Quarantine,
        codec: Codec,
        events: EventSource,
        make: MakeSubmission,
        slot: CallSlot,
        failed_commands: dict[str, CommandsFailed],
        loop_limiter: LoopLimiter,
    ) -> None:
        """`slot` shows the handler that runs.

        `failed_commands` are the inputs, by id, whose commands failed: their instances are set aside when
        they come.
        """
        self.spec = spec
        self._state = state
        self._quarantine = quarantine
        self._events = events
        self._make = make
        self._slot = slot
        self._failed_commands = failed_commands
        self._loop_limiter = loop_limiter
        self._ids = UniqueIds(state.notes.first_history_id, codec)

    # -- the instance of an event -------------------------------------------------------------
    def input_of(self, recorded: RecordedEvent) -> Input | None:
        """The input that an event is, None where it concerns no instance. Raises `InputFailed`."""
        rule = self.spec.events.get(recorded.event.__class__)
        if rule is None:
            return None
        id = id_of_event(self.spec.ids, recorded)
        if id in self._state.skipped:
            return None
        try:
            key = self.key_of(rule, recorded)
            if key is None:
                return None
            checked_key(key)
        except BaseException as error:  # Also sys.exit(): it must not take the manager along.
            raise InputFailed(
                id, _in_words(recorded), error, recorded.position, recorded.part, recorded.parts
            ) from error
        return input_of_event(self.spec.ids, key, recorded)

    def key_of(self, rule: EventRule, recorded: RecordedEvent) -> str | None:
        """The key of the instance that an event is for; raises what the key function does."""
        self._slot.begin(recorded)
        try:
            return rule.key_of(recorded.event)
        finally:
            self._slot.end()

    def pass_over(self, plan: StepPlan, error: InputFailed) -> bool:
        """Pass over an event that can't be decoded, or has no key, if an operator skips it."""
        state = self._state
        if error.position is None:
            return False
        if error.id in state.skip_requests:
            state.skip(plan, error.id, error.position, error.part, error.parts)
            plan.inputs.append(Input("event", error.id, "", None, 0, None, None, error.position))
        elif error.id in state.skipped:
            state.advance_to(error.position, error.part, error.parts)
        else:
            return False
        return True

    # -- handling an input --------------------------------------------------------------------
    def handle(self, plan: StepPlan, input: Input, order: Order | None = None) -> bool:
        """Add an input to the plan; False while commands of its instance are in flight.

        If it fails, its instance is set aside; if that is so already, it waits. `order` is its place in a
        rebuild. Raises `InputFailed` for an error that is not the instance's.
        """
        state, key = self._state, input.key
        if state.checkpoint.quarantined and self._quarantine.hold(plan, input, order):
            return True
        if state.is_busy(plan, key):
            return False
        if input.id in state.skip_requests:
            state.skip(plan, input.id, input.position, input.part, input.parts)
            state.consume(plan, input, order)
            return True
        try:
            result = self.result_of(plan, input, live=not state.rebuilding)
        except BaseException as error:
            self._quarantine.begin(plan, input, order, error)
            return True
        if result is None:
            state.advance_to(input.position, input.part, input.parts)
            return True
        ended = result.state is None and state.instance(key).state is not None
        state.apply(plan, input, result)
        state.consume(plan, input, order, handled=True)
        if ended and input.kind == "event" and not state.rebuilding:
            state.trim_history(plan, key, order or state.order_of(plan, input))
        return True

    def result_of(self, plan: StepPlan, input: Input, *, live: bool) -> InputResult | None:
        """What comes of an input, None for an event without a handler; raises whatever is wrong with it.

        Unless it is `live`, no command is executed and no effect delivered for it.
        """
        failed = self._failed_commands.pop(input.id, None)
        if failed is not None:
            raise failed
        self._slot.begin(input)
        try:
            return self._result_of(plan, input, live)
        finally:
            self._slot.end()

    def _result_of(self, plan: StepPlan, input: Input, live: bool) -> InputResult | None:
        state, records = self._state, self._state.records
        state.keys.state(input.key)  # raises for what can't be a key
        # The input is stored, or handled again, after a failure.
        before = records.own_instance(state.instance(input.key))
        decision = decide(self.spec, before, records.own_input(input), plan.now_us)
        if decision is None:
            if input.kind == "event":
                return None
            if live:
                plan.unhandled.append(input)
        elif live:
            self._loop_limiter.check(input, decision, self.spec.managers, plan.now_us, self._is_loop)
            self._ids.give(input, decision)
        elif state.rebuilding:
            without(decision, state.history.has_fired)
        submissions, refused = submissions_of(decision, input, self._make) if live else ([], [])
        entries = effects_of(decision, input, plan.now_us) if live else []
        instance = decision.instance if decision else state.instance(input.key)
        packed = None if instance.state is None else records.pack_instance(instance)
        if decision is not None and packed is not None:
            decision.instance = records.as_stored(instance, packed)
        return InputResult(
            decision, submissions, refused, [records.pack_entry(entry) for entry in entries], packed
        )

    def _is_loop(self, input: Input) -> bool:
        return is_loop(self.spec, self._events, input)


def handler_activity(what: Input | RecordedEvent) -> str:
    """What a handler is working on, in words."""
    if isinstance(what, RecordedEvent):
        return f"telling the instance of {_in_words(what)}"
    return f"at {describe(what)}, of instance {what.key!r}"


def _in_words(recorded: RecordedEvent) -> str:
    return f"event {recorded.type} at position {recorded.position}"
