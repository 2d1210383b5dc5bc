"""Instances that begin from a checkpoint when the states are built anew, since what they had heard before is gone. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Decision, Input, Instance
from actors.process_managers.records import NoteReader
from actors.process_managers.step_plan import InputResult, StepPlan
from actors.process_managers.unreadable_values import class_of
from storage import CodecError

if TYPE_CHECKING:
    from actors.process_managers.planner import Book

__all__ = ["restore", "restore_some"]

CHUNK = 1_000


def restore_some(book: Book, notes: NoteReader, plan: StepPlan) -> None:
    """Have those instances begin that come next. One whose state can't be read is set aside."""
    keys = book.keys
    last = book.about.restored
    assert last is not None
    found = notes.notes(keys.checkpoints, last, CHUNK)
    for note, value in found:
        last = note
        key = note[len(keys.checkpoints) :].decode("utf-8", "surrogatepass")
        order, state, _ = book.values.checkpoint(value)
        input = Input("checkpoint", _id(book.spec.name, order), key, None, 0, None, None)
        if state is None or input.id in book.skipped:
            continue
        try:
            restore(book, notes, plan, key)
        except CodecError as error:
            book.quarantine.begin(plan, input, order.following(), error)
    book.about = replace(book.about, restored=last if len(found) == CHUNK else None)


def restore(book: Book, notes: NoteReader, plan: StepPlan, key: str) -> None:
    """Enter the state of an instance's checkpoint, and keep that as this version writes it. Raises `CodecError`."""
    value = notes.note(book.keys.checkpoint(key))
    if value is None:
        return
    order, state, fired = book.values.checkpoint(value)
    instance = book.values.instance(state)
    kind = type(instance.state)
    if instance.state is not None and kind not in book.spec.states:
        raise CodecError(
            f"its state was a {kind.__name__}, which is no state of version {book.spec.version} of process manager "
            f"{book.spec.name!r}"
        )
    timers = tuple(one for one in instance.timers if class_of(one.message) in book.spec.timers)
    instance = Instance(instance.state, timers)
    packed = book.values.pack_instance(instance)
    input = Input("checkpoint", _id(book.spec.name, order), key, None, 0, None, None)
    book.apply(plan, input, InputResult(Decision(instance, timers_set=list(timers)), [], [], [], packed))
    plan.notes[book.keys.checkpoint(key)] = book.values.pack_checkpoint(order, packed, fired)


def _id(manager: str, order: Order) -> str:
    return f"{manager}:checkpoint:{order.position}.{order.step}.{order.number}.{order.more}"
