"""What a client asks its dispatcher for: its holder's promises beside the options of the call, through
middleware.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors import Call, QueryTimeout, SystemClosed
from actors.kernel.running_calls import RunningCalls
from actors.queries.answer import Answer
from actors.queries.options import Consistency, QueryOptions
from actors.queries.query_client import QueryClient
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.session_position import SessionPosition
from actors.queries.view_registry import ViewRegistry

Asked = tuple[list[Any], dict[str, Any]]


class Dispatcher:
    """Answers each query with itself, at the next of some positions, and keeps what it was asked."""

    def __init__(self, *middleware: Any) -> None:
        self.domain = SimpleNamespace(query_middleware=middleware, queries={})
        self.progress = SimpleNamespace(head=9)
        self.tokens = SimpleNamespace(position=int, issue="token-{}".format)
        self.positions = iter(range(5, 100))
        self.asked: list[Asked] = []

    def query(self, queries: Any, options: dict[str, Any]) -> Answer:
        self.asked.append((list(queries), dict(options)))
        position = next(self.positions)
        return Answer(list(queries), position, position)

    async def aquery(self, queries: Any, options: dict[str, Any]) -> Answer:
        return self.query(queries, options)


class Views:
    """Opens views that show position 7."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def open(self, models: Any, options: dict[str, Any]) -> Any:
        self.asked.append((models, options))
        return SimpleNamespace(newest=lambda: 7)


def client_of(
    dispatcher: Dispatcher,
    consistency: Consistency = "eventual",
    require_open: Callable[[], object] = lambda: None,
) -> QueryClient:
    return QueryClient(
        cast(QueryDispatcher, dispatcher),
        cast(ViewRegistry, Views()),
        RunningCalls(),
        require_open,
        consistency,
    )


Ask = Callable[..., Any]


def blocking(client: QueryClient, method: str, *given: Any) -> Any:
    return getattr(client, method)(*given)


def in_a_loop(client: QueryClient, method: str, *given: Any) -> Any:
    return asyncio.run(getattr(client, f"a{method}")(*given))


@pytest.fixture(params=[blocking, in_a_loop])
def ask(request: Any) -> Ask:
    """Asks a client in a thread, or in an event loop."""
    return cast(Ask, request.param)


def test_a_client_that_promises_nothing_more_asks_for_what_it_was_given(ask: Ask) -> None:
    dispatcher = Dispatcher()
    client = client_of(dispatcher)
    assert ask(client, "query", "a", {}) == Answer(["a"], 5, 5)
    assert ask(client, "query_many", ["a", "b"], {"after": 3}) == ["a", "b"]
    assert dispatcher.asked == [(["a"], {}), (["a", "b"], {"after": 3})]


def test_a_default_consistency_holds_unless_a_call_asks_for_another(ask: Ask) -> None:
    dispatcher = Dispatcher()
    client = client_of(dispatcher, "strong")
    ask(client, "query", "a", {"timeout": 1})
    ask(client, "query", "a", {"consistency": "eventual"})
    ask(client, "query_many", ["a"], {})
    assert [options for _, options in dispatcher.asked] == [
        {"timeout": 1, "consistency": "strong"},
        {"consistency": "eventual"},
        {"consistency": "strong"},
    ]


def test_a_sessions_client_shows_what_it_saw_and_sees_what_is_shown(ask: Ask) -> None:
    dispatcher = Dispatcher()
    session = SessionPosition(2)
    client = client_of(dispatcher).for_session(session)
    ask(client, "query", "a", {})
    assert session.value == 5
    ask(client, "query_many", ["a", "b"], {"after": 8})
    ask(client, "query", "a", {"after": 1})
    assert [options["after"] for _, options in dispatcher.asked] == [2, 8, 6]
    assert session.value == 7
    assert client.view([], {}).newest() == 7


