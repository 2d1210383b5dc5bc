"""The callers' side of the read path: picks a replica that is fresh enough, or waits until one is.

Runs in callers' threads and event loops; the query itself runs in a query actor's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.domain.lookup import unknown
from actors.domain.specs import CompiledDomain, QuerySpec, check_message
from actors.errors import (
    ActorsError,
    ConsistencyTimeout,
    DomainError,
    ModelStopped,
    Overloaded,
    QueryTimeout,
    SystemClosed,
)
from actors.kernel.actor import refuse_in_actor
from actors.kernel.async_reply import AsyncReply
from actors.queries.balancer import Balancer
from actors.queries.cache import Answer, ResultCache
from actors.queries.consistency import target_position
from actors.queries.query_job import QueryJob
from actors.queries.query_request import Encoded, sealed
from actors.queries.session_token import Tokens
from actors.replication.progress import Progress
from actors.replication.replica_status import SnapshotSource

__all__ = ["TIMEOUT", "QueryDispatcher"]

TIMEOUT = 10.0
"""Seconds that a caller waits unless it, or the query's class, says otherwise."""


MAX_WAITING = 10_000
"""Queries that wait at one query actor before more are refused."""

OCCUPIED_AFTER = 0.5
"""Seconds that a query may hold up those behind it before they go to another replica."""


