"""When many queries of one caller go to several workers, and how they are cut."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from actors.worker_processes.parent.fan_out import FIRST_PAUSE, LONGEST_PAUSE, FanOut


def asked(*names: str) -> list[Any]:
    return [(number, cast(Any, SimpleNamespace(name=name))) for number, name in enumerate(names)]


def test_what_was_never_measured_is_not_shared() -> None:
    assert FanOut(4).parts(asked(*["a"] * 1000)) == 1


def test_what_takes_long_is_shared_among_as_many_as_it_is_worth() -> None:
    fan_out = FanOut(4)
    fan_out.note_cost(asked("a", "a"), 0.0004)
    assert fan_out.parts(asked(*["a"] * 4)) == 1
    assert fan_out.parts(asked(*["a"] * 6)) == 2
    assert fan_out.parts(asked(*["a"] * 1000)) == 4
    fan_out.note_cost(asked("b"), 10.0)
    assert fan_out.parts(asked("b")) == 1


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=60), st.integers(2, 6))
def test_the_parts_are_all_queries_in_order_and_none_is_empty(names: list[str], parts: int) -> None:
    parts = min(parts, len(names))
    fan_out = FanOut(parts)
    for name, cost in zip("abc", (0.001, 0.01, 0.1), strict=True):
        fan_out.note_cost(asked(name), cost)
    queries = asked(*names)
    cut = fan_out.split(queries, parts)
    assert len(cut) == parts
    assert all(cut)
    assert [one for part in cut for one in part] == queries


def test_parts_take_about_as_long_as_each_other() -> None:
    fan_out = FanOut(2)
    fan_out.note_cost(asked("slow"), 0.01)
    fan_out.note_cost(asked("quick"), 0.001)
    first, second = fan_out.split(asked(*["slow"] * 10, *["quick"] * 100), 2)
    assert (len(first), len(second)) == (10, 100)


def test_after_a_failure_it_is_left_for_longer_and_longer_until_it_goes_well() -> None:
    now = 0.0
    fan_out = FanOut(2, lambda: now)
    queries = asked(*["a"] * 10)
    fan_out.note_cost(queries, 1.0)
    pauses = []
    for _ in range(12):
        assert fan_out.parts(queries) == 2
        fan_out.diverged()
        began = now
        while fan_out.parts(queries) == 1:
            now += FIRST_PAUSE / 2
        pauses.append(now - began)
    assert pauses[0] <= 2 * FIRST_PAUSE
    assert all(later >= pause - FIRST_PAUSE for pause, later in itertools.pairwise(pauses))
    assert LONGEST_PAUSE <= pauses[-1] <= LONGEST_PAUSE + FIRST_PAUSE
    fan_out.note_success(queries, 1.0)
    fan_out.diverged()
    now += FIRST_PAUSE
    assert fan_out.parts(queries) == 2
