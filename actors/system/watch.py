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
from actors.kernel.actor import refuse_in_actor
from actors.kernel.closeable import Closeable
from actors.queries.answer import Answer
from actors.queries.encoded_query import own_query
from actors.queries.model_changes import ModelChanges
from actors.queries.options import QueryOptions, WatchOptions
from actors.queries.query_client import QueryClient
from actors.queries.result_typing import Query, Result
from actors.subscriptions.result_comparison import trace_of
from actors.subscriptions.subscription import refuse_forked
from actors.subscriptions.waiters import AsyncWaiter, Deadline, ThreadWaiter

__all__ = ["Watch"]

NOTHING = object()


class Watch(Closeable, Generic[Result]):
    """An iterator and an async iterator of a query's results, for one thread or task at a time.

    Made by `System.watch`. Ends at `until`, at `close`, when the system closes, or after `timeout` seconds
    without another result. An error of the query is raised to the reader, and ends it too. A `with` block
    closes it at the end.
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
        dispatcher = queries.dispatcher
        self._fresh_replicas = dispatcher.replicas
        self._progress = dispatcher.progress
        self._codec = dispatcher.domain.codec
        # A copy: the caller may change a list in the query later.
        self._query: Query[Result] = own_query(query, self._codec)
        self._models = models
        self._changes = ModelChanges(models, dispatcher.stores)
        self._options = cast(QueryOptions, {**options})
        self._strict = bool(options)
        self._until = until
        self._deadline = Deadline(timeout)
        self._position = -1
        self._last: Any = NOTHING
        self._ended = False
        self._closed = False
        self._registered = False
        self._wake: Callable[[], None] | None = None

    @property
    def position(self) -> int:
        """The position up to which the last result holds; -1 before the first one."""
        return self._position

    def close(self) -> None:
        """End it; an iteration that waits ends immediately. Any thread; closing twice is harmless."""
        self._closed = True
        wake = self._wake
        if wake is not None:
            wake()

    # -- iterating ---------------------------------------------------------------------------
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result:
        while self._goes_on():
            wake = ThreadWaiter()
            try:
                ready = self._register(wake)
                if not ready and not self._ended:
                    refuse_in_actor("watch", self._progress)
                    self._ended = not wake.wait(self._deadline.left())
                    self._registered = self._ended or self._closed
            finally:
                self._unregister(wake)
            if ready:
                try:
                    answer = self._queries.query(self._query, self._options.copy())
                except ActorsError as error:
                    self._failed(error)
                else:
                    if self._differs(answer):
                        result: Result = answer.results[0]
                        return result
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        while self._goes_on():
            wake = AsyncWaiter()
            try:
                ready = self._register(wake)
                if not ready and not self._ended:
                    self._ended = not await wake.wait(self._deadline.left())
                    self._registered = self._ended or self._closed
            finally:
                self._unregister(wake)
            if ready:
                try:
                    answer = await self._queries.aquery(self._query, self._options.copy())
                except ActorsError as error:
                    self._failed(error)
                else:
                    if self._differs(answer):
                        result: Result = answer.results[0]
                        return result
        raise StopAsyncIteration

    def _goes_on(self) -> bool:
        refuse_forked(self._progress, "watch", "watch")
        if self._closed or (self._until is not None and self._position >= self._until):
            self._ended = True
        return not self._ended

    def _register(self, wake: Callable[[], None]) -> bool:
        """Whether to run the query now; otherwise news will call `wake`, unless the watch has ended."""
        if self._position < 0:
            self._changes.switched(self._progress.replicas)
            return True
        self._wake = wake
        if self._closed:
            self._ended = True
        while not self._ended:
            if self._deadline.left() == 0:
                self._ended = True
                break
            try:
                fresh = self._fresh_replicas.fresh_or_call(self._models, self._position + 1, wake)
            except ActorsError as error:
                self._failed(error)
                break
            if not fresh:
                self._registered = True
                # After registering: a switch that is not seen here calls `wake`.
                if not self._changes.switched(self._progress.fresh(self._models, self._position)):
                    return False
                self._options["after"] = self._position
                return True
            unchanged = self._changes.unchanged_up_to(self._position, fresh)
            if unchanged is None:
                # At least as far as the news: another replica may not have applied it yet.
                self._options["after"] = self._position + 1
                return True
            self._position = unchanged
        return False

    def _unregister(self, wake: Callable[[], None]) -> None:
        self._wake = None
        # One that was woken is not registered any more, and searching for it among many would cost each of
        # them.
        if self._registered:
            self._registered = False
            self._progress.forget(wake)

    def _failed(self, error: ActorsError) -> None:
        """End it and raise the error, unless the system was closed."""
        if isinstance(error, ConsistencyTimeout) and self._position >= 0 and not self._strict:
            return  # The replicas that had the news are being reset: wait for another one.
        self._ended = True
        if not isinstance(error, SystemClosed) and not self._progress.closed:
            raise error

    def _differs(self, answer: Answer) -> bool:
        self._position = max(self._position, answer.position)
        # Not the result itself: the reader may change that.
        trace = trace_of(answer.results[0], self._codec.pack)
        if self._last is not NOTHING and trace == self._last:
            return False
        self._last = trace
        self._deadline.renew()
        return True
