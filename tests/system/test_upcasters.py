"""What older releases wrote is read as the newest release declares it, wherever events are read."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors import Rejected, System
from tests.helpers import PATIENCE
from tests.system import stock_versions
from tests.system.stock_versions import KINDS, RELEASES, Operation, text_of, third


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
