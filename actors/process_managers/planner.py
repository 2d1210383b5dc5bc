"""What a process manager does next: the plan of its next step.

Knows no thread: the manager's thread calls it, and tests do without one. Plans may follow each other before
the first is on disk. But an instance with commands in flight gets nothing new before their outcome is known,
so that it gets a rejection before its next event.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.kernel.running_calls import CallSlot
from actors.process_managers.event_reader import EventSource
from actors.process_managers.input_handler import InputHandler
from actors.process_managers.input_result import MakeSubmission
from actors.process_managers.inputs import Input, Timer, input_of_timer
from actors.process_managers.instance_retry import InstanceRetry
from actors.process_managers.loop_limiter import LoopLimiter
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.quarantine import Quarantine
from actors.process_managers.rebuild import StateRebuild
from actors.process_managers.step_errors import CommandsFailed, InputFailed
from actors.process_managers.step_plan import StepPlan
from storage import OnewriterError
from storage.codec.codec import Codec

__all__ = ["Planner"]

MAX_CACHED_INSTANCES = 10_000
"""Instances that stay in memory."""
HISTORY_PER_INSTANCE = 10
"""Inputs of the history of each of them, in memory, about."""

MAX_TIMERS_IN_A_ROW = 100
"""Timers that fire in a row while an event waits that is for another instance; then it has its turn."""

CHECKPOINT_EVERY = 10_000
"""Events that do not concern the manager before its checkpoint is written for their sake alone."""


class Planner:
    """Of one incarnation of a manager; `state` and `quarantine` are as the plans made so far leave them."""

    def __init__(
        self,
        spec: ProcessManagerSpec,
        codec: Codec,
        notes: NoteReader,
        events: EventSource,
        make: MakeSubmission,
        *,
        slot: CallSlot | None = None,
        failed_commands: dict[str, CommandsFailed] | None = None,
        loop_limiter: LoopLimiter | None = None,
    ) -> None:
        """`slot` shows the handler that runs. Raises what the codec does for records that can't be read.

        `failed_commands` and `loop_limiter` outlive it: what is known of the inputs of earlier incarnations.
        """
        self.state = ManagerState(spec.name, spec.version, codec, notes)
        self.quarantine = Quarantine(self.state)
        self._events = events
        self._handler = InputHandler(
            spec,
            self.state,
            self.quarantine,
            codec,
            events,
            make,
            slot or CallSlot("handler"),
            {} if failed_commands is None else failed_commands,
            loop_limiter or LoopLimiter(spec.name),
        )
        self._retry = InstanceRetry(self._handler, self.state, self.quarantine, events)
        self._rebuild = StateRebuild(self._handler, self.state, self.quarantine, events)
        self._fired_in_a_row = 0

    def plan(self, now_us: int, limit: int, alone: bool) -> StepPlan | None:
        """The next step, of at most `limit` inputs, or None when there is nothing to do yet.

        `alone`: no step is in flight. Raises `InputFailed` when the next input can't be handled.
        """
        state = self.state
        if self._caches_too_much():
            if not alone:
                return None
            state.instances.clear()
            self.quarantine.evict()
            state.history.evict()
        plan = state.new_plan(now_us)
        if state.rebuilding:
            return self._rebuild.plan(plan, limit) if alone else None
        while len(plan.inputs) < limit and len(plan.submissions) < limit:
            try:
                input = self._next(now_us, alone and not plan.inputs)
                if input is None or not self._handler.handle(plan, input):
                    break
            except InputFailed as error:
                if self._handler.pass_over(plan, error):
                    continue
                if plan.inputs:
                    break
                raise
        if not plan.inputs and state.checkpoint.position - state.written < CHECKPOINT_EVERY:
            return None
        return state.close(plan)

    def retry(
        self, now_us: int, keys: Sequence[str], limit: int
    ) -> tuple[StepPlan | None, dict[str, BaseException | None]]:
        """A step in which instances that are set aside go on, and the error of each that was tried, None for
        none.

        No step is in flight, and no rebuild. Raises `InputFailed` as `plan` does.
        """
        plan = self.state.new_plan(now_us)
        tried: dict[str, BaseException | None] = {}
        for key in keys:
            left = limit - max(len(plan.inputs), len(plan.submissions))
            if left <= 0:
                break
            tried[key] = self._retry.drain(plan, key, left)
        plan.released = [key for key, error in tried.items() if error is None]
        return (self.state.close(plan) if plan.notes else None), tried

    def _caches_too_much(self) -> bool:
        return (
            len(self.state.instances) > MAX_CACHED_INSTANCES
            or self.quarantine.size > MAX_CACHED_INSTANCES
            or self.state.history.size > MAX_CACHED_INSTANCES * HISTORY_PER_INSTANCE
        )

    def _next(self, now_us: int, written: bool) -> Input | None:
        """The next input: rejections first, then timers and events in the order of their times.

        `written`: all that was planned is on disk, so more timers may be read.
        """
        state = self.state
        if state.rejections:
            return state.rejections[0]
        while True:
            due = state.next_due()
            if state.timers.exhausted:
                if not written:
                    return None
                state.timers.load()
                continue
            # If a timer is due, the times of events say where among them it fires.
            if (due is None or due > now_us) and not state.checkpoint.part:
                unwanted = self._events.unwanted_until(state.checkpoint.position)
                state.advance_to(min(unwanted, state.written + CHECKPOINT_EVERY))
            recorded = self._events.peek(state.checkpoint.position, state.checkpoint.part)
            fires = due is not None and due <= now_us and (recorded is None or due <= recorded.time_us)
            if fires and (recorded is None or self._fired_in_a_row < MAX_TIMERS_IN_A_ROW):
                first = state.timers.first()
                assert first is not None
                self._fired_in_a_row += 1
                return self._fired(*first)
            if recorded is None or state.checkpoint.position - state.written >= CHECKPOINT_EVERY:
                return None
            input = self._handler.input_of(recorded)
            if input is None:
                state.advance_to(recorded.position, recorded.part, recorded.parts)
                continue
            timer = self._due_before(input, now_us) if fires else None
            if timer is not None:
                return self._fired(timer.due_us, timer.id, input.key)
            self._fired_in_a_row = 0
            return input

    def _due_before(self, input: Input, now_us: int) -> Timer | None:
        """The timer of an event's own instance that fires before it."""
        try:
            timers = self.state.instance(input.key).timers
        except OnewriterError:  # As handling it will say.
            return None
        first = min(timers, key=lambda timer: (timer.due_us, timer.id), default=None)
        return None if first is None or first.due_us > min(input.time_us, now_us) else first

    def _fired(self, due_us: int, id: str, key: str) -> Input:
        timer = self.state.timer(key, id)
        assert timer is not None
        # Of one whose message can't be read the time is in the key of its record alone.
        return input_of_timer(key, Timer(due_us, id, timer.message, timer.correlation))
