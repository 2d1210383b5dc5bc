"""Commands and queries leave nothing that only the garbage collector would find: it stops all threads while
it looks.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors import Rejected, System
from benchmarks.domain import ChangePrice, ListProduct, ProductBySku, catalog, products, shop

COUNT = 50


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System.open(tmp_path / "shop", shop, replicas=2) as system:
        system.execute_many([ListProduct(f"sku-{number}", "lamp", 1) for number in range(COUNT)])
        system.wait_applied()
        yield system


def left_behind(work: Callable[[], object]) -> list[str]:
    """The types of what is ours in the unreachable cycles that the work leaves."""
    work()  # what is made once is made now
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        work()
        gc.collect()
        return [
            type(found).__qualname__
            for found in gc.garbage
            if type(found).__module__.startswith(("actors", "storage", "benchmarks"))
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def changes(system: System, number: int) -> list[ChangePrice]:
    return [ChangePrice(f"sku-{sku}", number * COUNT + sku) for sku in range(COUNT)]


def execute(system: System) -> None:
    for command in changes(system, 1):
        system.execute(command)


def submit(system: System) -> None:
    for future in [system.submit(command) for command in changes(system, 2)]:
        future.result(timeout=20)


def execute_many(system: System) -> None:
    system.execute_many(changes(system, 3))


def be_refused(system: System) -> None:
    for _ in range(COUNT):
        with suppress(Rejected):
            system.execute(ChangePrice("unknown", 1))


def query(system: System) -> None:
    for number in range(COUNT):
        system.query(ProductBySku(f"sku-{number}"))


def query_many(system: System) -> None:
    system.query_many([ProductBySku(f"sku-{number}") for number in range(COUNT)])


def view(system: System) -> None:
    for _ in range(COUNT):
        with system.view(catalog) as view:
            view[products].get("sku-1")


@pytest.mark.parametrize("work", [execute, submit, execute_many, be_refused, query, query_many, view])
def test_nothing_is_left_for_the_collector(system: System, work: Callable[[System], object]) -> None:
    def work_and_apply() -> None:
        work(system)
        system.wait_applied()

    assert left_behind(work_and_apply) == []
