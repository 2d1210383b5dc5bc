"""The read side of `System`. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Unpack, cast

from actors.domain import middleware
from actors.domain.read_model import ReadModel
from actors.queries.cache import Answer
from actors.queries.call_time import CallTime
from actors.queries.consistency import position_of
from actors.queries.options import After, QueryOptions
from actors.queries.result_typing import Query, Result
from actors.queries.view import View
from actors.system.arguments import several
from actors.system.base import SystemBase, checked_options
from actors.system.session import Session

if TYPE_CHECKING:
    from actors.system.system import System

__all__ = ["QueryMethods"]


def _as_given(options: QueryOptions) -> QueryOptions:
    return options


def _nobody(answer: Answer) -> None:
    """Notes nothing."""


class QueryMethods(SystemBase):
    """Queries, views and sessions."""

    def query(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """Run a query on a replica that is fresh enough, and return what it returns.

        Options: `consistency`, `after`, `max_lag`, `timeout`; `QueryOptions` says what each does.
        Raises `ConsistencyTimeout`, `ModelStopped`, `QueryTimeout`, `QueryFailed`, `Overloaded`,
        `InvalidToken`, `InvalidMessage` or `UnknownMessage`.
        """
        result: Result = self._answer(query, options).results[0]
        return result

    def query_at(self, query: Query[Result], **options: Unpack[QueryOptions]) -> tuple[Result, int]:
        """As `query`, with the position that the answer shows."""
        answer = self._answer(query, options)
        return answer.results[0], answer.position

    async def aquery(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """As `query`, for asyncio: the event loop goes on meanwhile."""
        result: Result = (await self._aanswer(query, options)).results[0]
        return result

    async def aquery_at(self, query: Query[Result], **options: Unpack[QueryOptions]) -> tuple[Result, int]:
        """As `query_at`, for asyncio."""
        answer = await self._aanswer(query, options)
        return answer.results[0], answer.position

    def query_many(self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]) -> list[Result]:
        """Run several queries on one snapshot; their results in order. The first that fails is raised.

        With query middleware each runs on its own, and then perhaps on another snapshot. `timeout` is for all of them
        together; unless given it is the longest of theirs.
        """
        return self._answer_many(queries, options)

    async def aquery_many(
        self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]
    ) -> list[Result]:
        """As `query_many`, for asyncio."""
        return await self._aanswer_many(queries, options)

    def view(self, *models: ReadModel, **options: Unpack[QueryOptions]) -> View:
        """A snapshot of these models (all, when none is given) on one replica, read in the caller's thread.

        Use it in a `with` block: `view[table].get(key)`. It expires after the system's
        `view_max_age`. Options as for `query`. Middleware does not see what is read from a view.
        """
        return self._running().views.open(models, self._read_options(options, "view"))

    def session(self, position: After | None = None) -> Session:
        """A session that reads its own writes and never goes back in time.

        `position` continues an earlier one: its token or position, or a receipt; None, as where a request brought no
        token, begins a new one. Raises `InvalidToken` for what is no token, `ForeignToken` for one of another store
        or of a later state than this store was put back to.
        """
        start = self._position_of(0 if position is None else position, "position")
        return Session(cast("System", self), start)

    # -- for these methods and for sessions --------------------------------------------------
    def _read_options(self, options: QueryOptions, method: str) -> dict[str, Any]:
        """The options of a read; raises for one that it does not have."""
        return checked_options(options, QueryOptions, method)

    def _position_of(self, after: After, option: str) -> int:
        return position_of(after, option, self._running().reads.tokens)

    def _answer(self, query: Any, options: QueryOptions, time: CallTime | None = None) -> Answer:
        """What a query gives; `time` is that of the call, where it is one of several."""
        runtime = self._running()
        given = self._read_options(options, "query")
        chain = runtime.domain.query_middleware
        if not chain:
            return runtime.reads.query([query], given)
        # What a middleware answers by itself shows no position.
        answer = Answer([], 0, 0)
        time = time or CallTime(runtime.domain, [query])

        def terminal(call: middleware.Call) -> Any:
            nonlocal answer
            answer = runtime.reads.query([call.message], time.options(call))
            return answer.results[0]

        result = middleware.run(chain, middleware.Call(query, {}, given, "query"), terminal, runtime.calls)
        return answer._replace(results=[result])

    async def _aanswer(self, query: Any, options: QueryOptions, time: CallTime | None = None) -> Answer:
        runtime = self._running()
        given = self._read_options(options, "aquery")
        chain = runtime.domain.query_middleware
        if not chain:
            return await runtime.reads.aquery([query], given)
        answer = Answer([], 0, 0)
        time = time or CallTime(runtime.domain, [query])

        async def terminal(call: middleware.Call) -> Any:
            nonlocal answer
            answer = await runtime.reads.aquery([call.message], time.options(call))
            return answer.results[0]

        result = await middleware.arun(
            chain, middleware.Call(query, {}, given, "query"), terminal, runtime.calls
        )
        return answer._replace(results=[result])

    def _answer_many(
        self,
        queries: Iterable[Any],
        options: QueryOptions,
        since: Callable[[QueryOptions], QueryOptions] = _as_given,
        shown: Callable[[Answer], None] = _nobody,
    ) -> list[Any]:
        """The results of several queries; a session says `since` when, and notes what was `shown`."""
        runtime = self._running()
        asked = list(several(queries, "query_many", "query"))
        given = cast(QueryOptions, self._read_options(options, "query_many"))
        results: list[Any] = []
        if runtime.domain.query_middleware:
            time = CallTime(runtime.domain, asked)
            for query in asked:
                answer = self._answer(query, since(given), time)
                shown(answer)
                results += answer.results
        elif asked:
            answer = runtime.reads.query(asked, dict(since(given)))
            shown(answer)
            results = answer.results
        return results

    async def _aanswer_many(
        self,
        queries: Iterable[Any],
        options: QueryOptions,
        since: Callable[[QueryOptions], QueryOptions] = _as_given,
        shown: Callable[[Answer], None] = _nobody,
    ) -> list[Any]:
        runtime = self._running()
        asked = list(several(queries, "aquery_many", "query"))
        given = cast(QueryOptions, self._read_options(options, "aquery_many"))
        results: list[Any] = []
        if runtime.domain.query_middleware:
            time = CallTime(runtime.domain, asked)
            for query in asked:
                answer = await self._aanswer(query, since(given), time)
                shown(answer)
                results += answer.results
        elif asked:
            answer = await runtime.reads.aquery(asked, dict(since(given)))
            shown(answer)
            results = answer.results
        return results
