"""The client that sends queries: for a system, its sessions and watches, and a system of the test kit.

Its holder is promised more than a call asks for: a default consistency and, in a session, everything that the
session wrote and saw. A query goes through the domain's middleware to the dispatcher. Callers' threads and
event loops; a method for event loops shares everything but the waiting with the one above it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from actors.domain import middleware
from actors.domain.call_options import checked, several
from actors.domain.middleware import Call
from actors.domain.read_model import ReadModel
from actors.kernel.running_calls import RunningCalls
from actors.queries.answer import Answer
from actors.queries.call_time import CallTime
from actors.queries.consistency import position_of
from actors.queries.options import After, Consistency, QueryOptions
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.session_position import SessionPosition
from actors.queries.view import View
from actors.queries.view_registry import ViewRegistry

__all__ = ["QueryClient"]

NOTHING = Answer([], 0, 0)
"""An answer that middleware gives by itself shows no position."""


class QueryClient:
    """Sends queries for its holder, through middleware, and as fresh as the holder is promised.

    `options` are those of one call, in a dict that only this call has. Each method raises if the system can't
    be used any more.
    """

    def __init__(
        self,
        dispatcher: QueryDispatcher,
        views: ViewRegistry,
        running: RunningCalls,
        require_open: Callable[[], object],
        consistency: Consistency = "eventual",
        session: SessionPosition | None = None,
    ) -> None:
        """`running` shows the middleware that runs; `require_open` raises once the system can't be used."""
        self.dispatcher = dispatcher
        self._views = views
        self._running = running
        self._require_open = require_open
        self._consistency = consistency
        self._session = session
        self._promises_more = session is not None or consistency != "eventual"
        self._middleware = dispatcher.domain.query_middleware

    def for_session(self, session: SessionPosition) -> QueryClient:
        """A client whose answers show what the session wrote and saw, and count as seen by it."""
        return QueryClient(
            self.dispatcher, self._views, self._running, self._require_open, self._consistency, session
        )

    # -- queries -----------------------------------------------------------------------------
    def query(self, query: Any, options: QueryOptions) -> Answer:
        """The answer to one query."""
        given = self._given(options, "query")
        if self._middleware:
            return self._run(query, given, CallTime(self.dispatcher.domain, [query]))
        answer = self.dispatcher.query([query], given)
        if self._session is not None:
            self._session.reach(answer.newest)
        return answer

    async def aquery(self, query: Any, options: QueryOptions) -> Answer:
        """As `query`, for event loops."""
        given = self._given(options, "aquery")
        if self._middleware:
            return await self._arun(query, given, CallTime(self.dispatcher.domain, [query]))
        answer = await self.dispatcher.aquery([query], given)
        if self._session is not None:
            self._session.reach(answer.newest)
        return answer

    def query_many(self, queries: Iterable[Any], options: QueryOptions) -> list[Any]:
        """The results of several queries, all on one snapshot; with middleware each is asked on its own."""
        given = self._given(options, "query_many")
        asked = list(several(queries, "query_many", "query"))
        if self._middleware:
            time = CallTime(self.dispatcher.domain, asked)
            return [self._run(one, self._fresh(options), time).results[0] for one in asked]
        answer = self.dispatcher.query(asked, given) if asked else NOTHING
        if self._session is not None:
            self._session.reach(answer.newest)
        return answer.results

    async def aquery_many(self, queries: Iterable[Any], options: QueryOptions) -> list[Any]:
        """As `query_many`, for event loops."""
        given = self._given(options, "aquery_many")
        asked = list(several(queries, "aquery_many", "query"))
        if self._middleware:
            time = CallTime(self.dispatcher.domain, asked)
            return [(await self._arun(one, self._fresh(options), time)).results[0] for one in asked]
        answer = await self.dispatcher.aquery(asked, given) if asked else NOTHING
        if self._session is not None:
            self._session.reach(answer.newest)
        return answer.results

    def view(self, models: Sequence[ReadModel], options: QueryOptions) -> View:
        """A snapshot of these models, or of all where none is given."""
        view = self._views.open(models, self._given(options, "view"))
        if self._session is not None:
            self._session.reach(view.newest())
        return view

    # -- positions ---------------------------------------------------------------------------
    @property
    def head(self) -> int:
        """The last committed position, also once the system is closed."""
        return self.dispatcher.progress.head

    def position_of(self, after: After, option: str) -> int:
        """The position of a receipt, a position or a session's token. Raises as `consistency.position_of`."""
        self._require_open()
        return position_of(after, option, self.dispatcher.tokens)

    def token(self, position: int) -> str:
        """The session's token for a position."""
        self._require_open()
        return self.dispatcher.tokens.issue(position)

    # -- what a call asks for ----------------------------------------------------------------
    def _given(self, options: QueryOptions, method: str) -> dict[str, Any]:
        """The options for the dispatcher. Raises for an option that `method` does not have."""
        self._require_open()
        if options:
            checked(options, QueryOptions, method)
        return self._fresh(options) if self._promises_more else options  # type: ignore[return-value]

    def _fresh(self, options: QueryOptions) -> dict[str, Any]:
        """The options in another dict, with what the holder is promised at this moment."""
        given: dict[str, Any] = {**options}
        if self._consistency != "eventual":
            given.setdefault("consistency", self._consistency)
        if self._session is not None:
            after = options.get("after")
            seen = self._session.value
            given["after"] = seen if after is None else max(seen, self.position_of(after, "after"))
        return given

    # -- middleware --------------------------------------------------------------------------
    def _run(self, query: Any, given: dict[str, Any], time: CallTime) -> Answer:
        attempts = _Attempts(self.dispatcher, time)
        result = middleware.run(
            self._middleware, Call(query, {}, given, "query"), attempts.ask, self._running
        )
        return self._shown(attempts.last, result)

    async def _arun(self, query: Any, given: dict[str, Any], time: CallTime) -> Answer:
        attempts = _Attempts(self.dispatcher, time)
        result = await middleware.arun(
            self._middleware, Call(query, {}, given, "query"), attempts.aask, self._running
        )
        return self._shown(attempts.last, result)

    def _shown(self, last: Answer, result: Any) -> Answer:
        """The answer with what the outermost middleware made of its result."""
        if self._session is not None:
            self._session.reach(last.newest)
        return last._replace(results=[result])


class _Attempts:
    """One query below its middleware, which may make several attempts; `last` is the last one's answer."""

    __slots__ = ("_dispatcher", "_time", "last")

    def __init__(self, dispatcher: QueryDispatcher, time: CallTime) -> None:
        self._dispatcher = dispatcher
        self._time = time
        self.last = NOTHING

    def ask(self, call: Call) -> Any:
        self.last = last = self._dispatcher.query([call.message], self._time.options(call))
        return last.results[0]

    async def aask(self, call: Call) -> Any:
        self.last = last = await self._dispatcher.aquery([call.message], self._time.options(call))
        return last.results[0]
