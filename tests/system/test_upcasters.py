"""What older releases wrote is read as the newest release declares it, wherever events are read."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors import ConsumerMismatch, Rejected, System
from tests.helpers import PATIENCE
from tests.system import stock_versions
from tests.system.stock_versions import KINDS, RELEASES, Operation, first, text_of, third


def some(random: Random, most: int = 40) -> list[Operation]:
    """Operations on two items, of all kinds."""
    return [
        (random.choice(KINDS), random.choice("ab"), random.randint(-9, 9))
        for _ in range(random.randint(1, most))
    ]


def expected(release: int, operation: Operation) -> list[str]:
    """What the third release is to see of an operation that a release wrote: a plain-Python oracle."""
    kind, sku, number = operation
    if kind == "add":
        price, currency, size, shelf = {
            0: (number, "EUR", "SMALL" if number % 2 else "LARGE", sku),
            1: (number, "USD", "SMALL", sku),
            2: (number, "GBP", "LARGE", "B"),
        }[release]
        money = f"_third.<locals>.Money(minor={price}, currency={currency!r})"
        return [f"Added(sku={sku}, name=title {number}, price={money}, size=Size.{size}, shelf={shelf})"]
    if kind == "price":
        currency, reason = (("EUR", "unknown"), ("USD", "unknown"), ("GBP", "sale"))[release]
        return [f"PriceChanged(sku={sku}, minor={number}, currency={currency}, reason={reason})"]
    if kind == "move" and number:
        what = "Received" if number > 0 else "Sold"
        return [f"{what}(sku={sku}, count={abs(number)})", f"Counted(sku={sku}, what={what})"]
    if kind == "blame":
        return [f"Noted(sku={sku}, text=by who {number})"]
    return []


def run(path: Path, release: int, work: list[Operation], **options: Any) -> list[int]:
    """Do operations with a release; returns the positions of the first events."""
    made = RELEASES[release]
    with System.open(path, made.domain, replicas=1, **options) as system:
        return [
            system.execute(made.Change(sku, kind, number), command_id=f"{release}-{index}").first
            for index, (kind, sku, number) in enumerate(work)
        ]


def flat(work: list[list[Operation]]) -> list[str]:
    return [text for release, part in enumerate(work) for one in part for text in expected(release, one)]


def check(system: System, work: list[list[Operation]], texts: list[str]) -> None:
    """Whether all that reads events has what the oracle has."""
    system.wait_applied()
    for query in third.queries:
        assert [text for _, text in system.query(query(), consistency="strong")] == texts
    head = system.health().position
    assert [text_of(recorded.event) for recorded in system.subscribe(until=head)] == texts
    for sku in "ab":
        mine = [one for part in work for one in part if one[1] == sku]
        of_sku = [text for text in texts if f"(sku={sku}," in text]
        assert [text_of(one.event) for one in system.stream(f"item-{sku}")] == of_sku
        count = sum(number for kind, _, number in mine if kind == "move")
        known = any("Added" in text or "Price" in text or "Rec" in text or "Sold" in text for text in of_sku)
        with pytest.raises(Rejected) as refused:
            system.execute(third.Expect(sku))
        assert refused.value.details["count"] == (count if known else None)
        assert refused.value.details["prices"] == [
            number for part in work for kind, _, number in part if kind == "price"
        ]
    assert [text_of(one.event) for one in system.tagged("priced")] == [
        text for text in texts if text.startswith("PriceChanged")
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_store_of_three_releases_is_what_plain_python_says(store_path: Path, seed: int) -> None:
    random = Random(seed)
    work = [some(random) for _ in RELEASES]
    for release, part in enumerate(work):
        run(store_path, release, part)
    texts = flat(work)
    with System.open(store_path, third.domain, replicas=1) as system:
        check(system, work, texts)
        system.rebuild(third.seen, wait=True, timeout=PATIENCE)
        check(system, work, texts)
        for release, part in enumerate(work):
            for index, operation in enumerate(part):
                again = system.execute(
                    third.Change(operation[1], operation[0], operation[2]), command_id=f"{release}-{index}"
                )
                assert [text_of(event) for event in again.events] == expected(release, operation)
    with System.open(store_path, third.domain, replicas=2) as system:
        check(system, work, texts)


@pytest.mark.slow
def test_worker_processes_read_through_upcasters(store_path: Path) -> None:
    work = [[(kind, "a", number) for number in (-2, 0, 3) for kind in KINDS] for _ in range(3)]
    for release in range(3):
        run(store_path, release, work[release])
    with System.open(store_path, stock_versions.third_domain, replicas=2, workers="process") as system:
        check(system, work, flat(work))
        system.rebuild(third.seen, wait=True, timeout=PATIENCE)
        check(system, work, flat(work))


def test_a_consumer_gets_each_part_of_a_split_event_in_turn_and_again_after_a_restart(
    store_path: Path,
) -> None:
    run(store_path, 0, [("move", "a", 2), ("touch", "a", 0), ("move", "a", -1), ("blame", "a", 1)])
    with System.open(store_path, third.domain, replicas=1) as system, system.consumer("mail") as consumer:
        first = next(consumer)
        assert text_of(first.event) == "Received(sku=a, count=2)"
        assert system.consumers()[0].position == 0
        keys = {first.key}
        assert first.ack()
        second = next(consumer)
        assert text_of(second.event) == "Counted(sku=a, what=Received)"
        assert not first.ack()  # settled: it must not settle the other part
        assert second.nak()
        again = next(consumer)
        assert (again.event, again.attempt) == (second.event, 2)
        keys |= {second.key, again.key}
        assert len(keys) == 2
    with System.open(store_path, third.domain, replicas=1) as system, system.consumer("mail") as consumer:
        seen = []
        for delivery in consumer:
            seen.append(text_of(delivery.event))
            delivery.ack(wait=True)
            if delivery.position == system.position:
                break
        assert seen == flat([[("move", "a", 2), ("move", "a", -1), ("blame", "a", 1)]])
        assert system.consumers()[0].position == system.position


def test_a_consumer_of_types_goes_on_under_the_names_that_these_have_now(store_path: Path) -> None:
    run(store_path, 0, [("price", "a", 1), ("move", "a", 3)])
    wanted = {"prices": [first.PriceSet], "moves": [first.Moved]}
    with System.open(store_path, first.domain, replicas=1) as system:
        for name, types in wanted.items():
            system.consumer(name, types=types).close()
    with System.open(store_path, third.domain, replicas=1) as system:
        with system.consumer("prices", types=[third.PriceChanged]) as consumer:
            assert text_of(next(consumer).event) == expected(0, ("price", "a", 1))[0]
        with system.consumer("moves", types=["Counted"]) as consumer:
            assert text_of(next(consumer).event) == "Counted(sku=a, what=Received)"
        with pytest.raises(ConsumerMismatch):
            system.consumer("prices", types=["Noted"])


def test_subscriptions_filter_by_the_names_of_now(store_path: Path) -> None:
    run(store_path, 0, [("price", "a", 1), ("move", "a", 3), ("touch", "a", 1), ("blame", "b", 2)])
    with System.open(store_path, third.domain, replicas=1) as system:
        for types, count in ((["PriceChanged"], 1), (["Counted", "Noted"], 2), (["Sold"], 0)):
            found = list(system.subscribe(types=types, until=system.position))
            assert [one.type for one in found] == [one for one in types if one != "Sold"][:count]
        parts = list(system.subscribe(stream="item-a", until=system.position))
        assert [(one.position, one.part, one.parts) for one in parts] == [(1, 0, 1), (2, 0, 2), (2, 1, 2)]
        assert list(system.subscribe(3 - 1, until=3)) == []
