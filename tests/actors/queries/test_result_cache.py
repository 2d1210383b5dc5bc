from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.health import CacheHealth
from actors.queries.recording_view import Span
from actors.queries.result_cache import OVERHEAD, ResultCache, total_health
from storage.codec.codec import Codec


class State:
    """A replica, as far as the cache can see: by model its checkpoint, and by table what changed last."""

    def __init__(self, checkpoint: int, changed: dict[str, int], build: str = "b") -> None:
        self._checkpoint, self._changed, self._build = checkpoint, changed, build

    def build(self, model: str) -> str:
        return self._build

    def checkpoint(self, model: str) -> int:
        return self._checkpoint

    def changed(self, model: str, name: str = "") -> int:
        return self._changed[name]


def spans(state: State, *names: str) -> tuple[Span, ...]:
    return tuple(
        Span("m", name, state.build("m"), state.changed("m", name), state.checkpoint("m")) for name in names
    )


@pytest.fixture
def cache() -> ResultCache:
    return ResultCache(Codec(), 100_000)


def ask(cache: ResultCache, key: bytes, state: State, target: int = 0) -> Any:
    answer = cache.answer([key], ["m"], target, [state])
    return None if answer is None else answer.results[0]


def test_an_entry_lasts_until_a_table_that_it_came_from_changes(cache):
    at = State(10, {"t": 7, "u": 10})
    cache.put(b"k", "rows", spans(at, "t"))
    assert ask(cache, b"k", at) == "rows"
    assert ask(cache, b"k", State(50, {"t": 7, "u": 50})) == "rows"
    assert ask(cache, b"k", State(50, {"t": 11, "u": 7})) is None


def test_an_entry_answers_for_a_replica_that_is_behind_but_not_before_the_change(cache):
    cache.put(b"k", "rows", spans(State(10, {"t": 7}), "t"))
    assert ask(cache, b"k", State(7, {"t": 7})) == "rows"
    assert ask(cache, b"k", State(6, {"t": 2})) is None


def test_an_entry_of_one_build_never_answers_for_another(cache):
    cache.put(b"k", "rows", spans(State(10, {"t": 7}, "one"), "t"))
    assert ask(cache, b"k", State(10, {"t": 7}, "two")) is None
    assert ask(cache, b"k", State(10, {"t": 7}, "one")) == "rows"


def test_only_a_state_that_is_as_fresh_as_asked_answers_and_says_how_far_it_is(cache):
    cache.put(b"k", "rows", spans(State(10, {"t": 7}), "t"))
    states = [State(8, {"t": 7}), State(12, {"t": 7}), State(20, {"t": 7})]
    assert cache.answer([b"k"], ["m"], 11, states) == (["rows"], 12, 12)
    assert cache.answer([b"k"], ["m"], 21, states) is None
    assert cache.answer([b"k"], ["m"], 0, []) is None


def test_several_queries_are_answered_from_one_state_or_not_at_all(cache):
    cache.put(b"k", "old", spans(State(10, {"t": 7}), "t"))
    cache.put(b"l", "new", spans(State(20, {"u": 15}), "u"))
    # Each is right for one of these, both for neither.
    states = [State(10, {"t": 7, "u": 3}), State(20, {"t": 18, "u": 15})]
    assert cache.answer([b"k", b"l"], ["m"], 0, states) is None
    both = State(16, {"t": 7, "u": 15})
    assert cache.answer([b"k", b"l"], ["m"], 0, [*states, both]) == (["old", "new"], 16, 16)


@given(st.lists(st.integers(1, 40), max_size=12), st.data())
def test_an_answer_is_always_what_the_tables_of_that_state_give(positions, data):
    """Tables as functions of the position, states with any upper bound that is allowed: no entry is ever
    wrong.
    """
    dice = random.Random(data.draw(st.integers()))
    changes = {name: sorted(dice.sample(positions, dice.randrange(len(positions) + 1))) for name in "tu"}

    def content(name: str, checkpoint: int) -> int:
        return max((one for one in changes[name] if one <= checkpoint), default=0)

    def state() -> State:
        checkpoint = dice.randrange(45)
        return State(checkpoint, {name: dice.randint(content(name, checkpoint), checkpoint) for name in "tu"})

    cache = ResultCache(Codec(), 100_000)
    for _ in range(60):
        now = state()
        touched = dice.choice([("t",), ("u",), ("t", "u")])
        right = [content(name, now.checkpoint("m")) for name in touched]
        key = repr(touched).encode()
        found = ask(cache, key, now)
        assert found is None or found == right
        if found is None:
            cache.put(key, right, spans(now, *touched))
            # What was found at this very state is kept, unless something newer is.
            assert ask(cache, key, now) in (right, None)


