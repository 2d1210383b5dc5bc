"""The table of notes knows every kind that the code writes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from actors.migration import note_kinds
from actors.migration.moved_positions import MovedPositions
from actors.migration.note_kinds import KINDS, kind_of
from actors.process_managers.record_keys import RecordKeys
from actors.replication.skipped_events import skip_note
from actors.subscriptions.event_filter import EventFilter
from actors.subscriptions.group_state import GroupState, backlog_key, state_key
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


def test_a_consumer_has_open_what_came_of_its_open_events() -> None:
    state = GroupState(EventFilter(), 2, 3, [(2, 1), (3, 4)])
    [(key, value)] = moved(state_key("mails"), state.encode())
    assert key == state_key("mails")
    assert GroupState.decode("mails", value) == GroupState(EventFilter(), 1, 4, [(2, 4), (3, 4), (4, 4)])
