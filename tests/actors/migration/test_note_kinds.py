"""The table of notes knows every kind that the code writes."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from actors import Rejection
from actors.migration import note_kinds
from actors.migration.moved_positions import NOWHERE, MovedPositions
from actors.migration.note_kinds import KINDS, kind_of
from actors.process_managers.input_order import EVENT, OTHER, Order
from actors.process_managers.inputs import Input, Instance, Timer
from actors.process_managers.record_codec import RecordCodec
from actors.process_managers.record_keys import RecordKeys
from actors.process_managers.records import Checkpoint, InstanceSnapshot, ManagerMetadata
from actors.replication.skipped_events import skip_note, unskip_notes
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.group_keys import backlog_key, state_key
from actors.subscriptions.group_state import GroupState
from storage import Codec
from storage.codec.json_form import unpack_stored
from tests.actors.migration.test_position_mapping import MOVED

ACTORS = Path(note_kinds.__file__).parents[1]
KEY = re.compile(r"/?[a-z]+/[a-z/]*")
NOT_COPIED = {"copy/progress"}
"""Of a copy that is not complete, and is refused as an original."""


WORDS = {word for kind in KINDS for word in kind.pattern.split("/") if not word.isupper()}
"""The words of which keys of notes are made."""


def literals() -> set[str]:
    """What looks like a part of a note's key anywhere in the code, as `b"sub/"` and `f"pm/{name}/"`."""
    found: set[str] = set()
    for file in ACTORS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                found.add(node.value.decode(errors="replace"))
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "encode"
                and isinstance(node.func.value, ast.JoinedStr)
            ):
                parts = (one.value for one in node.func.value.values if isinstance(one, ast.Constant))
                found.update(part for part in parts if isinstance(part, str))
    return {one for one in found if KEY.fullmatch(one)} - NOT_COPIED


def test_the_words_of_every_key_in_the_code_are_those_of_a_known_kind() -> None:
    found = {word for literal in literals() for word in literal.split("/") if word}
    assert {"sub", "skip", "pm", "outbox", "due", "schema", "behind"} <= found
    assert found - WORDS == set()


RECORDS = {name: key for name, key in vars(RecordKeys("worker")).items() if isinstance(key, bytes)}


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_every_record_of_a_process_manager_is_of_a_known_kind(name: str) -> None:
    prefix = RECORDS[name]
    assert kind_of(prefix + b"end" if prefix.endswith(b"/") else prefix) is not None


def test_a_key_is_of_one_kind() -> None:
    keys = [
        *(key + b"x" if key.endswith(b"/") else key for key in RECORDS.values()),
        state_key("mails"),
        backlog_key("mails", "order/1"),
        skip_note("model", 7, "")[0],
    ]
    assert [sum(kind.matches(key) for kind in KINDS) for key in keys] == [1] * len(keys)
    assert kind_of(b"pm/x/other/y") is None
    assert kind_of(b"other") is None
    assert kind_of(b"sub/mails/states") is None


def moved(key: bytes, value: bytes, positions: MovedPositions = MOVED) -> list[tuple[bytes, bytes]]:
    kind = kind_of(key)
    assert kind is not None
    assert kind.move is not None
    return list(kind.move(positions, key, value))


def test_a_skipped_event_that_was_split_is_skipped_in_all_parts() -> None:
    for position, expected in ((1, [1]), (2, []), (3, [2, 3, 4])):
        key, value = skip_note("shelf/of a model", position, "bad")
        keys = [skip_note("shelf/of a model", one, "bad")[0] for one in expected]
        assert moved(key, value) == [(one, value) for one in keys]


def test_a_skip_that_was_taken_back_has_the_position_of_now() -> None:
    for position, expected in ((3, 2), (2, 1)):
        [_, (key, value)] = unskip_notes("model", position, 7)
        assert value is not None
        [(moved_key, moved_value)] = moved(key, value)
        assert moved_key == key
        assert unpack_stored(moved_value) == {**unpack_stored(value), "position": expected}


def test_a_consumer_has_open_what_came_of_its_open_events() -> None:
    state = GroupState(EventFilter(), 2, 3, [(2, 1), (3, 4)])
    [(key, value)] = moved(state_key("mails"), state.encode())
    assert key == state_key("mails")
    assert GroupState.decode("mails", value) == GroupState(EventFilter(), 1, 4, [(2, 4), (3, 4), (4, 4)])


KEYS = RecordKeys("m")
RECORDS_OF = RecordCodec(Codec(), 2)
DROPPED = f"m:{NOWHERE + 2}"


def test_a_manager_goes_on_after_what_came_of_its_events() -> None:
    [(_, value)] = moved(KEYS.checkpoint, Checkpoint(3, 9, 1, 2, 3, 1).pack())
    assert Checkpoint.unpack(value) == Checkpoint(4, 9, 1, 2, 3, 1)
    # The next event is split in the copy: its parts begin again.
    [(_, value)] = moved(KEYS.checkpoint, Checkpoint(2, 9, part=1).pack())
    assert Checkpoint.unpack(value) == Checkpoint(1, 9)