def test_a_sessions_client_keeps_the_default_consistency() -> None:
    dispatcher = Dispatcher()
    client_of(dispatcher, "strong").for_session(SessionPosition(2)).query("a", {})
    assert dispatcher.asked == [(["a"], {"consistency": "strong", "after": 2})]


def test_of_no_queries_nothing_is_asked(ask: Ask) -> None:
    dispatcher = Dispatcher()
    assert ask(client_of(dispatcher), "query_many", [], {}) == []
    assert dispatcher.asked == []


def test_with_middleware_each_of_many_is_asked_on_its_own_after_what_the_one_before_showed(ask: Ask) -> None:
    seen: list[dict[str, Any]] = []

    def doubled(call: Call) -> Iterator[None]:
        seen.append(dict(call.options))
        yield
        yield

    dispatcher = Dispatcher(doubled)
    session = SessionPosition(1)
    client = client_of(dispatcher).for_session(session)
    assert ask(client, "query_many", ["a", "b"], {"timeout": 5}) == ["a", "b"]
    assert seen == [{"timeout": 5, "after": 1}, {"timeout": 5, "after": 6}]
    assert [queries for queries, _ in dispatcher.asked] == [["a"], ["a"], ["b"], ["b"]]
    assert session.value == 8


def test_an_answer_of_middleware_itself_shows_no_position_and_asks_nothing(ask: Ask) -> None:
    def answers(call: Call) -> Any:
        return "mine"
        yield

    dispatcher = Dispatcher(answers)
    session = SessionPosition(3)
    assert ask(client_of(dispatcher).for_session(session), "query", "a", {}) == Answer(["mine"], 0, 0)
    assert (session.value, dispatcher.asked) == (3, [])


def test_the_time_of_a_call_is_shared_by_the_attempts_of_its_middleware(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(call: Call) -> Iterator[None]:
        yield
        yield

    now = iter([0.0, 1.0, 4.0])
    monkeypatch.setattr("actors.queries.call_time.time", SimpleNamespace(monotonic=lambda: next(now)))
    dispatcher = Dispatcher(again)
    with pytest.raises(QueryTimeout, match="was not asked"):
        ask(client_of(dispatcher), "query", "a", {"timeout": 3})
    assert [options for _, options in dispatcher.asked] == [{"timeout": 2.0}]


@pytest.mark.parametrize("method", ["query", "query_many"])
def test_an_option_that_a_method_does_not_have_is_refused_with_its_name(ask: Ask, method: str) -> None:
    with pytest.raises(TypeError, match=rf"^a?{method}\(\) has no option 'fresh'"):
        ask(client_of(Dispatcher()), method, ["a"], cast(QueryOptions, {"fresh": True}))


def test_one_query_in_place_of_several_is_refused(ask: Ask) -> None:
    with pytest.raises(TypeError, match=r"query_many\(\) takes a list"):
        ask(client_of(Dispatcher()), "query_many", 7, {})


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.query("a", {}),
        lambda client: asyncio.run(client.aquery("a", {})),
        lambda client: client.query_many(["a"], {}),
        lambda client: asyncio.run(client.aquery_many(["a"], {})),
        lambda client: client.view([], {}),
        lambda client: client.position_of(1, "after"),
        lambda client: client.token(1),
    ],
    ids=["query", "aquery", "query_many", "aquery_many", "view", "position_of", "token"],
)
@pytest.mark.parametrize("in_session", [False, True])
def test_nothing_is_asked_once_the_system_can_not_be_used(call: Any, in_session: bool) -> None:
    def closed() -> None:
        raise SystemClosed("closed")

    dispatcher = Dispatcher()
    client = client_of(dispatcher, require_open=closed)
    if in_session:
        client = client.for_session(SessionPosition(0))
    with pytest.raises(SystemClosed):
        call(client)
    assert dispatcher.asked == []
    assert client.head == 9


def test_a_sessions_position_never_goes_back() -> None:
    session = SessionPosition(4)
    session.reach(3)
    assert session.value == 4
    session.reach(6)
    assert session.value == 6
