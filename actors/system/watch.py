"""A live query: its result, then every result that differs from the one before.

Runs in the reader's thread or event loop, which asks again only when it wants the next result: a slow reader
gets the latest one, and no backlog builds up. A replica that has applied events, or switched to another
build, wakes it; nothing polls. If the replicas report that none of the query's models has changed since the
last result, the query does not run again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, cast

from actors.errors import ActorsError, ConsistencyTimeout, SystemClosed
from actors.kernel.closeable import Closeable
from actors.queries.answer import Answer
from actors.queries.encoded_query import own_query
from actors.queries.model_changes import ModelChanges
from actors.queries.options import QueryOptions, WatchOptions
from actors.queries.query_client import QueryClient
from actors.queries.result_typing import Query, Result
from actors.subscriptions.result_comparison import trace_of
from actors.subscriptions.subscription import refuse_forked
from actors.subscriptions.waiting_iterator import ENDED, WAIT, Outcome, WaitingIterator

__all__ = ["Watch"]

NOTHING = object()


class Watch(Closeable, Generic[Result]):
    """An iterator and an async iterator of a query's results, from `System.watch`.

    For one thread or task at a time. Ends at `until`, at `close`, when the system closes, and when no other
    result came for `timeout` seconds. What the query raises is raised to the reader and ends it, too. In a
    `with` block it is closed at the end.
    """

    def __init__(
        self,
        queries: QueryClient,
        query: Query[Result],
        models: tuple[str, ...],
        options: WatchOptions,
        until: int | None,
        timeout: float | None,
    ) -> None:
        """For `System.watch`."""
        self._queries = queries
        self._codec = queries.dispatcher.domain.codec
        # The caller may change a list in it, and is to be shown what was asked for.
        self._query: Query[Result] = own_query(query, self._codec)
        self._runs = DueRuns(queries, models, options, until, timeout)
        self._last: Any = NOTHING

    @property
    def position(self) -> int:
        """The position up to which the last result holds; -1 before the first one."""
        return self._runs.position

    def close(self) -> None:
        """End it; an iteration that waits ends at once. Any thread; closing twice is harmless."""
        self._runs.stop()

    # -- iterating ---------------------------------------------------------------------------
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result:
        for options in self._runs:
            try:
                answer = self._queries.query(self._query, options)
            except ActorsError as error:
                self._runs.failed(error)
            else:
                if self._differs(answer):
                    result: Result = answer.results[0]
                    return result
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        async for options in self._runs:
            try:
                answer = await self._queries.aquery(self._query, options)
            except ActorsError as error:
                self._runs.failed(error)
            else:
                if self._differs(answer):
                    result: Result = answer.results[0]
                    return result
        raise StopAsyncIteration

    def _differs(self, answer: Answer) -> bool:
        # Not the result itself, which the reader may change.
        trace = trace_of(answer.results[0], self._codec.pack)
        differs = self._last is NOTHING or trace != self._last
        self._last = trace
        self._runs.answered(answer.position, differs)
        return differs


class DueRuns(WaitingIterator[QueryOptions]):
    """The options of each run of a watched query, as soon as its result may be another one than the last."""

    def __init__(
        self,
        queries: QueryClient,
        models: tuple[str, ...],
        options: WatchOptions,
        until: int | None,
        timeout: float | None,
    ) -> None:
        dispatcher = queries.dispatcher
        super().__init__("watch", dispatcher.progress, timeout)
        self._fresh_replicas = dispatcher.replicas
        self._models = models
        self._changes = ModelChanges(models, dispatcher.stores)
        self._options = cast(QueryOptions, {**options})
        self._strict = bool(options)
        self._until = until
        self._ended = False
        self._registered = False
        self.position = -1
        """The position up to which the last result holds; -1 before the first one."""

    def _next(self) -> QueryOptions | Outcome:
        refuse_forked(self._progress, "watch", "watch")
        if self._stopped or (self._until is not None and self.position >= self._until):
            self._ended = True
        if self._ended:
            return ENDED
        if self.position < 0:
            self._changes.switched(self._progress.replicas)
            return self._options.copy()
        return WAIT

    def _register(self, waiter: Callable[[], None]) -> QueryOptions | Outcome:
        while not (self._stopped or self._deadline.left() == 0):
            try:
                fresh = self._fresh_replicas.fresh_or_call(self._models, self.position + 1, waiter)
            except ActorsError as error:
                self.failed(error)
                return ENDED if self._ended else WAIT
            if not fresh:
                self._registered = True
                # Registered first: a switch that is not seen here wakes.
                if not self._changes.switched(self._progress.fresh(self._models, self.position)):
                    return WAIT
                self._options["after"] = self.position
                return self._options.copy()
            unchanged = self._changes.unchanged_up_to(self.position, fresh)
            if unchanged is None:
                # At least as far as the news: another replica may not have applied it yet.
                self._options["after"] = self.position + 1
                return self._options.copy()
            self.position = unchanged
        self._ended = True
        return ENDED

    def _unregister(self, waiter: Callable[[], None], called: bool) -> None:
        # One that was called for news is forgotten already, and looking for it among many would cost each
        # one.
        if self._registered and (self._stopped or not called):
            self._progress.forget(waiter)
        self._registered = False

    def answered(self, position: int, differs: bool) -> None:
        """The query was run, and its result holds up to this position."""
        self.position = max(self.position, position)
        if differs:
            self._deadline.renew()

    def failed(self, error: ActorsError) -> None:
        """The query failed, or could not be run: raise that, and end; at the close of the system only end."""
        if isinstance(error, ConsistencyTimeout) and self.position >= 0 and not self._strict:
            return  # the replicas that had the news are being reset: it waits for one that has them
        self._ended = True
        if not isinstance(error, SystemClosed) and not self._progress.closed:
            raise error
