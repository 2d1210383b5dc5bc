"""A watch asks at every applied position and shows only what changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import UnknownMessage
from actors.demo.shop import Cheapest, ListProduct, RepriceProduct, RestockProduct, shop
from actors.repl.background import AppliedPosition, BackgroundWatch, changed_answers
from actors.system.system import System
from tests.helpers import PATIENCE, Threads, wait_until

ENCODE = shop.compile().codec.pack


@pytest.fixture
def system(store_path: Path) -> Iterator[System]:
    with System.open(store_path, shop, replicas=3) as opened:
        opened.execute(ListProduct("lamp", "Desk lamp", "light", 1999))
        yield opened


@pytest.fixture
def applied(system: System) -> AppliedPosition:
    listener = AppliedPosition()
    system.on_applied(listener)
    return listener


def test_every_change_is_seen_in_order_and_the_last_one_always(
    system: System, applied: AppliedPosition
) -> None:
    seen: list[int] = []

    def watch() -> None:
        for rows, _ in changed_answers(
            system.session(1), applied, Cheapest(1), encode=ENCODE, seconds=PATIENCE
        ):
            seen.append(rows[0]["price"])
            if seen[-1] == 1:
                return

    with Threads() as threads:
        threads.start(watch)
        wait_until(lambda: seen)
        for price in range(200, 0, -1):
            system.execute(RepriceProduct("lamp", price))
    assert seen[0] == 1999
    assert seen[-1] == 1
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)


def test_an_answer_that_did_not_change_is_not_shown_but_was_asked_for(
    system: System, applied: AppliedPosition
) -> None:
    shown: list[int] = []
    asked: list[int] = []

    def watch() -> None:
        for _, position in changed_answers(
            system.session(1), applied, Cheapest(1), encode=ENCODE, count=2, on_answer=asked.append
        ):
            shown.append(position)

    with Threads() as threads:
        threads.start(watch)
        wait_until(lambda: asked == [1])
        system.execute(RestockProduct("lamp", 5))
        wait_until(lambda: 2 in asked)
        assert shown == [1]
        system.execute(RepriceProduct("lamp", 5))
    assert shown == [1, 3]


def test_a_watch_ends_when_its_time_is_over(system: System, applied: AppliedPosition) -> None:
    assert (
        len(list(changed_answers(system.session(1), applied, Cheapest(1), encode=ENCODE, seconds=0.01))) == 1
    )


def test_a_query_that_is_refused_ends_its_watch(system: System, applied: AppliedPosition) -> None:
    with pytest.raises(UnknownMessage):
        list(changed_answers(system.session(), applied, "Cheapest", encode=ENCODE))


def test_a_watch_in_the_background_looks_at_what_is_applied_before_it_stops(
    system: System, applied: AppliedPosition
) -> None:
    seen: list[int] = []

    def run(watch: BackgroundWatch) -> None:
        for rows, _ in changed_answers(
            system.session(1),
            applied,
            Cheapest(1),
            encode=ENCODE,
            stopped=watch.stopped,
            on_answer=watch.answered,
        ):
            seen.append(rows[0]["price"])

    watch = BackgroundWatch("Cheapest", applied, run)
    assert watch.wait_answered(1, PATIENCE)
    system.execute(RepriceProduct("lamp", 5))
    assert watch.stop(system.wait_applied(), PATIENCE)
    assert seen == [1999, 5]