def test_the_least_recently_used_go_first_and_the_bound_holds(cache):
    at = State(1, {"t": 1})
    cache = ResultCache(Codec(), 3 * (OVERHEAD + 1 + 102))
    for key in (b"a", b"b", b"c"):
        cache.put(key, bytes(100), spans(at, "t"))
    assert cache.health().entries == 3
    assert ask(cache, b"a", at) is not None
    cache.put(b"d", bytes(100), spans(at, "t"))
    assert [ask(cache, key, at) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    health = cache.health()
    assert health.entries == 3
    assert health.bytes <= health.max_bytes
    cache.put(b"e", bytes(10_000), spans(at, "t"))
    assert (cache.health().entries, cache.health().uncacheable) == (3, 1)


def test_a_larger_result_in_the_place_of_a_smaller_one_is_counted_anew(cache):
    cache.put(b"k", "x", spans(State(1, {"t": 1}), "t"))
    before = cache.health().bytes
    cache.put(b"k", "x" * 51, spans(State(2, {"t": 2}), "t"))
    assert cache.health().bytes - before in range(50, 54)
    assert cache.health().entries == 1


def test_a_replica_that_is_behind_does_not_drive_out_what_the_others_use(cache):
    cache.put(b"k", "new", spans(State(10, {"t": 9}), "t"))
    cache.put(b"k", "old", spans(State(8, {"t": 3}), "t"))
    assert ask(cache, b"k", State(11, {"t": 9})) == "new"


def test_what_can_not_be_encoded_or_depends_on_more_than_tables_is_counted_and_not_kept(cache):
    at = State(1, {"t": 1})
    cache.put(b"k", object(), spans(at, "t"))
    cache.put(b"k", "rows", None)
    assert cache.key(object()) is None
    health = cache.health()
    assert (health.entries, health.bytes, health.uncacheable) == (0, 0, 3)


def test_every_hit_is_a_copy_of_its_own(cache):
    at = State(1, {"t": 1})
    result = {"rows": [(1, "a")]}
    cache.put(b"k", result, spans(at, "t"))
    result["rows"].clear()
    first = ask(cache, b"k", at)
    assert first == {"rows": [(1, "a")]}
    first["rows"].clear()
    assert ask(cache, b"k", at) == {"rows": [(1, "a")]}


def test_hits_and_misses_are_counted_by_query(cache):
    at = State(1, {"t": 1})
    assert cache.health().hit_ratio == 0.0
    cache.put(b"k", 1, spans(at, "t"))
    assert cache.answer([b"k", b"k"], ["m"], 0, [at]) is not None
    assert cache.find(b"k", at) == (1,)
    # Who does not find it goes on to a query actor, which looks for itself.
    assert cache.answer([b"l"], ["m"], 0, [at]) is None
    assert cache.find(b"l", at) is None
    assert cache.find(b"k", State(3, {"t": 2})) is None
    health = cache.health()
    assert (health.hits, health.misses, health.hit_ratio) == (3, 2, 0.6)


def test_a_state_whose_models_are_apart_answers_nothing(cache):
    class Apart(State):
        def checkpoint(self, model: str) -> int:
            return self._checkpoint - (model == "n")

    cache.put(b"k", "rows", spans(State(10, {"t": 7}), "t"))
    states = [Apart(30, {"t": 7}), State(11, {"t": 7})]
    assert cache.answer([b"k"], ["m", "n"], 0, states) == (["rows"], 11, 11)


def test_the_figures_of_several_caches_are_added_up():
    assert total_health([]) is None
    one = CacheHealth(3, 1, 0.75, 2, 100, 1000, 1)
    assert total_health([one]) == one
    assert total_health([one, CacheHealth(0, 4, 0.0, 1, 50, 1000, 0)]) == CacheHealth(
        3, 5, 0.375, 3, 150, 2000, 1
    )
    assert total_health([CacheHealth(0, 0, 0.0, 0, 0, 1000, 0)] * 2).hit_ratio == 0.0
