"""What a query's `run` gets is what its bytes say, however it was asked: the caller's objects are never
shared with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from actors import Domain, QueryFailed, System
from actors.testing import given, happened
from tests.helpers import PATIENCE, wait_until

diary = Domain("diary")


@diary.event(state=None)
class Noted:
    day: int


pages = diary.read_model("pages")
days = pages.table("days", key="day")
notes = diary.read_model("notes", inline=True)
lines = notes.table("lines", key="day")


@pages.on
def on_noted(event: Noted, tables: Any) -> None:
    tables[days].put({"day": event.day})


@notes.on
def on_noted_inline(event: Noted, tables: Any) -> None:
    tables[lines].put({"day": event.day})


def told(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"


@diary.query(reads=[pages])
class Tell:
    """What it holds when it runs; it takes from its list, as a run may."""

    what: Any
    spare: list[int]

    def run(self, view: Any) -> list[Any]:
        self.spare.append(min(len(view[days]), 1))
        return [told(self.what), self.spare]


@diary.query(reads=[pages], cache=True)
class TellCached:
    what: Any
    spare: list[int]

    def run(self, view: Any) -> list[Any]:
        self.spare.append(min(len(view[days]), 1))
        return [told(self.what), self.spare]


@diary.query(reads=[notes])
class TellInline:
    what: Any
    spare: list[int]

    def run(self, view: Any) -> list[Any]:
        self.spare.append(min(len(view[lines]), 1))
        return [told(self.what), self.spare]


@diary.query(reads=[pages], cache=True)
class TheDayAfter:
    at: Any

    def run(self, view: Any) -> str:
        len(view[days])
        return str((self.at + timedelta(days=1)).isoformat())


@diary.query(reads=[pages], cache=True)
class InOrder:
    numbers: frozenset[int]

    def run(self, view: Any) -> list[int]:
        len(view[days])
        return list(self.numbers)


@diary.value
class Fussy:
    """Takes a bytearray, and not the bytes that it comes back as."""

    what: Any

    def __post_init__(self) -> None:
        if type(self.what) is bytes:
            raise ValueError("no bytes")


@diary.query(reads=[pages], cache=True)
class Give:
    """Its result is of types that come back as others."""

    kind: str

    def run(self, view: Any) -> Any:
        len(view[days])
        return {
            "bytearray": lambda: bytearray(b"abc"),
            "memoryview": lambda: [memoryview(b"abc")],
            "zone": lambda: {"at": (datetime(2026, 3, 28, 12, tzinfo=BERLIN), 1)},
            "plain": lambda: [
                {"day": 1, "at": datetime(2026, 3, 28)},
                (1, frozenset({2})),
                [None, 1.5, b"x"],
            ],
            "fussy": lambda: Fussy(bytearray(b"abc")),
            "position": lambda: bytearray(b"abc") if view.position() else None,
        }[self.kind]()


@diary.query(reads=[pages])
class Picky:
    """Takes what is no text, and comes back as one."""

    what: Any

    def __post_init__(self) -> None:
        if type(self.what) is bytes:
            raise ValueError("no bytes")

    def run(self, view: Any) -> int:
        return len(view[days])


Workers = Literal["thread", "process"]
BERLIN = ZoneInfo("Europe/Berlin")
SUMMER = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
"""A day later the clock there has been put forward."""
WINTER = SUMMER.replace(tzinfo=timezone(timedelta(hours=1)))


@pytest.fixture(scope="module", params=["thread", "process"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    path = tmp_path_factory.mktemp("diaries") / "diary"
    with System.open(path, diary, replicas=1, workers=request.param) as system:
        system.append("diary", [Noted(1)])
        system.wait_applied()
        yield system


def watched(system: System, query: Any) -> Any:
    with system.watch(query) as watch:
        return next(watch)


WAYS: dict[str, Callable[[System, Any], Any]] = {
    "query": lambda system, query: system.query(query),
    "query_at": lambda system, query: system.query_at(query)[0],
    "query_many": lambda system, query: system.query_many([query, query])[1],
    "aquery": lambda system, query: asyncio.run(system.aquery(query)),
    "aquery_many": lambda system, query: asyncio.run(system.aquery_many([query, query]))[1],
    "session": lambda system, query: system.session().query(query),
    "watch": watched,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", [Tell, TellCached, TellInline])
def test_a_run_gets_what_the_bytes_of_the_query_say_and_leaves_the_callers_objects_alone(
    system: System, cls: Any, way: str
) -> None:
    ask = WAYS[way]
    for what, as_decoded in (
        (SUMMER, told(WINTER)),
        (bytearray(b"ab"), told(b"ab")),
        ((memoryview(b"ab"), [SUMMER]), told((b"ab", [WINTER]))),
        ("ab", told("ab")),
    ):
        query = cls(what, [7])
        assert ask(system, query) == ask(system, query) == [as_decoded, [7, 1]]
        assert query.spare == [7]
        assert query.what is what


def test_queries_of_equal_bytes_have_equal_answers_whichever_was_asked_first(tmp_path: Path) -> None:
    workers: tuple[Workers, ...] = ("thread", "process")
    # Two numbers of one hash slot: which comes first tells in which order the set was made.
    ascending, descending = frozenset([0, 8]), frozenset([8, 0])
    assert list(ascending) != list(descending)
    answers = set()
    orders = set()
    for worker in workers:
        for turn in (1, -1):
            with System.open(tmp_path / f"{worker}{turn}", diary, replicas=1, workers=worker) as system:
                answers |= {system.query(TheDayAfter(at)) for at in (SUMMER, WINTER)[::turn]}
                orders |= {tuple(system.query(InOrder(one))) for one in (ascending, descending)[::turn]}
                wait_until(lambda: system.health().cache.hits == 2)
    assert answers == {"2026-03-29T12:00:00+01:00"}
    assert len(orders) == 1
    assert given(diary).query(TheDayAfter(SUMMER)) in answers


def test_the_test_kit_gives_a_run_its_own_query() -> None:
    query = Tell(bytearray(b"ab"), [7])
    for _ in range(2):
        assert given(diary, happened(Noted(1), stream="diary")).query(query) == [told(b"ab"), [7, 1]]
    assert query.spare == [7]


@pytest.mark.parametrize("cls", [Tell, TellCached])
def test_what_a_caller_does_to_a_query_that_waits_is_not_asked_for(system: System, cls: Any) -> None:
    async def ask() -> Any:
        query = cls("it", [7])
        after = system.position + 1
        asked = asyncio.ensure_future(system.aquery(query, after=after, timeout=PATIENCE))
        await asyncio.sleep(0)  # it runs up to where it waits
        query.spare.append(8)
        await asyncio.to_thread(system.append, "diary", [Noted(2)])
        return await asked

    assert asyncio.run(ask()) == [told("it"), [7, 1]]


@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "zone", "plain", "position"])
def test_the_first_answer_of_a_cached_query_has_the_types_of_the_hits(system: System, kind: str) -> None:
    first, *others = [told(system.query(Give(kind))) for _ in range(3)]
    assert others == [first, first]
    assert not any(kind in first for kind in ("bytearray", "memoryview", "zoneinfo"))


def test_a_result_that_does_not_come_back_from_its_bytes_is_not_kept(tmp_path: Path) -> None:
    with System.open(tmp_path / "diary", diary, replicas=1) as system:
        for _ in range(2):
            assert system.query(Give("fussy")).what == bytearray(b"abc")
        cache = system.health().cache
        assert (cache.hits, cache.entries, cache.uncacheable) == (0, 0, 2)


def test_a_query_whose_class_refuses_what_it_held_fails_and_says_why(system: System) -> None:
    assert system.query(Picky(1)) > 0
    with pytest.raises(QueryFailed, match=r"no bytes"):
        system.query(Picky(bytearray(b"ab")))


def test_a_query_without_an_encoding_runs_in_threads_with_lists_of_its_own(tmp_path: Path) -> None:
    class Unknown:
        """The codec does not know it."""

    with System.open(tmp_path / "diary", diary, replicas=1) as system:
        system.append("diary", [Noted(1)])
        system.wait_applied()
        for cls in (Tell, TellCached, TellInline):
            query = cls(Unknown(), [7])
            for _ in range(2):
                answer = system.query(query, consistency="strong")
                assert (answer[0].partition(" ")[0], answer[1]) == ("Unknown", [7, 1])
            assert query.spare == [7]
