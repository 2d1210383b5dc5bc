"""Who is called when replicas get on, and who goes on waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from actors.replication.freshness_waiters import FreshnessWaiters


def named(name: str) -> Callable[[], None]:
    def callback() -> None: ...

    callback.__qualname__ = name
    return callback


def always(models: Sequence[str], position: int) -> bool:
    return True


def test_those_are_taken_whose_position_is_reached_and_whose_replica_is_fresh() -> None:
    waiters = FreshnessWaiters()
    low, high, other = named("low"), named("high"), named("other")
    waiters.add(9, ("m",), high)
    waiters.add(3, ("m",), low)
    waiters.add(3, ("other",), other)
    assert waiters.take_ready(5, lambda models, position: models == ("m",) and position <= 5) == [low]
    assert waiters.take_ready(5, always) == [other]
    assert waiters.take_ready(8, always) == []
    assert waiters.take_ready(9, always) == [high]
    assert not waiters


def test_those_of_a_model_are_taken_whatever_they_ask_for() -> None:
    waiters = FreshnessWaiters()
    mine, both, other = named("mine"), named("both"), named("other")
    waiters.add(9, ("m",), mine)
    waiters.add(1, ("other", "m"), both)
    waiters.add(2, ("other",), other)
    assert set(waiters.take_of("m")) == {mine, both}
    assert waiters.take_all() == [other]
    assert waiters.take_all() == []


def test_one_that_gave_up_is_not_called() -> None:
    waiters = FreshnessWaiters()
    stays, goes = named("stays"), named("goes")
    waiters.add(1, ("m",), goes)
    waiters.add(1, ("m",), stays)
    waiters.forget(goes)
    assert waiters.take_ready(1, always) == [stays]


@given(
    asked=st.lists(st.tuples(st.integers(0, 20), st.sampled_from("mno")), max_size=20),
    reached=st.lists(st.integers(0, 20), max_size=5),
    gone=st.sets(st.integers(0, 19)),
)
def test_each_is_taken_once_at_the_first_position_that_is_enough(
    asked: list[tuple[int, str]], reached: list[int], gone: set[int]
) -> None:
    waiters = FreshnessWaiters()
    callbacks = [named(str(number)) for number in range(len(asked))]
    for (position, model), callback in zip(asked, callbacks, strict=True):
        waiters.add(position, (model,), callback)
    waiting = {number: position for number, (position, _) in enumerate(asked)}
    for number in gone & waiting.keys():
        waiters.forget(callbacks[number])
        del waiting[number]
    for position in reached:
        due = {number for number, wanted in waiting.items() if wanted <= position}
        assert {callbacks.index(one) for one in waiters.take_ready(position, always)} == due
        for number in due:
            del waiting[number]
    assert len(waiters) == len(waiting)
