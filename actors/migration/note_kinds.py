"""Every kind of note that a store has, and how each one follows when positions change. Pure; any thread.

`KINDS` is the list. A copy refuses a note of a kind that is not in it: it may hold a position. A test
compares it with what the code writes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actors.migration.moved_positions import MovedPositions
from actors.process_managers.input_order import ORDER_BYTES, Order
from actors.process_managers.inputs import REJECTION
from actors.process_managers.records import Checkpoint
from storage.codec.json_form import pack_stored, unpack_stored

__all__ = ["KINDS", "NoteKind", "StoredNote", "kind_of"]

U16 = struct.Struct(">H")
U64 = struct.Struct(">Q")
EVENT_ID = re.compile(r"[^:]+:([0-9]{1,19})(?:\.([0-9]+))?")
"""The id of the input that an event is: its position, and its part if upcasters make several of it."""

StoredNote = tuple[bytes, bytes]
Moved = Iterator[StoredNote]


def kept(_moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """It holds no position."""
    yield key, value


def left_out(_moved: MovedPositions, _key: bytes, _value: bytes) -> Moved:
    """It is of the original alone."""
    yield from ()


# -- skipped events and consumers ----------------------------------------------------------------------------
def skip(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`skip/MODEL/POSITION`: every event that came of the skipped one is skipped."""
    prefix, _, position = key.rpartition(b"/")
    for event in moved.events(int(position)):
        yield b"%s/%020d" % (prefix, event), value


