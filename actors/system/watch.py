"""A query that is watched: its result, then every result that differs from the one before.

Runs in the reader's thread or event loop, which asks again only when it wants the next result: a slow reader gets
the latest one, and nothing piles up. A replica that has applied something, or switched to another build, wakes it;
nothing polls. Where the replicas say that none of the query's models changed since the last result, the query is not
run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self

from actors.errors import ActorsError, ConsistencyTimeout, SystemClosed
from actors.kernel.actor import refuse_in_actor
from actors.kernel.closeable import Closeable
from actors.queries.query_request import own_query
from actors.queries.result_typing import Query, Result
from actors.subscriptions.result_comparison import trace_of
from actors.subscriptions.subscription import refuse_forked
from actors.subscriptions.waiters import Deadline, LoopWake, ThreadWake
from storage import StorageError

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime
    from actors.system.system import System

__all__ = ["Watch"]

NOTHING = object()


class Watch(Closeable, Generic[Result]):
    """An iterator and an async iterator of a query's results, from `System.watch`. For one thread or task at a time.

    Ends at `until`, at `close`, when the system closes, and when no other result came for `timeout` seconds. What the
    query raises is raised to the reader and ends it, too. In a `with` block it is closed at the end.
    """

    def __init__(
        self,
        system: System,
        runtime: Runtime,
        query: Query[Result],
        models: tuple[str, ...],
        options: Mapping[str, Any],
        until: int | None,
        timeout: float | None,
    ) -> None:
        """For `System.watch`."""
        self._system = system
        self._runtime = runtime
        # The caller may change a list in it, and is to be shown what was asked for.
        self._query: Query[Result] = own_query(query, runtime.domain.codec)
        self._models = models
        self._options = dict(options)
        self._strict = bool(options)
        self._until = until
        self._deadline = Deadline(timeout)
        self._position = -1
        self._last: Any = NOTHING
        self._builds: dict[str, tuple[str, ...]] = {}
        self._ended = False
        self._closed = False
        self._armed = False
        self._wake: Callable[[], None] | None = None

    @property
    def position(self) -> int:
        """The position up to which the last result holds; -1 before the first one."""
        return self._position

    def close(self) -> None:
        """End it; an iteration that waits ends at once. Any thread; closing twice is harmless."""
        self._closed = True
        wake = self._wake
        if wake is not None:
            wake()

    # -- iterating ---------------------------------------------------------------------------
    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Result:
        while self._goes_on():
            wake = ThreadWake()
            try:
                ready = self._arm(wake)
                if not ready and not self._ended:
                    refuse_in_actor("watch", self._runtime.progress)
                    self._ended = not wake.wait(self._deadline.left())
                    self._armed = self._ended or self._closed
            finally:
                self._disarm(wake)
            if ready:
                try:
                    result, seen = self._system.query_at(self._query, **self._options)
                except ActorsError as error:
                    self._failed(error)
                else:
                    if self._differs(result, seen):
                        return result
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        while self._goes_on():
            wake = LoopWake()
            try:
                ready = self._arm(wake)
                if not ready and not self._ended:
                    self._ended = not await wake.wait(self._deadline.left())
                    self._armed = self._ended or self._closed
            finally:
                self._disarm(wake)
            if ready:
                try:
                    result, seen = await self._system.aquery_at(self._query, **self._options)
                except ActorsError as error:
                    self._failed(error)
                else:
                    if self._differs(result, seen):
                        return result
        raise StopAsyncIteration

    def _goes_on(self) -> bool:
        refuse_forked(self._runtime.progress, "watch", "watch")
        if self._closed or (self._until is not None and self._position >= self._until):
            self._ended = True
        return not self._ended

    def _arm(self, wake: Callable[[], None]) -> bool:
        """Whether to run the query now; else `wake` is called at the news, unless it has ended."""
        if self._position < 0:
            self._switched(list(self._runtime.slots))
            return True
        self._wake = wake
        if self._closed:
            self._ended = True
        while not self._ended:
            if self._deadline.left() == 0:
                self._ended = True
                break
            try:
                fresh = self._runtime.reads.fresh_or_call(self._models, self._position + 1, wake)
            except ActorsError as error:
                self._failed(error)
                break
            if not fresh:
                self._armed = True
                # Armed first: a switch that is not seen here wakes.
                if not self._switched(self._runtime.progress.fresh(self._models, self._position)):
                    return False
                self._options["after"] = self._position
                return True
            if self._changed(fresh):
                # At least as far as the news: another replica may not have applied it yet.
                self._options["after"] = self._position + 1
                return True
        return False

    def _switched(self, replicas: Sequence[str]) -> bool:
        """Whether other builds serve on one of these replicas than when it was last looked at."""
        switched = False
        for name in replicas:
            try:
                state = self._runtime.stores[name].state
                builds = tuple(state.build(model) for model in self._models)
            except StorageError:
                # It is being made anew, or lacks one of the models.
                continue
            if self._builds.get(name) != builds:
                self._builds[name] = builds
                switched = True
        return switched

    def _changed(self, replicas: list[str]) -> bool:
        """Whether the result may differ from the last one; if not, that holds as far as these replicas are."""
        position, same = self._position, True
        furthest = position
        for name in replicas:
            try:
                state = self._runtime.stores[name].state
                builds = tuple(state.build(model) for model in self._models)
                if self._builds.get(name) != builds:
                    same = False
                if any(state.changed(model) > position for model in self._models):
                    same = False
                furthest = max(furthest, min(state.checkpoint(model) for model in self._models))
            except StorageError:
                # It is being made anew.
                return True
            self._builds[name] = builds
        if same and furthest > position:
            self._position = furthest
        return not same or furthest == position

    def _disarm(self, wake: Callable[[], None]) -> None:
        self._wake = None
        # One that was woken is forgotten already, and looking for it among many would cost each of them.
        if self._armed:
            self._armed = False
            self._runtime.progress.forget(wake)

    def _failed(self, error: ActorsError) -> None:
        """End it; at the close of the system that is all."""
        if isinstance(error, ConsistencyTimeout) and self._position >= 0 and not self._strict:
            return  # the replicas that had the news are being begun anew: it waits for one that has them
        self._ended = True
        if not isinstance(error, SystemClosed) and not self._runtime.progress.closed:
            raise error

    def _differs(self, result: Any, seen: int) -> bool:
        self._position = max(self._position, seen)
        # Not the result itself, which the reader may change.
        trace = trace_of(result, self._runtime.domain.codec.pack)
        if self._last is not NOTHING and trace == self._last:
            return False
        self._last = trace
        self._deadline.renew()
        return True
