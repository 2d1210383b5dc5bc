"""The keys of a process manager's records, which are notes of the write store. Pure; any thread.

What is stored under `pm/NAME/`, and what the code calls it:

    place                    checkpoint: how far the manager has come; the guard of every step
    about                    metadata: its version and where it began
    state/KEY                an instance
    timer/DUE ID             the key of the instance that set a timer
    input/TIME ID            a rejection that waits to be handled
    past/ORDER               history: what was handled beside events, for when the states are rebuilt
    heard/LENGTH KEY ORDER   history index: which records of the history an instance has
    checkpoint/KEY           snapshot of an instance: its state stands for the history that is gone
    fired/ID                 that a timer of that history fired; the snapshot lists them
    indexed                  that the history has an index
    ids                      the name in its ids, if it was renamed
    skipped/ID               what an operator skipped
    unheard                  how many rejections no handler took, and the last of them
    quarantine/KEY           why an instance is set aside
    held/LENGTH KEY ORDER    an input that waits for it; an event by its position alone

and under `outbox/NAME/`, where each key ends with STEP NUMBER:

    due/                     an effect to deliver
    parked/                  one that was given up
    tried/                   how often one failed
    behind/LENGTH KEY        one that is blocked, since an effect of its instance before it is parked

Numbers are big-endian, so that they sort.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from actors.domain.instance_keys import utf8
from actors.errors import InvalidMessage
from actors.process_managers.input_order import Order
from actors.process_managers.inputs import Input, Timer
from storage.limits import MAX_NAME_BYTES
from storage.value_text import short_repr

__all__ = ["RecordKeys", "ids_of", "timer_of_key"]

U64 = struct.Struct(">Q")
U16 = struct.Struct(">H")
EFFECT = struct.Struct(">QI")


class RecordKeys:
    """Of one manager. Attributes are prefixes of many keys, or the key of a single record."""

    def __init__(self, name: str) -> None:
        base, outbox = self.bases = f"pm/{name}/".encode(), f"outbox/{name}/".encode()
        self.checkpoint = base + b"place"
        self.metadata = base + b"about"
        self.states = base + b"state/"
        self.timers = base + b"timer/"
        self.rejections = base + b"input/"
        self.history = base + b"past/"
        self.history_index = base + b"heard/"
        self.snapshots = base + b"checkpoint/"
        self.fired_timers = base + b"fired/"
        self.indexed = base + b"indexed"
        self.ids = base + b"ids"
        self.skipped = base + b"skipped/"
        self.unhandled = base + b"unheard"
        self.quarantines = base + b"quarantine/"
        self.held = base + b"held/"
        self.due = outbox + b"due/"
        self.parked = outbox + b"parked/"
        self.attempts = outbox + b"tried/"
        self.blocked = outbox + b"behind/"

    def state(self, key: str) -> bytes:
        """Of an instance. Raises `InvalidMessage` for what can't be an instance's key."""
        data = utf8(key)
        if not 0 < len(data) <= MAX_NAME_BYTES:
            raise InvalidMessage(
                f"an instance is told by a text of 1 to {MAX_NAME_BYTES} bytes in UTF-8, not "
                f"{short_repr(key)}"
            )
        return self.states + data

    def timer(self, timer: Timer) -> bytes:
        """Of a timer that is set."""
        return self.timer_at(timer.due_us, timer.id)

    def timer_at(self, due_us: int, id: str) -> bytes:
        """Of the timer with this id, due in microseconds since 1970 UTC."""
        return self.timers + U64.pack(due_us) + id.encode()

    def rejection(self, input: Input) -> bytes:
        """Of a rejection that waits to be handled."""
        return self.rejections + U64.pack(input.time_us) + input.id.encode()

    def handled(self, order: Order) -> bytes:
        """Of what was handled there, beside events."""
        return self.history + order.history_suffix()

    def history_index_of(self, key: str) -> bytes:
        """The prefix of the keys of an instance's history index."""
        return _of_instance(self.history_index, key)

    def snapshot(self, key: str) -> bytes:
        """The snapshot of an instance whose state replaces its history, or that ended after it had some."""
        return self.snapshots + utf8(key)

    def fired_timer(self, id: bytes) -> bytes:
        """The mark of a fired timer that an event had set, once its history is dropped."""
        return self.fired_timers + id

    def skip(self, id: str) -> bytes:
        """Of an input that an operator skipped."""
        return self.skipped + id.encode()

    def quarantine(self, key: str) -> bytes:
        """Of an instance that is set aside; `key` as `shown_key` gives it."""
        return self.quarantines + utf8(key)

    def held_of(self, key: str) -> bytes:
        """The prefix of the keys of what waits for an instance; `key` as `shown_key` gives it."""
        return _of_instance(self.held, key)

    def effect(self, step: int, number: int) -> bytes:
        """Of an effect to deliver."""
        return self.due + EFFECT.pack(step, number)

    def attempts_of(self, due: bytes) -> bytes:
        """How often the effect with this key failed."""
        return self.attempts + due[len(self.due) :]

    def blocked_of(self, key: str) -> bytes:
        """The prefix of the keys of the effects of an instance that wait behind a parked one."""
        return _of_instance(self.blocked, key)

    def parse_blocked(self, key: bytes) -> tuple[str, bytes]:
        """The instance of such a key, and its end, which is that of the effect's key."""
        data = key[len(self.blocked) + U16.size :]
        return data[: -EFFECT.size].decode("utf-8", "surrogatepass"), data[-EFFECT.size :]


def _of_instance(prefix: bytes, key: str) -> bytes:
    """The prefix of the records of one instance; the length keeps keys apart that begin alike."""
    data = utf8(key)
    return prefix + U16.pack(len(data)) + data


def timer_of_key(key: bytes, prefix: bytes) -> tuple[int, str]:
    """When a timer is due and its id, of the key of its record."""
    rest = key[len(prefix) :]
    return U64.unpack(rest[: U64.size])[0], rest[U64.size :].decode()


def ids_of(notes: Iterable[tuple[bytes, bytes]], prefix: bytes) -> set[str]:
    """The ids at the end of the keys of these records."""
    return {key[len(prefix) :].decode() for key, _ in notes}
