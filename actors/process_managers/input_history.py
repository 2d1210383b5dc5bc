"""What instances have heard beside events, kept for when their states are built anew, and how it goes again. Pure.

It goes once its instance has ended, and once an instance has heard very much; a checkpoint takes its place: the state, or that
there is none, and what came before it. The manager's thread calls it.
"""

from __future__ import annotations

import re

from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.records import NoteReader, RecordKeys
from actors.process_managers.step_plan import StepPlan
from storage import EventLog

__all__ = ["INDEXED", "InputHistory", "index_history"]

MAX_HISTORY = 1_000
"""What an instance may have heard until its state takes the place of that."""
MAX_FIRED_TIMERS = 1_000
"""Of how many timers, the last of an instance, it stays known that they fired: with another key they are not set again."""
MAX_CACHED_SNAPSHOTS = 10_000
"""Instances whose checkpoints are in memory."""
OF_EVENT = re.compile(r"[^:]+:[0-9]+:t[0-9]+")
"""The id of a timer that an event set."""
NO_ID = b""
INDEXED = b"1"
CHUNK = 1_000


class InputHistory:
    """Of one incarnation of a manager, as the plans made so far leave them."""

    def __init__(self, keys: RecordKeys, values: RecordCodec, notes: NoteReader) -> None:
        self._keys = keys
        self._values = values
        self._notes = notes
        self._heard: dict[str, dict[bytes, bytes]] = {}
        self._fired: dict[str, list[bytes]] = {}
        self._checkpoints: dict[str, Order | None] = {}
        self._count = 0

    @property
    def known(self) -> int:
        """How much is in memory, about."""
        return self._count + len(self._heard) + len(self._fired)

    def forget(self, key: str | None = None) -> None:
        """Let go of what is in memory, of one instance or of all; no step that changes it is in flight."""
        if key is None:
            self._heard.clear()
            self._fired.clear()
            self._count = 0
        else:
            self._count -= len(self._heard.pop(key, ()))

    def heard(self, key: str) -> dict[bytes, bytes]:
        """By the ends of their keys; the id of one that is a firing of a timer which an event set."""
        found = self._heard.get(key)
        if found is None:
            prefix = self._keys.heard_by(key)
            notes = self._notes.notes(prefix)
            found = self._heard[key] = {note[len(prefix) :]: value for note, value in notes}
            self._count += len(found)
        return found

    def remember(self, plan: StepPlan, input: Input, order: Order) -> None:
        """Keep a rejection or a firing that is handled, or held, at this place."""
        end = order.past()
        fired = _fired(input)
        self.heard(input.key)[end] = fired
        self._count += 1
        plan.notes[self._keys.pasts + end] = self._values.pack_past(input)
        plan.notes[self._keys.heard_by(input.key) + end] = fired
        plan.pasts += 1

    def prune(self, plan: StepPlan, key: str, order: Order, state: bytes | None) -> None:
        """Have the state that an instance has after this place, None for none, stand for all that it heard up to there."""
        heard = self.heard(key)
        known = self._fired_of(key)
        before, listed = len(known), set(known)
        gone = [end for end in heard if Order.of_past(end) <= order]
        for end in gone:
            fired = heard.pop(end)
            plan.notes[self._keys.pasts + end] = None
            plan.notes[self._keys.heard_by(key) + end] = None
            if fired:
                plan.notes[self._keys.fired_at(fired)] = b""
                if fired not in listed:
                    known.append(fired)
        for fired in known[:-MAX_FIRED_TIMERS]:
            plan.notes[self._keys.fired_at(fired)] = None
        del known[:-MAX_FIRED_TIMERS]
        plan.notes[self._keys.checkpoint(key)] = self._values.pack_checkpoint(order, state, known)
        self._count += len(known) - before - len(gone)
        if state is None:
            self.forget(key)

    def _fired_of(self, key: str) -> list[bytes]:
        """The ids of the timers of which an instance's checkpoint tells that they fired."""
        if key not in self._fired:
            value = self._notes.note(self._keys.checkpoint(key))
            self._fired[key] = [] if value is None else self._values.checkpoint(value)[2]
            self._count += len(self._fired[key])
        return self._fired[key]

    def checkpoint(self, key: str) -> Order | None:
        """Up to where an instance's checkpoint stands for what it was told; while states are built anew."""
        if key not in self._checkpoints:
            if len(self._checkpoints) > MAX_CACHED_SNAPSHOTS:
                self._checkpoints.clear()
            value = self._notes.note(self._keys.checkpoint(key))
            self._checkpoints[key] = None if value is None else self._values.checkpoint(value)[0]
        return self._checkpoints[key]

    def has_fired(self, id: str) -> bool:
        """Whether a timer fired that an event set, and what tells of it is gone."""
        return (
            OF_EVENT.fullmatch(id) is not None
            and self._notes.note(self._keys.fired_at(id.encode())) is not None
        )


def _fired(input: Input) -> bytes:
    """The id of a timer that fires and that an event set."""
    return input.id.encode() if input.kind == "timer" and OF_EVENT.fullmatch(input.id) else NO_ID


def index_history(log: EventLog, keys: RecordKeys, values: RecordCodec) -> None:
    """Have what checkouts of old kept of instances found by these, once. The opener's thread; raises what the log does."""
    if log.note(keys.indexed) is not None:
        return
    after = b""
    while found := log.notes(keys.pasts, after, CHUNK):
        after = found[-1][0]
        index = []
        for note, value in found:
            input = values.input(value)
            index.append((keys.heard_by(input.key) + note[len(keys.pasts) :], _fired(input)))
        log.append([], notes=index)
    log.append([], notes=[(keys.indexed, INDEXED)])