class QueryDispatcher:
    """Has queries answered by query actors of replicas that are fresh enough."""

    job_class = QueryJob

    def __init__(
        self,
        domain: CompiledDomain,
        progress: Progress,
        balancer: Balancer,
        stores: Mapping[str, SnapshotSource],
        tokens: Tokens,
        max_waiting: int = MAX_WAITING,
        cache: ResultCache | None = None,
    ) -> None:
        self.domain = domain
        self.progress = progress
        self._opening = progress.head
        self.stores = stores
        self.max_waiting = max_waiting
        self.balancer = balancer
        self.tokens = tokens
        self._cache = cache
        self.why_not: Callable[[Sequence[str], int], str] = lambda _models, _target: ""
        """Says of models that have not applied a position where they are, and what holds them."""

    # -- queries -----------------------------------------------------------------------------
    def query(self, queries: Sequence[Any], options: dict[str, Any]) -> Answer:
        """The results, all on one snapshot, and what it showed."""
        refuse_in_actor("query", self.progress)
        job, timeout = self._job(queries, options)
        if job.keys is not None and (answer := self._from_cache(job, job.keys)) is not None:
            return answer
        self.try_assign(job)
        try:
            return Answer(job.future.result(timeout), job.seen, job.newest)
        except TimeoutError:
            raise self._timed_out(job, timeout) from None
        except KeyboardInterrupt:
            self._forget(job)
            raise
        finally:
            job.retry = None

    async def aquery(self, queries: Sequence[Any], options: dict[str, Any]) -> Answer:
        """As `query`, without holding up the event loop, nor a thread."""
        refuse_in_actor("aquery", self.progress)
        job, timeout = self._job(queries, options)
        if job.keys is not None and (answer := self._from_cache(job, job.keys)) is not None:
            return answer
        reply = AsyncReply(timeout, job.deadline)
        job.future = reply  # type: ignore[assignment]  # What answers a job does the same with either.
        try:
            self.try_assign(job)
            return Answer(await reply.waiter, job.seen, job.newest)
        except TimeoutError:
            raise self._timed_out(job, timeout) from None
        except asyncio.CancelledError:
            self._forget(job)
            raise
        finally:
            reply.over()
            job.retry = None

    def _job(self, queries: Sequence[Any], options: dict[str, Any]) -> tuple[QueryJob, float]:
        """The queries with the position that they ask for, and the seconds that they may take."""
        asked = [self._asked(query) for query in queries]
        timeout = options.pop("timeout", None)
        if timeout is None:
            timeout = asked[0][1].timeout or TIMEOUT
            if len(asked) > 1:
                timeout = max(spec.timeout or TIMEOUT for _, spec in asked)
        target = target_position(self.progress, tokens=self.tokens, **options) if options else 0
        job = self.job_class(asked, time.monotonic() + timeout, target)
        if self._cache is not None and not job.inline and any(spec.cache for _, spec in asked):
            job.keys = [self._key(asked, number) for number in range(len(asked))]
        return job, timeout

    def _key(self, asked: list[tuple[Any, QuerySpec]], number: int) -> bytes | None:
        """What the cache finds a query by, if it is to be asked; from then on it is run as these bytes say."""
        query, spec = asked[number]
        if self._cache is None or not spec.cache:
            return None
        if isinstance(query, Encoded):
            return query.data
        key = self._cache.key(query)
        if key is not None:
            asked[number] = Encoded(key), spec
        return key

    def _from_cache(self, job: QueryJob, keys: Sequence[bytes | None]) -> Answer | None:
        """What the cache has for a replica that may answer now; None leaves it to a query actor."""
        known = [key for key in keys if key is not None]
        if self._cache is None or len(known) != len(keys):
            return None
        models = tuple(job.models)
        # One that was begun anew this moment is no longer as far as it was said to be.
        able = (
            (self.stores[name].state, self.progress.floor(name, models))
            for name in self.able(models, job.target)
        )
        states = (state for state, floor in able if min(map(state.checkpoint, models)) >= floor)
        return self._cache.answer(known, models, job.target, states)

    def try_assign(self, job: QueryJob) -> None:
        """Hand the job to a query actor; where no replica is fresh enough, once one may be. Any thread; never waits.

        What keeps it from being answered at all is the job's answer.
        """
        job.endpoint = None
        try:
            replicas = self.candidates(job)
            if not replicas:
                retry = job.retry
                if retry is None:
                    retry = job.retry = partial(self.try_assign, job)
                replicas = self.fresh_or_call(tuple(job.models), job.target, retry)
        except ActorsError as error:
            job.answer(error)
            return
        if replicas:
            job.endpoint = endpoint = self.balancer.pick(replicas)
            waiting = len(endpoint.mailbox)
            if waiting >= self.max_waiting:
                job.answer(
                    Overloaded(
                        f"{waiting} queries wait at {endpoint.name}, the least loaded query actor; the query was not "
                        "run; try again later, or open the system with more replicas"
                    )
                )
                return
            endpoint.mailbox.put(job)

    def _forget(self, job: QueryJob) -> None:
        """Nobody waits for it any more: a replica that becomes fresh enough is none of its business."""
        if job.retry is not None:
            self.progress.forget(job.retry)

    def redirect(self, job: QueryJob) -> None:
        """Find a replica for a job that was given to one that does not have what it asks for. Any thread."""
        if job.future.done():  # the caller gave up
            return
        self.balancer.move_on()
        self.try_assign(job)

    def pass_over_occupied(self, others: Iterable[str] = ()) -> None:
        """Ask no replica whose query actors have been at one query for long, nor `others`, while any is left.

        The supervisor's thread.
        """
        self.progress.set_occupied({*self.balancer.occupied(OCCUPIED_AFTER), *others})

    def _asked(self, query: Any) -> tuple[Any, QuerySpec]:
        """The query, checked, as it is kept until it runs."""
        spec = self.domain.queries.get(type(query))
        if spec is None:
            raise unknown(query, "query", self.domain)
        check_message(spec, query)
        if spec.shareable is not None:
            query = self._sealed(query, spec)
        return query, spec

    def _sealed(self, query: Any, spec: QuerySpec) -> Any:
        return sealed(query, spec, self.domain.codec)

    def _timed_out(self, job: QueryJob, timeout: float) -> ActorsError:
        self._forget(job)
        job.future.cancel()
        endpoint = job.endpoint
        if endpoint is not None:
            return QueryTimeout(
                f"no answer from {endpoint.name} within {timeout:g} s; the query may still be running there; "
                "ask for less, or give a longer timeout="
            )
        return self.not_fresh(tuple(job.models), job.target, timeout)

    # -- which replicas may answer -----------------------------------------------------------
    def candidates(self, job: QueryJob) -> list[str]:
        """The replicas that may answer a job now: any one's query actors may read the writer's own tables."""
        if job.inline and not self.progress.closed:
            return list(self.stores)
        return self.able(tuple(job.models), job.target)

    def fresh_or_call(self, models: tuple[str, ...], target: int, callback: Callable[[], None]) -> list[str]:
        """Replicas fresh enough; none means that `callback` will be called. Any thread.

        Raises `ModelStopped` where waiting is in vain, `SystemClosed` after the end.
        """
        progress = self.progress
        names = self.able(models, target)
        if names:
            return names
        if progress.closed:
            raise SystemClosed("the system is closed; the query was not run")
        if not progress.holders(models):
            raise DomainError(
                f"no replica has all of {', '.join(models)}; read fewer of them together, or give them a replica in "
                "common with replicas="
            )
        stopped = progress.stopped_model(models)
        if stopped is not None:
            raise ModelStopped(
                f"model {stopped[0]!r} is stopped on every replica: {stopped[1]}; health() has the event "
                "and the cause; the model goes on by itself where that can be mended while the system runs, else mend "
                "the projection and open the system again, or skip the event"
            )
        return progress.fresh_or_call(models, target, callback)

    def able(self, models: tuple[str, ...], target: int) -> list[str]:
        """Replicas fresh enough now."""
        # A replica that is being rebuilt is left out until it has what was there at the opening.
        names = self.progress.fresh(models, max(target, self._opening))
        if names or target > 0 or self.progress.closed:
            return names
        return self.progress.most_advanced(models)

    def not_fresh(self, models: tuple[str, ...], target: int, timeout: float) -> ConsistencyTimeout:
        """What a caller is told whose time is over before a replica had what it asked for."""
        target = max(target, self._opening)
        head = self.progress.head
        yet = f", and the log ends at {head}" if target > head else ""
        held = self.why_not(models, target)
        return ConsistencyTimeout(
            f"no replica became fresh enough in {', '.join(models)} within {timeout:g} s: position {target} was asked "
            f"for{yet}{'; ' if held else ''}{held}; no stale answer was given; "
            "give a longer timeout=, a weaker consistency, or look at health()"
        )
