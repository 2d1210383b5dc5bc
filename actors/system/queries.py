"""How a system and its sessions are read. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Unpack

from actors.domain.read_model import ReadModel
from actors.queries.options import QueryOptions
from actors.queries.query_client import QueryClient
from actors.queries.result_typing import Query, Result
from actors.queries.view import View

__all__ = ["QueryMethods"]


class QueryMethods:
    """Queries and views. Those of a session show at least what it wrote or saw before they started."""

    _queries: QueryClient

    def query(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """Run a query on a replica that is fresh enough, and return what it returns.

        Options: `consistency`, `after`, `max_lag`, `timeout`; `QueryOptions` says what each does.
        Raises `ConsistencyTimeout`, `ModelStopped`, `QueryTimeout`, `QueryFailed`, `Overloaded`,
        `InvalidToken`, `InvalidMessage` or `UnknownMessage`.
        """
        result: Result = self._queries.query(query, options).results[0]
        return result

    async def aquery(self, query: Query[Result], **options: Unpack[QueryOptions]) -> Result:
        """As `query`, for asyncio: the event loop continues meanwhile."""
        result: Result = (await self._queries.aquery(query, options)).results[0]
        return result

    def query_at(self, query: Query[Result], **options: Unpack[QueryOptions]) -> tuple[Result, int]:
        """As `query`, with the position that the answer shows."""
        answer = self._queries.query(query, options)
        return answer.results[0], answer.position

    async def aquery_at(self, query: Query[Result], **options: Unpack[QueryOptions]) -> tuple[Result, int]:
        """As `query_at`, for asyncio."""
        answer = await self._queries.aquery(query, options)
        return answer.results[0], answer.position

    def query_many(self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]) -> list[Result]:
        """Run several queries on one snapshot; returns their results in order, or raises the first error.

        With query middleware each query runs on its own, perhaps on another snapshot. Options as for `query`;
        `timeout` is for all of them together, and by default the longest of theirs.
        """
        return self._queries.query_many(queries, options)

    async def aquery_many(
        self, queries: Iterable[Query[Result]], **options: Unpack[QueryOptions]
    ) -> list[Result]:
        """As `query_many`, for asyncio."""
        return await self._queries.aquery_many(queries, options)

    def view(self, *models: ReadModel, **options: Unpack[QueryOptions]) -> View:
        """A snapshot of these models, or of all of them, on one replica; the caller's thread reads it.

        Use it in a `with` block: `view[table].get(key)`. It expires after the system's `view_max_age`.
        Options as for `query`. Middleware does not see what is read from a view.
        """
        return self._queries.view(models, options)
