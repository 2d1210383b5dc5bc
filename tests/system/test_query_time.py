"""The time limit of a query belongs to the call: the turns of middleware share it, and so do queries asked
together.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import ConsistencyTimeout, Domain, QueryTimeout, System
from tests.helpers import PATIENCE, wait_until

NEVER = 1_000_000
"""A position that no test comes to."""


def asking(around: Callable[[Any], Any]) -> SimpleNamespace:
    """A `domain` with this middleware around its query `Ask`, which gives its number."""
    domain = Domain("asking")

    @domain.event(state=None)
    class Happened:
        number: int

    model = domain.read_model("model")
    rows = model.table("rows", key="number")

    @model.on(Happened)
    def on_happened(event: Any, tables: Any) -> None:
        tables[rows].put({"number": event.number})

    @domain.query(reads=[model], timeout=PATIENCE)
    class Ask:
        number: int = 0

        def run(self, _view: Any) -> int:
            return self.number

    domain.around_query(around)
    return SimpleNamespace(domain=domain, Ask=Ask)


def _query(system: System, queries: list[Any], **options: Any) -> Any:
    return [system.query(query, **options) for query in queries]


def _aquery(system: System, queries: list[Any], **options: Any) -> Any:
    return [asyncio.run(system.aquery(query, **options)) for query in queries]


def _query_many(system: System, queries: list[Any], **options: Any) -> Any:
    return system.query_many(queries, **options)


def _aquery_many(system: System, queries: list[Any], **options: Any) -> Any:
    return asyncio.run(system.aquery_many(queries, **options))


def _in_session(system: System, queries: list[Any], **options: Any) -> Any:
    with system.session() as session:
        return session.query_many(queries, **options)


ONE = [_query, _aquery]
SEVERAL = [_query_many, _aquery_many, _in_session]


@pytest.mark.parametrize("way", [*ONE, *SEVERAL])
def test_the_turns_of_a_middleware_share_the_time_of_the_query(store_path: Path, way: Any) -> None:
    turns: list[type[Exception]] = []

    def thrice(_call: Any) -> Iterator[None]:
        for _ in range(3):
            try:
                return (yield)
            except (ConsistencyTimeout, QueryTimeout) as error:
                turns.append(type(error))
        yield

    made = asking(thrice)
    with System.open(store_path, made.domain, replicas=1) as system:
        with pytest.raises(QueryTimeout, match=r"Ask was not asked: the 0\.05 s of its call are over"):
            way(system, [made.Ask()], after=NEVER, timeout=0.05)
        # The first waits for what does not come, the others are not asked any more.
        assert turns == [ConsistencyTimeout, QueryTimeout, QueryTimeout]


@pytest.mark.parametrize("way", [*ONE, *SEVERAL])
def test_a_query_whose_middleware_took_all_the_time_is_not_asked(store_path: Path, way: Any) -> None:
    def slow(_call: Any) -> Iterator[None]:
        end = time.monotonic() + 0.1
        wait_until(lambda: time.monotonic() > end)
        yield

    made = asking(slow)
    with System.open(store_path, made.domain, replicas=1) as system:
        with pytest.raises(QueryTimeout, match="not asked"):
            way(system, [made.Ask()], timeout=0.05)
        assert way(system, [made.Ask(1), made.Ask(2)]) == [1, 2]


@pytest.mark.parametrize("way", SEVERAL)
def test_queries_that_are_asked_together_share_the_time_with_middleware_too(
    store_path: Path, way: Any
) -> None:
    def each(call: Any) -> Iterator[None]:
        if call.message.number:
            end = time.monotonic() + 0.3
            wait_until(lambda: time.monotonic() > end)
        yield

    made = asking(each)
    with System.open(store_path, made.domain, replicas=1) as system, pytest.raises(QueryTimeout):
        # Each would come within 0.5 s, were they asked one after the other.
        way(system, [made.Ask(1), made.Ask(2), made.Ask(3)], timeout=0.5)


@pytest.mark.parametrize("way", [*ONE, *SEVERAL])
def test_query_middleware_that_never_gives_up_ends_with_the_time(store_path: Path, way: Any) -> None:
    def for_ever(_call: Any) -> Iterator[None]:
        while True:
            with contextlib.suppress(Exception):
                return (yield)

    made = asking(for_ever)
    with System.open(store_path, made.domain, replicas=1) as system, pytest.raises(QueryTimeout):
        way(system, [made.Ask()], after=NEVER, timeout=0.05)


def test_a_time_that_a_middleware_gives_counts_from_the_call(store_path: Path) -> None:
    def strict(call: Any) -> Iterator[None]:
        call.options["timeout"] = 0.05
        end = time.monotonic() + 0.1
        wait_until(lambda: time.monotonic() > end)
        yield

    made = asking(strict)
    with System.open(store_path, made.domain, replicas=1) as system, pytest.raises(QueryTimeout):
        system.query(made.Ask())
