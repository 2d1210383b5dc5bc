"""Rebuilding a manager's states after its version was raised: from its events and its history between them.

No command is executed and no effect delivered. It goes on to where the former version stood, in steps that
survive a restart. Pure; the manager's thread calls it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from actors.process_managers.event_reader import EventSource
from actors.process_managers.input_handler import InputHandler
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Timer
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.quarantine import Quarantine
from actors.process_managers.records import Checkpoint, HandledInput
from actors.process_managers.snapshot_restore import restore_some
from actors.process_managers.step_errors import InputFailed
from actors.process_managers.step_plan import StepPlan

__all__ = ["StateRebuild"]

LAST_ORDER = Order(1 << 63)
"""After all others."""
CHUNK = 1_000
SCAN_LIMIT = 10_000
"""Events that one step reads."""


class StateRebuild:
    """The plans that clear a manager's state and fill it again."""

    def __init__(
        self, handler: InputHandler, state: ManagerState, quarantine: Quarantine, events: EventSource
    ) -> None:
        self._handler = handler
        self._state = state
        self._quarantine = quarantine
        self._events = events
        self._history: deque[tuple[bytes, HandledInput]] = deque()
        self._after = state.metadata.replayed_through

    def plan(self, plan: StepPlan, limit: int) -> StepPlan:
        """The next step; none may be in flight. Raises `InputFailed` as `Planner.plan` does."""
        state = self._state
        if state.metadata.clearing:
            self._clear(plan)
        elif state.metadata.restored_through is not None:
            restore_some(self._handler.spec, state, self._quarantine, plan)
        else:
            self._fill(plan, limit)
        return state.close(plan)

    def _clear(self, plan: StepPlan) -> None:
        """Forget states and timers of the former version, some at a time."""
        state = self._state
        found = state.notes.notes(state.keys.states, limit=CHUNK)
        found += state.notes.notes(state.keys.timers, limit=CHUNK)
        if state.metadata.restored_through is None:
            found += state.notes.notes(state.keys.snapshots, limit=CHUNK)
        for key, _ in found:
            plan.notes[key] = None
        if not found:
            state.set_metadata(plan, replace(state.metadata, clearing=False))
            state.checkpoint = Checkpoint(
                state.metadata.start, state.checkpoint.step, quarantined=state.checkpoint.quarantined
            )
            state.timers.load()
        state.instances.clear()

    def _fill(self, plan: StepPlan, limit: int) -> None:
        state = self._state
        until = state.metadata.until
        assert until is not None
        scanned = state.checkpoint.position + SCAN_LIMIT
        while len(plan.inputs) < limit and state.checkpoint.position < scanned:
            try:
                next = self._next_handled()
                if next is not None and next[1].order.position <= state.checkpoint.position:
                    self._replay(plan, next[1])
                    self._history.popleft()
                    self._after = next[0]
                elif state.checkpoint.position >= until:
                    break
                else:
                    self._replay_event(plan, until if next is None else min(until, next[1].order.position))
            except InputFailed as error:
                if self._handler.pass_over(plan, error):
                    continue
                if plan.inputs:
                    break
                raise
        done = state.checkpoint.position >= until and self._next_handled() is None
        metadata = state.metadata.done() if done else replace(state.metadata, replayed_through=self._after)
        state.set_metadata(plan, metadata)

    def _replay_event(self, plan: StepPlan, until: int) -> None:
        """Pass over events that this version does not want, through `until`; or replay the next one."""
        state = self._state
        if not state.checkpoint.part:
            unwanted = min(self._events.unwanted_until(state.checkpoint.position), until)
            if unwanted > state.checkpoint.position:
                state.advance_to(unwanted)
                return
        recorded = self._events.peek(state.checkpoint.position, state.checkpoint.part)
        assert recorded is not None, "the log ends before what was handled"
        input = self._handler.input_of(recorded)
        order = Order(recorded.position, number=recorded.part)
        if input is None or self._is_in_snapshot(input.key, order):
            state.advance_to(recorded.position, recorded.part, recorded.parts)
        else:
            self._handler.handle(plan, input)

    def _replay(self, plan: StepPlan, handled: HandledInput) -> None:
        """A rejection, or the firing of a timer that the new version has set as well."""
        state, input = self._state, handled.input
        if input.kind == "timer":
            key = self._owner_of_timer(plan, input)
            timer = state.timer(key, input.id)
            if timer is None and handled.order < self._quarantined_from(key):
                return  # This version does not set it, or has cancelled it.
            # Its message is what the new version sets, whatever was stored: its handlers may know nothing of
            # that.
            current = timer or Timer(0, "", None, input.correlation)
            input = replace(input, key=key, message=current.message, correlation=current.correlation)
            if timer is not None:
                plan.notes[state.keys.timer(timer)] = None  # It may be due at another time now.
        else:
            input = replace(input, key=self._issuer_of_command(input))
        if input.id in state.skipped:
            if input.kind == "timer":
                state.remove_timer(plan, input.key, input.id)
            return
        if not self._is_in_snapshot(input.key, handled.order):
            self._handler.handle(plan, input, handled.order)

    def _is_in_snapshot(self, key: str, order: Order) -> bool:
        """Whether a snapshot of the instance covers that place."""
        snapshot = self._state.history.snapshot_order(key)
        return snapshot is not None and order <= snapshot

    def _issuer_of_command(self, input: Input) -> str:
        """The instance that asked for a refused command, by the event's position in the command's id."""
        number, _, part = input.id.removeprefix(f"{self._handler.spec.ids}:").split(":")[0].partition(".")
        if not number.isdigit() or not 0 < int(number) <= self._state.checkpoint.position:
            return input.key  # What goes back to it through many inputs has a digest there.
        try:
            events = self._events.at(int(number))[int(part or 0) :]
            event = self._handler.input_of(events[0]) if events else None
        except InputFailed:
            event = None
        return input.key if event is None else event.key

    def _quarantined_from(self, key: str) -> Order:
        record = self._quarantine.record(key)
        return LAST_ORDER if record is None else record.order

    def _owner_of_timer(self, plan: StepPlan, input: Input) -> str:
        """The instance whose timer fired: in this version events may be for other instances."""
        if self._state.timer(input.key, input.id) is not None:
            return input.key
        return self._state.timer_owner(plan, input.id) or input.key

    def _next_handled(self) -> tuple[bytes, HandledInput] | None:
        if not self._history:
            state = self._state
            prefix = state.keys.history
            found = state.notes.notes(prefix, self._after, CHUNK)
            self._history.extend(
                (key, state.records.handled(key[len(prefix) :], value)) for key, value in found
            )
        return self._history[0] if self._history else None
