"""The inputs of instances beside events, kept for a rebuild of their states, and how they are dropped. Pure.

They are dropped once their instance has ended, and once it has very many; a snapshot takes their place: the
state, or that there is none, and what came before it. The manager's thread calls it.
"""

from __future__ import annotations

import re

from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input
from actors.process_managers.note_reader import NoteReader
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import InstanceSnapshot
from actors.process_managers.step_plan import StepPlan
from storage import EventLog

__all__ = ["INDEXED", "InputHistory", "index_history"]

MAX_HISTORY = 1_000
"""Inputs that are kept of an instance until its state takes their place."""
MAX_FIRED_TIMERS = 1_000
"""The last timers of an instance that are remembered as fired: with another key they are not set again."""
MAX_CACHED_SNAPSHOTS = 10_000
"""Instances of which it is in memory up to where their snapshots go."""
SET_BY_EVENT = re.compile(r"[^:]+:[0-9]+(?:\.[0-9]+)?:t[0-9]+")
"""The id of a timer that an event set."""
NO_ID = b""
INDEXED = b"1"
CHUNK = 1_000


class InputHistory:
    """Of one incarnation of a manager, as the plans made so far leave it."""

    def __init__(self, keys: RecordKeys, records: RecordCodec, notes: NoteReader) -> None:
        self._keys = keys
        self._records = records
        self._notes = notes
        self._entries: dict[str, dict[bytes, bytes]] = {}
        self._fired: dict[str, list[bytes]] = {}
        self._snapshots: dict[str, Order | None] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How much is in memory, about."""
        return self._size + len(self._entries) + len(self._fired)

    def evict(self, key: str | None = None) -> None:
        """Drop what is in memory, of one instance or of all; no step that changes it is in flight."""
        if key is None:
            self._entries.clear()
            self._fired.clear()
            self._size = 0
        else:
            self._size -= len(self._entries.pop(key, ()))

    def entries(self, key: str) -> dict[bytes, bytes]:
        """Those of an instance, by the ends of their keys; the value is the id of a fired timer that an event
        had set, or empty.
        """
        found = self._entries.get(key)
        if found is None:
            prefix = self._keys.history_index_of(key)
            notes = self._notes.notes(prefix)
            found = self._entries[key] = {note[len(prefix) :]: value for note, value in notes}
            self._size += len(found)
        return found

    def record(self, plan: StepPlan, input: Input, order: Order) -> None:
        """Keep a rejection or a firing that is handled, or held, at this place of the order."""
        suffix = order.history_suffix()
        fired = _fired_timer(input)
        self.entries(input.key)[suffix] = fired
        self._size += 1
        plan.notes[self._keys.history + suffix] = self._records.pack_handled(input)
        plan.notes[self._keys.history_index_of(input.key) + suffix] = fired
        plan.history_count += 1

    def replace_by_snapshot(self, plan: StepPlan, key: str, order: Order, state: bytes | None) -> None:
        """Replace an instance's history up to `order` by its state then, None for none."""
        entries = self.entries(key)
        known = self._fired_of(key)
        before, listed = len(known), set(known)
        gone = [suffix for suffix in entries if Order.of_history_suffix(suffix) <= order]
        for suffix in gone:
            fired = entries.pop(suffix)
            plan.notes[self._keys.history + suffix] = None
            plan.notes[self._keys.history_index_of(key) + suffix] = None
            if fired:
                plan.notes[self._keys.fired_timer(fired)] = b""
                if fired not in listed:
                    known.append(fired)
        for fired in known[:-MAX_FIRED_TIMERS]:
            plan.notes[self._keys.fired_timer(fired)] = None
        del known[:-MAX_FIRED_TIMERS]
        snapshot = InstanceSnapshot(order, state, known)
        plan.notes[self._keys.snapshot(key)] = self._records.pack_snapshot(snapshot)
        self._size += len(known) - before - len(gone)
        if state is None:
            self.evict(key)

    def _fired_of(self, key: str) -> list[bytes]:
        """The ids of the timers that fired, according to an instance's snapshot."""
        if key not in self._fired:
            value = self._notes.note(self._keys.snapshot(key))
            self._fired[key] = [] if value is None else self._records.snapshot(value).fired
            self._size += len(self._fired[key])
        return self._fired[key]

    def snapshot_order(self, key: str) -> Order | None:
        """Up to where an instance's snapshot covers its inputs, None for no snapshot; during a rebuild."""
        if key not in self._snapshots:
            if len(self._snapshots) > MAX_CACHED_SNAPSHOTS:
                self._snapshots.clear()
            value = self._notes.note(self._keys.snapshot(key))
            self._snapshots[key] = None if value is None else self._records.snapshot(value).order
        return self._snapshots[key]

    def has_fired(self, id: str) -> bool:
        """Whether a timer that an event set has fired, though its history is dropped."""
        return (
            SET_BY_EVENT.fullmatch(id) is not None
            and self._notes.note(self._keys.fired_timer(id.encode())) is not None
        )


def _fired_timer(input: Input) -> bytes:
    """The id of a timer that fires and that an event set."""
    return input.id.encode() if input.kind == "timer" and SET_BY_EVENT.fullmatch(input.id) else NO_ID


def index_history(log: EventLog, keys: RecordKeys, records: RecordCodec) -> None:
    """Index, once, what earlier checkouts kept without an index. The opener's thread; raises what the log
    does.
    """
    if log.note(keys.indexed) is not None:
        return
    after = b""
    while found := log.notes(keys.history, after, CHUNK):
        after = found[-1][0]
        index = []
        for note, value in found:
            input = records.input(value)
            suffix = note[len(keys.history) :]
            index.append((keys.history_index_of(input.key) + suffix, _fired_timer(input)))
        log.append([], notes=index)
    log.append([], notes=[(keys.indexed, INDEXED)])
