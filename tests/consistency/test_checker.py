"""Each promise on small histories written by hand: what is fresh enough, and what is one step too old."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consistency.checker import check
from tests.consistency.history import Commit, History, Level, Read, Timeline, Window, Write

# x is 10 from position 1 on, 20 from 3 on; y is 11 from 2 on. Committed at 100, 200 and 300.
CHANGES = [(1, "x", 10), (2, "y", 11), (3, "x", 20)]
COMMITS = [Commit(100, 1), Commit(200, 2), Commit(300, 3)]
SECOND = 1_000_000_000


def answer(cells: dict[str, Any], seen: int, *, at: int = 1_000, **level: Any) -> Read:
    return Read(0, at, at + 10, tuple(cells.items()), Level(**level), seen)


def broken(*reads: Read, writes: list[Write] | None = None, sums: frozenset[str] = frozenset()) -> list[str]:
    history = History(Timeline(CHANGES, COMMITS), writes or [], list(reads), sums)
    return [violation.promise for violation in check(history)]


def test_the_window_of_a_value_is_where_the_log_has_it() -> None:
    timeline = Timeline(CHANGES, COMMITS)
    assert timeline.window("x", None) == Window(0, 1)
    assert timeline.window("x", 10) == Window(1, 3)
    assert timeline.window("x", 20) == Window(3, float("inf"))
    assert timeline.window("y", 10) is None
    assert timeline.window("z", None) == Window(0, float("inf"))


def test_what_is_committed_is_known_from_the_note_on_and_possible_one_commit_earlier() -> None:
    timeline = Timeline(CHANGES, COMMITS)
    assert [timeline.committed(time) for time in (99, 100, 199, 300)] == [0, 1, 1, 3]
    assert [timeline.commit_possible(time) for time in (50, 150, 300)] == [1, 2, 3]


FRESH = {
    "eventual, long ago": answer({"x": None, "y": None}, 0),
    "strong": answer({"x": 20, "y": 11}, 3, strong=True),
    "strong, before the last commit": answer({"x": 10, "y": 11}, 2, at=250, strong=True),
    "after what it shows": answer({"x": 10}, 2, after=2),
    "as far behind as allowed": answer({"x": 10}, 1, lag_positions=1),
    "old for less than was allowed": answer({"x": 10, "y": 11}, 2, at=300 + SECOND // 2, lag_seconds=1.0),
}

STALE = {
    "strong": (answer({"x": 10}, 2, strong=True), ["strong"]),
    "after": (answer({"x": 10}, 2, after=3), ["after"]),
    "too many positions": (answer({"x": None}, 0, lag_positions=2), ["max_lag in positions"]),
    "too many seconds": (answer({"x": 10}, 2, at=300 + SECOND, lag_seconds=1.0), ["max_lag in seconds"]),
    "two moments": (answer({"x": 20, "y": None}, 3), ["one snapshot"]),
    "never written": (answer({"x": 11}, 3), ["committed only"]),
    "not on disk yet": (answer({"x": 20}, 3, at=150), ["committed only"]),
    "of another position than was told": (answer({"x": 10}, 3), ["position told"]),
}


@pytest.mark.parametrize("name", FRESH)
def test_an_answer_that_is_fresh_enough_breaks_nothing(name: str) -> None:
    assert broken(FRESH[name]) == []


@pytest.mark.parametrize("name", STALE)
def test_a_broken_promise_is_named(name: str) -> None:
    read, promises = STALE[name]
    assert broken(read) == promises


def test_an_answer_that_shows_a_part_of_a_command_is_found() -> None:
    # Positions 1 and 2 are of one command.
    timeline = Timeline(CHANGES, COMMITS, [2, 3])
    reads = [
        answer({"x": None, "y": None}, 0),
        answer({"x": 10, "y": None}, 1),
        answer({"x": 10}, 1),
        answer({"x": 10}, 2),
        answer({"x": 20, "y": 11}, 3),
    ]
    found = check(History(timeline, [], reads))
    assert [(violation.promise, violation.read) for violation in found] == [
        ("whole commands", reads[1]),
        ("whole commands", reads[2]),
    ]


def test_strong_sees_what_a_caller_had_a_receipt_of_even_if_nobody_noted_the_commit() -> None:
    write = Write(1, 20, 30, 1, "x", 10)
    assert broken(answer({"x": None}, 0, at=30, strong=True), writes=[write]) == []
    assert broken(answer({"x": None}, 0, at=40, strong=True), writes=[write]) == ["strong", "linearizable"]


def test_a_session_reads_its_own_writes_and_nobody_elses_need_be_seen() -> None:
    own = Write(0, 300, 310, 3, "x", 20, session=0)
    other = Write(1, 300, 310, 3, "x", 20, session=1)
    without = answer({"x": 10}, 2, at=320, session=0)
    assert broken(without, writes=[own]) == ["read your writes"]
    assert broken(without, writes=[other]) == []


def test_a_write_of_unknown_outcome_need_not_be_seen() -> None:
    unknown = Write(0, 300, None, None, "x", 20, session=0)
    assert broken(answer({"x": 10}, 2, at=320, session=0), writes=[unknown]) == []


def test_a_session_never_goes_back_also_not_by_another_cell() -> None:
    new = answer({"x": 20}, 3, at=400, session=0)
    old = answer({"y": None}, 1, at=500, session=0)
    assert broken(new, old) == ["monotonic reads"]
    assert broken(old, answer({"x": 20}, 3, at=600, session=0)) == []
    assert broken(new, answer({"y": None}, 1, at=500, session=1)) == []


def test_amounts_that_have_to_be_equal_are_added_up() -> None:
    changes = [
        (1, "spent/a", (5, 1)),
        (1, "received/b", (5, 1)),
        (2, "spent/b", (2, 1)),
        (2, "received/a", (2, 1)),
    ]
    even = answer({"spent/a": (5, 1), "spent/b": (2, 1), "received/a": (2, 1), "received/b": (5, 1)}, 2)
    odd = answer({"spent/a": (5, 1), "spent/b": None, "received/a": (2, 1), "received/b": (5, 1)}, 1)
    history = History(Timeline(changes, []), [], [even, odd], frozenset({"spent", "received"}))
    assert [(violation.promise, violation.read) for violation in check(history)] == [
        ("sums", odd),
        ("one snapshot", odd),
    ]


def test_a_receipt_that_the_log_contradicts_and_a_value_written_twice_are_found() -> None:
    assert broken(writes=[Write(0, 0, 10, 2, "x", 10)]) == ["written once"]
    twice = History(Timeline([(1, "x", 10), (2, "x", 10)], COMMITS))
    assert [violation.promise for violation in check(twice)] == ["written once"]


# -- a model of the whole ------------------------------------------------------------------------------------
@st.composite
def served(draw: st.DrawFn) -> History:
    """What a right system may do: replicas anywhere behind the log, and each answer from one that is fresh
    enough.
    """
    head, time = 0, 0
    state: dict[str, int | None] = {"x": None, "y": None}
    states = [dict(state)]
    floors = {0: 0, 1: 0}
    changes, commits, writes, reads = [], [], [], []
    for number in range(draw(st.integers(0, 30))):
        time += 10
        session = draw(st.sampled_from([0, 1]))
        if draw(st.booleans()):
            head, cell = head + 1, draw(st.sampled_from(["x", "y"]))
            changes.append((head, cell, number))
            commits.append(Commit(time, head))
            states.append({**states[-1], cell: number})
            known = draw(st.booleans())
            writes.append(
                Write(
                    0, time - 1, time + 1 if known else None, head if known else None, cell, number, session
                )
            )
            if known:
                floors[session] = head
            continue
        kind = draw(st.sampled_from(["eventual", "strong", "after", "positions", "session"]))
        bound = draw(st.integers(0, head))
        level, floor = {
            "eventual": (Level(), 0),
            "strong": (Level(strong=True), head),
            "after": (Level(after=bound), bound),
            "positions": (Level(lag_positions=bound), head - bound),
            "session": (Level(session=session), floors[session]),
        }[kind]
        seen = draw(st.integers(floor, head))
        if kind == "session":
            floors[session] = seen
        reads.append(Read(0, time - 1, time + 1, tuple(states[seen].items()), level, seen))
    return History(Timeline(changes, commits), writes, reads)


@given(served())
def test_what_a_right_system_does_breaks_no_promise(history: History) -> None:
    assert check(history) == []