def unskips(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`unskips/MODEL`: how often skips of a model were taken back, and the position of the last one."""
    fields = unpack_stored(value)
    events = moved.events(fields["position"])
    position = events[0] if events else moved.checkpoint(fields["position"])
    yield key, pack_stored({**fields, "position": position})


def consumer(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`sub/NAME/state`: a position that is open is open for all that came of its event."""
    number, wanted, start, through, open_positions = unpack_stored(value)
    if isinstance(start, int):
        start = moved.checkpoint(start)
    open_now = [[event, failed] for position, failed in open_positions for event in moved.events(position)]
    yield key, pack_stored([number, wanted, start, moved.checkpoint(through), open_now])


def schema_domain(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`schema/domain`: from which position on it is known which types were written.

    In a copy that is its end, as a function may have written others.
    """
    yield key, pack_stored({**unpack_stored(value), "since": moved.checkpoint(moved.mapping.head)})


# -- process managers ----------------------------------------------------------------------------------------
def manager_checkpoint(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`place`: of the next event some parts may be handled, if upcasters make several events of it."""
    checkpoint = Checkpoint.unpack(value)
    position, part = checkpoint.position, checkpoint.part
    if part and len(moved.events(position + 1)) != 1:
        part = 0
    yield key, checkpoint._replace(position=moved.checkpoint(position), part=part).pack()


def manager_metadata(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`about`: where it began, up to where its states are rebuilt, and the last record that was replayed."""
    version, start, until, *more = unpack_stored(value)
    if len(more) > 1 and more[1]:
        prefix = _prefix(key) + b"past/"
        more[1] = prefix + moved.history_suffix(more[1][len(prefix) :])
    yield key, pack_stored([version, moved.checkpoint(start), moved.checkpoint(until), *more])


def instance(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`state/KEY`: the ids of its timers."""
    yield key, _instance(moved, _manager(key), value)


def timer(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`timer/DUE ID`"""
    prefix = _prefix(key) + b"timer/"
    due, id = key[len(prefix) : len(prefix) + U64.size], key[len(prefix) + U64.size :].decode()
    yield prefix + due + moved.id(_manager(key), id).encode(), value


def rejection(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`input/TIME ID`"""
    prefix = _prefix(key) + b"input/"
    at, id = key[len(prefix) : len(prefix) + U64.size], key[len(prefix) + U64.size :].decode()
    manager = _manager(key)
    yield prefix + at + moved.id(manager, id).encode(), _input(moved, manager, value)


def history(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`past/ORDER`"""
    prefix = _prefix(key) + b"past/"
    yield prefix + moved.history_suffix(key[len(prefix) :]), _input(moved, _manager(key), value)


def history_index(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`heard/LENGTH KEY ORDER`: the value is the id of a fired timer, or empty."""
    before, suffix = _of_instance(key, _prefix(key) + b"heard/")
    yield before + moved.history_suffix(suffix), moved.id(_manager(key), value.decode()).encode()


def snapshot(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`checkpoint/KEY`: an order, a packed state, and the ids of timers that fired."""
    manager = _manager(key)
    order, state, *fired = unpack_stored(value)
    moved_fired = [[moved.id(manager, id.decode()).encode() for id in ids] for ids in fired]
    packed = None if state is None else _instance(moved, manager, state)
    yield key, pack_stored([list(moved.order(Order(*order))), packed, *moved_fired])


def fired_timer(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`fired/ID`"""
    prefix = _prefix(key) + b"fired/"
    yield prefix + moved.id(_manager(key), key[len(prefix) :].decode()).encode(), value


def skipped_input(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`skipped/ID`: all that came of a skipped event is skipped."""
    prefix, manager = _prefix(key) + b"skipped/", _manager(key)
    id = key[len(prefix) :].decode()
    found = EVENT_ID.fullmatch(id)
    if found is None:
        yield prefix + moved.id(manager, id).encode(), value
        return
    for event in moved.events(int(found[1])):
        yield prefix + moved.id_of_event(manager, event, int(found[2] or 0)).encode(), value


def quarantine(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`quarantine/KEY`: the order and the id of the input that failed."""
    order, id, *more = unpack_stored(value)
    yield key, pack_stored([list(moved.order(Order(*order))), moved.id(_manager(key), id), *more])


def held(moved: MovedPositions, key: bytes, value: bytes) -> Moved:
    """`held/LENGTH KEY ORDER`: an event is held by its position alone; of another input the record is."""
    manager = _manager(key)
    prefix, order = key[:-ORDER_BYTES], Order.unpack(key[-ORDER_BYTES:])
    silent, id, packed = unpack_stored(value)
    if packed is not None:
        moved_input = _input(moved, manager, packed)
        record = [silent, moved.id(manager, id), moved_input]
        yield prefix + moved.order(order).pack(), pack_stored(record)
        return
    for event in moved.events(order.position):
        moved_id = moved.id_of_event(manager, event, order.number)
        yield prefix + order._replace(position=event).pack(), pack_stored([silent, moved_id, None])


def _input(moved: MovedPositions, manager: str, value: bytes) -> bytes:
    """The record of a rejection, a timer or a checkpoint; its id is the fourth."""
    record = unpack_stored(value)
    # Of a rejection it is the id of the command, of which its own is made.
    ending = REJECTION if record[0] == "rejection" else ""
    record[3] = moved.id(manager, record[3] + ending).removesuffix(ending) if record[3] else record[3]
    return pack_stored(record)


def _instance(moved: MovedPositions, manager: str, value: bytes) -> bytes:
    state, timers = unpack_stored(value)
    return pack_stored([state, [[due, moved.id(manager, id), *more] for due, id, *more in timers]])


def _manager(key: bytes) -> str:
    return key.split(b"/", 2)[1].decode()


def _prefix(key: bytes) -> bytes:
    """`pm/NAME/` of a manager's key."""
    return b"/".join(key.split(b"/", 2)[:2]) + b"/"


def _of_instance(key: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """A key up to the instance's, and the rest."""
    start = len(prefix) + U16.size
    [length] = U16.unpack(key[len(prefix) : start])
    return key[: start + length], key[start + length :]


# -- the list ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class NoteKind:
    """Notes whose keys begin like `pattern`, in which a word in capitals stands for a name without a slash.

    `move` gives the notes that take the place of one; None for what needs the logs themselves.
    """

    pattern: str
    move: Callable[[MovedPositions, bytes, bytes], Moved] | None

    def matches(self, key: bytes) -> bool:
        """Whether a note of this key is of the kind."""
        wanted = self.pattern.encode().split(b"/")
        given = key.split(b"/", len(wanted) - 1)
        # The last part is what a key ends with, or may begin with.
        return len(given) == len(wanted) and all(
            part.isupper() or part == one for part, one in zip(wanted, given, strict=True)
        )


KINDS = (
    NoteKind("skip/MODEL/POSITION", skip),
    NoteKind("unskips/MODEL", unskips),
    NoteKind("sub/NAME/state", consumer),
    NoteKind("sub/NAME/behind/STREAM", None),
    NoteKind("pm/NAME/place", manager_checkpoint),
    NoteKind("pm/NAME/about", manager_metadata),
    NoteKind("pm/NAME/state/KEY", instance),
    NoteKind("pm/NAME/timer/DUE", timer),
    NoteKind("pm/NAME/input/TIME", rejection),
    NoteKind("pm/NAME/past/ORDER", history),
    NoteKind("pm/NAME/heard/KEY", history_index),
    NoteKind("pm/NAME/checkpoint/KEY", snapshot),
    NoteKind("pm/NAME/fired/ID", fired_timer),
    NoteKind("pm/NAME/indexed", kept),
    NoteKind("pm/NAME/ids", kept),
    NoteKind("pm/NAME/skipped/ID", skipped_input),
    NoteKind("pm/NAME/unheard", kept),
    NoteKind("pm/NAME/quarantine/KEY", quarantine),
    NoteKind("pm/NAME/held/KEY", held),
    NoteKind("outbox/NAME/due/STEP", kept),
    NoteKind("outbox/NAME/parked/STEP", kept),
    NoteKind("outbox/NAME/tried/STEP", kept),
    NoteKind("outbox/NAME/behind/KEY", kept),
    NoteKind("closed/STREAM", kept),
    NoteKind("kept/STREAM", left_out),
    NoteKind("store/identity", kept),
    NoteKind("store/keys", kept),
    NoteKind("store/destroyed/ID", kept),
    NoteKind("store/restored", kept),
    NoteKind("store/forgotten-ids", left_out),
    NoteKind("schema/domain", schema_domain),
    NoteKind("schema/written/NAME", left_out),
    NoteKind("schema/KIND/NAME", kept),
    NoteKind("copy/map/BUCKET", left_out),
    NoteKind("copy/about", left_out),
)
"""An effect keeps its id, by which who gets it knows it."""


def kind_of(key: bytes) -> NoteKind | None:
    """The kind of the note with this key, None for one that is not known."""
    return next((kind for kind in KINDS if kind.matches(key)), None)
