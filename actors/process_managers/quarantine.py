"""Which instances of a manager are set aside since an input failed, and holding back their inputs. Pure.

The first input that fails begins it. All that comes later is held in its order, until the instance is retried
(`instance_retry`). All of it is in the notes of the step that goes on with the others. The manager's thread
calls it.
"""

from __future__ import annotations

import traceback

from actors.domain.instance_keys import shown_key
from actors.errors import described
from actors.process_managers.fault_attribution import is_instance_fault
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, describe
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.records import QuarantineRecord
from actors.process_managers.step_errors import CommandsFailed, InputFailed
from actors.process_managers.step_plan import StepPlan

__all__ = ["Quarantine", "cause_of", "record_of"]

MAX_TRACEBACK, MAX_ERROR = 8_000, 500
"""Characters that are kept of a traceback, its end, and of an error, its beginning."""


class Quarantine:
    """Keys are as `shown_key` gives them: also what can't be an instance's key may be set aside."""

    def __init__(self, state: ManagerState) -> None:
        self._state = state
        self._notes = state.notes
        self._records: dict[str, QuarantineRecord | None] = {}

    @property
    def size(self) -> int:
        """Of how many instances it is in memory whether they are set aside."""
        return len(self._records)

    def evict(self) -> None:
        """Drop what is in memory; no step is in flight."""
        self._records.clear()

    def record(self, key: str) -> QuarantineRecord | None:
        """Why an instance is set aside, after all plans made so far, without the traceback; None if it is
        not.
        """
        if not self._state.checkpoint.quarantined:
            return None
        if key not in self._records:
            value = self._notes.note(self._state.keys.quarantine(key))
            self._remember(key, None if value is None else self._state.records.quarantine(value))
        return self._records[key]

    def _remember(self, key: str, record: QuarantineRecord | None) -> None:
        self._records[key] = None if record is None else record._replace(traceback="")

    def first_held(self, key: str) -> str | None:
        """The id of the first input that is held for an instance; no step is in flight."""
        for _, value in self._notes.notes(self._state.keys.held_of(key), limit=1):
            return self._state.records.held(value)[1]
        return None

    def hold(self, plan: StepPlan, input: Input, order: Order | None) -> bool:
        """Have an input wait if its instance is set aside; False where it is to be handled."""
        key = shown_key(input.key)
        record = self.record(key)
        if record is None:
            return False
        state = self._state
        order = order or state.order_of(plan, input)
        if not state.rebuilding:
            self.put(plan, key, input, order)
        elif order < record.order:
            return False
        elif self._notes.note(state.keys.held_of(key) + order.pack()) is None:
            # What came before the instance was set aside was executed then; the rest is held already.
            self.put(plan, key, input, order)
        state.consume(plan, input, order, held=True)
        return True

    def begin(self, plan: StepPlan, input: Input, order: Order | None, error: BaseException) -> None:
        """Set an instance aside at an input. Raises `InputFailed` for an error that is not the instance's."""
        what, error = cause_of(input, error)
        if not is_instance_fault(error):
            raise InputFailed(input.id, what, error, input.position or None) from error
        state = self._state
        key = shown_key(input.key)
        order = order or state.order_of(plan, input)
        if self.record(key) is None:
            state.checkpoint = state.checkpoint._replace(quarantined=state.checkpoint.quarantined + 1)
        self.set(plan, key, record_of(order, input.id, what, error, plan.now_us))
        self.put(plan, key, input, order)
        plan.quarantined.append((key, what, error))
        state.consume(plan, input, order, held=True)

    def end(self, plan: StepPlan, key: str) -> None:
        """An instance is not set aside any more."""
        state = self._state
        self.set(plan, key, None)
        state.checkpoint = state.checkpoint._replace(quarantined=state.checkpoint.quarantined - 1)

    def put(self, plan: StepPlan, key: str, input: Input, order: Order, *, silent: bool = False) -> None:
        """Hold an input; with `silent`, as during a rebuild, nothing is executed for it later."""
        state = self._state
        note = state.keys.held_of(key) + order.pack()
        plan.notes[note] = state.records.pack_held(input, silent=silent or state.rebuilding)

    def set(self, plan: StepPlan, key: str, record: QuarantineRecord | None) -> None:
        """Enter why an instance is set aside, or that it is not."""
        self._remember(key, record)
        note = self._state.keys.quarantine(key)
        plan.notes[note] = None if record is None else self._state.records.pack_quarantine(record)


def cause_of(input: Input, error: BaseException) -> tuple[str, BaseException]:
    """What failed, for messages, and the error itself."""
    if isinstance(error, CommandsFailed):
        return f"{type(error.command).__name__}, asked for by {describe(input)}", error.error
    return describe(input), error


def record_of(order: Order, id: str, what: str, error: BaseException, since_us: int) -> QuarantineRecord:
    """The record of an instance that is set aside at the input `id`."""
    # Both texts may name files whose names are no UTF-8.
    short, text = (
        one.encode(errors="backslashreplace").decode()
        for one in (described(error), "".join(traceback.format_exception(error)))
    )
    shortened = text if len(text) <= MAX_TRACEBACK else f"...{text[-MAX_TRACEBACK:]}"
    return QuarantineRecord(order, id, what, short[:MAX_ERROR], shortened, since_us)
