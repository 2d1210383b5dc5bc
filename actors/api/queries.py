"""The read side of `System`. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Unpack, cast

from actors import middleware
from actors._arguments import several
from actors.api.base import Calls, checked_options
from actors.consistency import position_of
from actors.messages import Receipt
from actors.options import QueryOptions
from actors.read_model import ReadModel
from actors.session import Session
from actors.view import View

if TYPE_CHECKING:
    from actors.system import System

__all__ = ["QueryCalls"]


class QueryCalls(Calls):
    """Queries, views and sessions."""

    def query(self, query: Any, **options: Unpack[QueryOptions]) -> Any:
        """Run a query on a replica that is fresh enough, and return what it returns.

        Options: `consistency`, `after`, `max_lag`, `timeout`; `QueryOptions` says what each does.
        Raises `ConsistencyTimeout`, `ModelStopped`, `QueryTimeout`, `QueryFailed`, `Overloaded`,
        `InvalidMessage` or `UnknownMessage`.
        """
        return self.query_at(query, **options)[0]

    def query_at(self, query: Any, **options: Unpack[QueryOptions]) -> tuple[Any, int]:
        """As `query`, with the position that the answer shows."""
        runtime = self._running()
        given = checked_options(options, QueryOptions, "query")
        chain = runtime.domain.query_middleware
        if not chain:
            results, seen = runtime.reads.query([query], given)
            return results[0], seen
        at = [0]

        def terminal(call: middleware.Call) -> Any:
            results, at[0] = runtime.reads.query([call.message], dict(call.options))
            return results[0]

        return middleware.run(chain, middleware.Call(query, {}, given, "query"), terminal), at[0]

    async def aquery(self, query: Any, **options: Unpack[QueryOptions]) -> Any:
        """As `query`, for asyncio: the event loop goes on meanwhile."""
        return (await self.aquery_at(query, **options))[0]

    async def aquery_at(self, query: Any, **options: Unpack[QueryOptions]) -> tuple[Any, int]:
        """As `query_at`, for asyncio."""
        runtime = self._running()
        at = [0]

        async def terminal(call: middleware.Call) -> Any:
            results, at[0] = await runtime.reads.aquery([call.message], dict(call.options))
            return results[0]

        call = middleware.Call(query, {}, checked_options(options, QueryOptions, "aquery"), "query")
        return await middleware.arun(runtime.domain.query_middleware, call, terminal), at[0]

    def query_many(self, queries: Iterable[Any], **options: Unpack[QueryOptions]) -> list[Any]:
        """Run several queries on one snapshot; their results in order. The first that fails is raised.

        With query middleware each runs on its own, and then perhaps on another snapshot.
        """
        runtime = self._running()
        queries = list(several(queries, "query_many", "query"))
        if runtime.domain.query_middleware:
            return [self.query(query, **options) for query in queries]
        given = checked_options(options, QueryOptions, "query_many")
        return runtime.reads.query(queries, given)[0] if queries else []

    def view(self, *models: ReadModel, **options: Unpack[QueryOptions]) -> View:
        """A snapshot of these models (all, when none is given) on one replica, read in the caller's thread.

        Use it in a `with` block: `view[table].get(key)`. It expires after the system's
        `view_max_age`. Options as for `query`. Middleware does not see what is read from a view.
        """
        return self._running().reads.view(models, checked_options(options, QueryOptions, "view"))

    def session(self, position: Receipt | int = 0) -> Session:
        """A session that reads its own writes and never goes back in time; `position` continues an earlier one."""
        self._running()
        return Session(cast("System", self), position_of(position, "position"))