def test_a_rebuild_goes_on_where_it_was() -> None:
    suffix = Order(3, OTHER, 5, 1).history_suffix()
    codec = Codec()
    before = ManagerMetadata(4, 1, 3, False, KEYS.history + suffix, b"pm/m/checkpoint/x", {"Placed": "order"})
    [(key, value)] = moved(KEYS.metadata, before.pack(codec))
    after = KEYS.history + Order(4, OTHER, 5, 1).history_suffix()
    assert key == KEYS.metadata
    assert ManagerMetadata.unpack(codec, value) == dataclasses.replace(
        before, until=4, replayed_through=after
    )
    [(_, value)] = moved(KEYS.metadata, ManagerMetadata(4, 3).pack(codec))
    assert ManagerMetadata.unpack(codec, value) == ManagerMetadata(4, 4)


def test_the_history_and_its_index_follow_together() -> None:
    timer = Input("timer", "m:3:t0", "a/b", None, 7, None, "k", version=2)
    rejection = Input(
        "rejection", "m:2:0:mark:r", "a/b", Rejection("x", "code", "text", {}), 7, "m:2:0:mark", "k"
    )
    for order, moved_order in (
        (Order(3, OTHER, 5, 1), Order(4, OTHER, 5, 1)),
        (Order(2, EVENT, 0, 0, 1), Order(1, OTHER, 0, 2, 1)),
    ):
        for input, id in ((timer, "m:2:t0"), (rejection, f"{DROPPED}:0:mark:r")):
            [(key, value)] = moved(KEYS.handled(order), RECORDS_OF.pack_handled(input))
            assert key == KEYS.handled(moved_order)
            assert RECORDS_OF.input(value).id == id
        index = KEYS.history_index_of("a/b")
        [(key, value)] = moved(index + order.history_suffix(), b"m:3:t0")
        assert (key, value) == (index + moved_order.history_suffix(), b"m:2:t0")
        assert moved(index + order.history_suffix(), b"")[0][1] == b""


def test_a_waiting_rejection_has_one_id_in_its_key_and_in_its_record() -> None:
    rejection = Input(
        "rejection", "m:3:0:mark:r", "a", Rejection("x", "code", "text", {}), 7, "m:3:0:mark", None
    )
    [(key, value)] = moved(KEYS.rejection(rejection), RECORDS_OF.pack_input(rejection))
    read = RECORDS_OF.input(value)
    assert (read.id, read.causation) == ("m:2:0:mark:r", "m:2:0:mark")
    assert key == KEYS.rejection(read)


def test_a_snapshot_has_its_order_its_timers_and_what_fired() -> None:
    state = RECORDS_OF.pack_instance(Instance("state", (Timer(9, "m:3:t0", "message", None),)))
    for order, state_before in ((Order(3), state), (Order(3, OTHER, 5, 1), None)):
        before = InstanceSnapshot(order, state_before, [b"m:3:t1", b"m:2:t0"])
        [(_, value)] = moved(KEYS.snapshot("a/b"), RECORDS_OF.pack_snapshot(before))
        after = RECORDS_OF.snapshot(value)
        assert after.order == MOVED.order(order)
        assert after.fired == [b"m:2:t1", f"{DROPPED}:t0".encode()]
        if after.state is not None:
            assert RECORDS_OF.instance(after.state).timers == (Timer(9, "m:2:t0", "message", None),)
    assert moved(KEYS.fired_timer(b"m:3:t1"), b"") == [(KEYS.fired_timer(b"m:2:t1"), b"")]


def test_a_skipped_input_is_skipped_in_all_parts() -> None:
    for id, expected in (
        ("m:3", ["m:2", "m:3", "m:4"]),
        ("m:3.1", ["m:2.1", "m:3.1", "m:4.1"]),
        ("m:2", []),
        ("m:3:t0", ["m:2:t0"]),
        ("m:3:0:mark:r", ["m:2:0:mark:r"]),
    ):
        assert moved(KEYS.skip(id), b"why") == [(KEYS.skip(one), b"why") for one in expected]


def test_what_is_held_waits_in_its_order() -> None:
    prefix = KEYS.held_of("a/b")
    event = Input("event", "m:3", "a/b", None, 0, None, None, 3)
    found = moved(prefix + Order(3).pack(), RECORDS_OF.pack_held(event, silent=True))
    assert [(Order.unpack(key[len(prefix) :]), RECORDS_OF.held(value)) for key, value in found] == [
        (Order(position), (True, f"m:{position}", None)) for position in (2, 3, 4)
    ]
    assert moved(prefix + Order(2).pack(), RECORDS_OF.pack_held(event, silent=True)) == []
    timer = Input("timer", "m:3:t0", "a/b", "message", 7, None, "k", version=2)
    [(key, value)] = moved(prefix + Order(3, OTHER, 5).pack(), RECORDS_OF.pack_held(timer, silent=False))
    silent, id, packed = RECORDS_OF.held(value)
    assert (Order.unpack(key[len(prefix) :]), silent, id) == (Order(4, OTHER, 5), False, "m:2:t0")
    assert packed is not None
    assert RECORDS_OF.input(packed).id == "m:2:t0"


def test_what_knows_no_position_stays_as_it_is() -> None:
    for key in (KEYS.indexed, KEYS.unhandled, KEYS.effect(1, 2), KEYS.parked + b"x", KEYS.blocked + b"x"):
        assert moved(key, b"value") == [(key, b"value")]
