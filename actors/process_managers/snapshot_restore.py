"""Instances that begin a rebuild from their snapshots, since their history before those is gone. Pure."""

from __future__ import annotations

from dataclasses import replace

from actors.domain.process_manager_spec import ProcessManagerSpec
from actors.process_managers.input_order import Order
from actors.process_managers.input_result import InputResult
from actors.process_managers.inputs import Decision, Input, Instance
from actors.process_managers.manager_state import ManagerState
from actors.process_managers.quarantine import Quarantine
from actors.process_managers.step_plan import StepPlan
from actors.process_managers.unreadable_values import class_of
from storage import CodecError

__all__ = ["restore", "restore_some"]

CHUNK = 1_000


def restore_some(
    spec: ProcessManagerSpec, state: ManagerState, quarantine: Quarantine, plan: StepPlan
) -> None:
    """Have the next of those instances begin. One whose state can't be read is set aside."""
    prefix = state.keys.snapshots
    last = state.metadata.restored_through
    assert last is not None
    found = state.notes.notes(prefix, last, CHUNK)
    for note, value in found:
        last = note
        key = note[len(prefix) :].decode("utf-8", "surrogatepass")
        snapshot = state.records.snapshot(value)
        input = _input(spec.ids, key, snapshot.order)
        if snapshot.state is None or input.id in state.skipped:
            continue
        try:
            restore(spec, state, plan, key)
        except CodecError as error:
            quarantine.begin(plan, input, snapshot.order.following(), error)
    metadata = replace(state.metadata, restored_through=last if len(found) == CHUNK else None)
    state.set_metadata(plan, metadata)


def restore(spec: ProcessManagerSpec, state: ManagerState, plan: StepPlan, key: str) -> None:
    """Enter the state of an instance's snapshot, and store it in this version's form. Raises `CodecError`."""
    value = state.notes.note(state.keys.snapshot(key))
    if value is None:
        return
    snapshot = state.records.snapshot(value)
    instance = state.records.instance(snapshot.state)
    kind = type(instance.state)
    if instance.state is not None and kind not in spec.states:
        raise CodecError(
            f"its state was a {kind.__name__}, which is no state of version {spec.version} of process "
            "manager "
            f"{spec.name!r}"
        )
    timers = tuple(one for one in instance.timers if class_of(one.message) in spec.timers)
    instance = Instance(instance.state, timers)
    packed = state.records.pack_instance(instance)
    result = InputResult(Decision(instance, timers_set=list(timers)), [], [], [], packed)
    state.apply(plan, _input(spec.ids, key, snapshot.order), result)
    plan.notes[state.keys.snapshot(key)] = state.records.pack_snapshot(snapshot._replace(state=packed))


def _input(manager: str, key: str, order: Order) -> Input:
    """The input for beginning from a snapshot. Its kind and id are stored when its instance is set aside."""
    id = f"{manager}:checkpoint:{order.position}.{order.step}.{order.number}.{order.more}"
    return Input("checkpoint", id, key, None, 0, None, None)
