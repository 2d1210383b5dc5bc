"""Retries an instance that is set aside: handles what is held for it. Pure; the manager's thread."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from actors.domain.instance_keys import checked_key, shown_key
from actors.process_managers.event_reader import EventSource
from actors.process_managers.fault_attribution import is_instance_fault
from actors.process_managers.input_handler import InputHandler
from actors.process_managers.input_order import ORDER_BYTES, Order
from actors.process_managers.inputs import REJECTION, Input, input_of_event, input_of_timer
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.quarantine import Quarantine, cause_of, record_of
from actors.process_managers.records import QuarantineRecord
from actors.process_managers.snapshot_restore import restore
from actors.process_managers.step_errors import InputFailed
from actors.process_managers.step_plan import StepPlan

__all__ = ["InstanceRetry"]

SCAN_CHUNK = 100
"""Inputs that are read at once to find the last of several rejections."""


class HeldInput(NamedTuple):
    """An input that is held for an instance, in its `note`, or a timer that is due before the next of these.

    `silent`: nothing is executed for it, since that was done before the states were rebuilt.
    """

    note: bytes | None
    order: Order
    silent: bool
    id: str
    packed: bytes | None
    input: Input | None = None


class InstanceRetry:
    """Keys are as `shown_key` gives them."""

    def __init__(
        self, handler: InputHandler, state: ManagerState, quarantine: Quarantine, events: EventSource
    ) -> None:
        self._handler = handler
        self._state = state
        self._quarantine = quarantine
        self._events = events

    def drain(self, plan: StepPlan, key: str, limit: int) -> BaseException | None:
        """Handle what is held for an instance, up to `limit` inputs, its commands, or the next failure, which
        is returned.

        No step is in flight. Raises `InputFailed` for an error that is not the instance's.
        """
        record = self._quarantine.record(key)
        if record is None:
            return None
        state = self._state
        found = state.notes.notes(state.keys.held_of(key), limit=limit + 1)
        waiting = deque(self._held(note, value) for note, value in found[:limit])
        last: Order | None = None
        handled = 0
        while waiting and key not in plan.busy and handled < limit:
            held = waiting.popleft()
            input = Input("event", held.id, key, None, 0, None, None, held.order.position)
            failed: BaseException | None = None
            try:
                if held.id in state.skip_requests:
                    state.skip_held(plan, key, held.id)
                else:
                    current = held.input or self._current(key, held)
                    timer = None
                    if current is not None:
                        timer = self._due_before(key, held, current, last or record.order)
                    if timer is not None:
                        waiting.extendleft((held, timer))
                        continue
                    if current is not None:
                        input = current
                        if not self._handle(plan, key, input, held):
                            break
            except InputFailed as error:
                if error.position != held.order.position:
                    raise
                failed, what = error.error, error.what
            except BaseException as error:
                what, failed = cause_of(input, error)
            if failed is not None:
                if not is_instance_fault(failed):
                    raise InputFailed(held.id, what, failed) from failed
                if held.note is None:
                    self._quarantine.put(plan, key, input, held.order, silent=held.silent)
                    self._record(plan, held, input)
                    state.unschedule(plan, input)
                now = record_of(held.order, held.id, what, failed, record.since_us)
                if (record.id, record.error) != (now.id, now.error):
                    self._quarantine.set(plan, key, now)
                return failed
            last = held.order
            handled += 1
            if held.note is not None:
                plan.notes[held.note] = None
            else:
                self._record(plan, held, input)
            state.trim_history(plan, input.key, held.order)
            if all(other is not input for other in plan.inputs):
                plan.inputs.append(input)
        if key in plan.busy:
            plan.drained[key] = self._behind_rejections(key, last or record.order)
        elif not waiting and len(found) <= limit:
            self._quarantine.end(plan, key)
            return None
        if last is not None:
            self._quarantine.set(plan, key, QuarantineRecord(last.following(), since_us=record.since_us))
        return None

    def _record(self, plan: StepPlan, held: HeldInput, input: Input) -> None:
        if not held.silent:
            self._state.history.record(plan, input, held.order)

    def _held(self, note: bytes, value: bytes) -> HeldInput:
        return HeldInput(note, Order.unpack(note[-ORDER_BYTES:]), *self._state.records.held(value))

    def _due_before(self, key: str, held: HeldInput, current: Input, after: Order) -> HeldInput | None:
        """The timer of the instance that is due before a held input, so that it fires first, as it does for
        others.
        """
        if current.key != key or current.kind in ("rejection", "checkpoint"):
            return None  # These come before all else.
        order = after.following() if after < held.order else None
        timers = self._state.instance(key).timers
        first = min(timers, key=lambda timer: (timer.due_us, timer.id), default=None)
        if order is None or first is None or first.id == held.id or first.due_us > current.time_us:
            return None
        if current.kind == "timer" and (first.due_us, first.id) > (current.time_us, current.id):
            return None
        return HeldInput(None, order, held.silent, first.id, None, input_of_timer(key, first))

    def _behind_rejections(self, key: str, order: Order) -> Order:
        """After what a command's rejection is held: before all that waits but other rejections."""
        prefix = self._state.keys.held_of(key)
        while found := self._state.notes.notes(prefix, prefix + order.pack(), SCAN_CHUNK):
            for note, value in found:
                if not self._state.records.held(value)[1].endswith(REJECTION):
                    return order
                order = Order.unpack(note[-ORDER_BYTES:])
        return order

    def _handle(self, plan: StepPlan, key: str, input: Input, held: HeldInput) -> bool:
        """Handle a held input as `InputHandler.handle` does; False where it needs another step."""
        if input.kind == "checkpoint":
            restore(self._handler.spec, self._state, plan, key)
            return True
        if shown_key(input.key) != key:
            return self._handler.handle(plan, input)
        result = self._handler.result_of(plan, input, live=not held.silent)
        if result is not None:
            self._state.apply(plan, input, result)
        if input.kind == "timer":
            self._state.unschedule(plan, input)
        return True

    def _current(self, key: str, held: HeldInput) -> Input | None:
        """What is held, as it is now; None for what is for no instance any more."""
        if held.packed is None:
            return self._event(held.order)
        input = self._state.records.input(held.packed)
        if input.kind != "timer":
            return input
        timer = next((timer for timer in self._state.instance(key).timers if timer.id == held.id), None)
        return None if timer is None else input_of_timer(key, timer)

    def _event(self, order: Order) -> Input | None:
        parts = self._events.at(order.position)[order.number :]
        if not parts:
            return None  # Upcasters make fewer events of it now.
        recorded = parts[0]
        spec = self._handler.spec
        rule = spec.events.get(recorded.event.__class__)
        key = None if rule is None else self._handler.key_of(rule, recorded)
        if key is None:
            return None
        # In another release it may be for another instance: what could be no key may be one then.
        return input_of_event(spec.ids, checked_key(key), recorded)
