"""The table of notes knows every kind that the code writes."""

from __future__ import annotations

import ast
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
NO_NOTES = {b"inline/"}
"""Literals that end with a slash and begin no note."""


def prefixes() -> set[bytes]:
    """What looks like the beginning of a note's key anywhere in the code: `b"word/"` and `f"word/...`."""
    found: set[bytes] = set()
    for file in ACTORS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            parts = node.values[:1] if isinstance(node, ast.JoinedStr) else [node]
            for part in parts:
                text = part.value if isinstance(part, ast.Constant) else None
                if isinstance(text, str):
                    text = text.encode() if isinstance(node, ast.JoinedStr) else None
                if isinstance(text, bytes) and text.endswith(b"/") and text[:-1].replace(b"/", b"").isalpha():
                    found.add(text)
    return found - NO_NOTES


def test_every_prefix_in_the_code_is_of_a_known_kind() -> None:
    known = [kind.pattern.encode() for kind in KINDS]
    assert {b"sub/", b"skip/", b"pm/", b"outbox/"} <= prefixes()
    inner = {b"state/", b"timer/", b"input/", b"past/", b"heard/", b"checkpoint/", b"fired/"}
    inner |= {b"skipped/", b"quarantine/", b"held/", b"behind/"}
    unknown = [one for one in prefixes() - inner if not any(pattern.startswith(one) for pattern in known)]
    assert unknown == []


@pytest.mark.parametrize("name", sorted(vars(RecordKeys("worker"))))
def test_every_record_of_a_process_manager_is_of_a_known_kind(name: str) -> None:
    prefix = getattr(RecordKeys("worker"), name)
    assert kind_of(prefix + b"end" if prefix.endswith(b"/") else prefix) is not None


def test_a_key_is_of_one_kind() -> None:
    keys = [
        *(key + b"x" if key.endswith(b"/") else key for key in vars(RecordKeys("a.b-c")).values()),
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
