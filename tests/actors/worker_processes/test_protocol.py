"""The words between a parent and its worker."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.worker_processes.wire import protocol

NUMBERS = st.integers(0, 2**64 - 1)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False)
)
SENT = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 9), inner)
)


def words() -> dict[str, int]:
    return {name: value for name, value in vars(protocol).items() if name.isupper() and type(value) is int}


def test_no_two_words_of_the_control_line_are_the_same() -> None:
    responses = {"RESULTS", "FAILED", "REDIRECT", "REDIRECT_TO_REPLICA"}
    control = [value for name, value in words().items() if name not in responses]
    assert len(control) >= 15
    assert len(set(control)) == len(control)
    assert {words()[name] for name in responses} == {0, 1, 2, 3}


@given(sent=st.lists(SENT))
def test_a_message_arrives_as_it_was_sent(sent: list[Any]) -> None:
    assert protocol.unpack(protocol.pack(protocol.STATE, *sent)) == [protocol.STATE, *sent]


def test_tuples_arrive_as_lists() -> None:
    assert protocol.unpack(protocol.pack(protocol.APPLIED, 7, ("sales", 7, 3))) == [
        protocol.APPLIED,
        7,
        ["sales", 7, 3],
    ]


def test_a_text_that_no_encoding_has_arrives_with_question_marks() -> None:
    """What a worker logs is in nobody's hands."""
    assert protocol.unpack(protocol.pack(protocol.LOGGED, "a\ud800b")) == [protocol.LOGGED, "a?b"]


@given(number=NUMBERS, position=NUMBERS, left=st.floats(allow_nan=False), inline=st.booleans())
def test_the_head_of_a_query_arrives_as_it_was_sent(
    number: int, position: int, left: float, inline: bool
) -> None:
    packed = protocol.QUERY.pack(number, position, left, inline)
    assert protocol.QUERY.unpack(packed) == (number, position, left, inline)
    assert len(packed) == 25


@pytest.mark.parametrize(
    "kind", [protocol.RESULTS, protocol.FAILED, protocol.REDIRECT, protocol.REDIRECT_TO_REPLICA]
)
def test_the_head_of_a_response_arrives_as_it_was_sent(kind: int) -> None:
    head = (2**64 - 1, kind, 3, 2**64 - 1, math.inf)
    assert protocol.RESPONSE.unpack(protocol.RESPONSE.pack(*head)) == head
    assert protocol.RESPONSE.size == 33


def test_the_order_to_die_is_no_query() -> None:
    assert len(protocol.KILL) < protocol.QUERY.size
