"""The callers' side of the read path: picks a replica that is fresh enough, or waits until one is.

Runs in callers' threads and event loops; the query itself runs in a query actor's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.domain.access import Access
from actors.domain.lookup import unknown
from actors.domain.specs import CompiledDomain, QuerySpec, check_message
from actors.errors import (
    ActorsError,
    Overloaded,
    QueryTimeout,
)
from actors.kernel.actor import refuse_in_actor
from actors.kernel.async_reply import AsyncReply
from actors.kernel.lazy_asyncio import asyncio
from actors.kernel.reply import Reply
from actors.queries.answer import Answer
from actors.queries.balancer import Balancer
from actors.queries.consistency import target_position
from actors.queries.encoded_query import EncodedQuery, sealed
from actors.queries.fresh_replicas import FreshReplicas
from actors.queries.query_job import QueryJob
from actors.queries.result_cache import ResultCache
from actors.queries.session_token import SessionTokens
from actors.replication.progress import Progress
from actors.replication.replica_status import SnapshotSource

__all__ = ["TIMEOUT", "QueryDispatcher"]

TIMEOUT = 10.0
"""Seconds that a caller waits unless its call or the query's class has a time-out."""

MAX_WAITING = 10_000
"""How many queries may wait at one query actor before more are refused."""

OCCUPIED_AFTER = 0.5
"""Seconds that a query may delay those behind it before they go to another replica."""


class QueryDispatcher:
    """Has queries answered by query actors of replicas that are fresh enough."""

    job_class = QueryJob

    def __init__(
        self,
        domain: CompiledDomain,
        progress: Progress,
        balancer: Balancer,
        stores: Mapping[str, SnapshotSource],
        tokens: SessionTokens,
        max_waiting: int = MAX_WAITING,
        cache: ResultCache | None = None,
    ) -> None:
        self.domain = domain
        self.progress = progress
        self.replicas = FreshReplicas(progress)
        self.stores = stores
        self.max_waiting = max_waiting
        self.balancer = balancer
        self.tokens = tokens
        self._cache = cache

    # -- queries -----------------------------------------------------------------------------
    def query(self, queries: Sequence[Any], options: dict[str, Any]) -> Answer:
        """The results, all on one snapshot, and the position that it showed."""
        refuse_in_actor("query", self.progress)
        job, timeout = self._job(queries, options)
        if job.keys is not None and (answer := self._from_cache(job, job.keys)) is not None:
            return answer
        reply: Reply[list[Any]] = Reply()
        job.future = reply
        self.try_assign(job)
        try:
            return Answer(reply.result(timeout), job.seen, job.newest)
        except TimeoutError:
            error = self._timed_out(job, timeout)
            reply.cancel()
            raise error from None
        except KeyboardInterrupt:
            self._forget(job)
            raise
        finally:
            job.retry = None

    async def aquery(self, queries: Sequence[Any], options: dict[str, Any]) -> Answer:
        """As `query`; waits neither in the event loop nor in a thread."""
        refuse_in_actor("aquery", self.progress)
        job, timeout = self._job(queries, options)
        if job.keys is not None and (answer := self._from_cache(job, job.keys)) is not None:
            return answer
        job.future = reply = AsyncReply(timeout, job.deadline)
        try:
            self.try_assign(job)
            return Answer(await reply.waiter, job.seen, job.newest)
        except TimeoutError:
            error = self._timed_out(job, timeout)
            reply.cancel()
            raise error from None
        except asyncio.CancelledError:
            self._forget(job)
            raise
        finally:
            reply.over()
            job.retry = None

    def _job(self, queries: Sequence[Any], options: dict[str, Any]) -> tuple[QueryJob, float]:
        """The queries with the position that they require, and the seconds that they may take."""
        asked = [self._bound(query) for query in queries]
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
        """The cache's key of a query, None if it is not cached; from then on it runs from these bytes."""
        query, spec = asked[number]
        if self._cache is None or not spec.cache:
            return None
        if isinstance(query, EncodedQuery):
            return query.data
        key = self._cache.key(query)
        if key is not None:
            asked[number] = EncodedQuery(key), spec
        return key

    def _from_cache(self, job: QueryJob, keys: Sequence[bytes | None]) -> Answer | None:
        """The cached answer for a replica that is fresh enough now; None leaves it to a query actor."""
        known = [key for key in keys if key is not None]
        if self._cache is None or len(known) != len(keys):
            return None
        models = tuple(job.models)
        # A replica that was reset just now is no longer as far as it was reported.
        able = (
            (self.stores[name].state, self.progress.floor(name, models))
            for name in self.replicas.fresh(models, job.target)
        )
        states = (state for state, floor in able if min(map(state.checkpoint, models)) >= floor)
        return self._cache.answer(known, models, job.target, states)

    def try_assign(self, job: QueryJob) -> None:
        """Send the job to a query actor; if no replica is fresh enough now, once one may be.

        If it can't be answered at all, the error is its answer. Any thread; never waits.
        """
        job.endpoint = None
        try:
            replicas = self.candidates(job)
            if not replicas:
                retry = job.retry
                if retry is None:
                    retry = job.retry = partial(self.try_assign, job)
                replicas = self.replicas.fresh_or_call(tuple(job.models), job.target, retry)
        except ActorsError as error:
            job.answer(error)
            return
        if replicas:
            job.endpoint = endpoint = self.balancer.pick(replicas)
            waiting = len(endpoint.mailbox)
            if waiting >= self.max_waiting:
                job.answer(
                    Overloaded(
                        f"{waiting} queries wait at {endpoint.name}, the least loaded query actor; "
                        "the query was not run; try again later, or open the system with more replicas"
                    )
                )
                return
            endpoint.mailbox.put(job)

    def _forget(self, job: QueryJob) -> None:
        """The caller waits no more: no replica that becomes fresh enough is to call the job."""
        if job.retry is not None:
            self.progress.forget(job.retry)

    def redirect(self, job: QueryJob) -> None:
        """Find another replica for a job, as the one to which it was sent can't answer it. Any thread."""
        if job.future.done():  # the caller gave up
            return
        self.balancer.move_on()
        self.try_assign(job)

    def pass_over_occupied(self, others: Iterable[str] = ()) -> None:
        """Send nothing to replicas whose query actors all are at long queries, nor to `others`, if any is
        left.

        The supervisor's thread.
        """
        self.progress.set_occupied({*self.balancer.occupied(OCCUPIED_AFTER), *others})

    def _bound(self, query: Any) -> tuple[Any, QuerySpec]:
        """The query, checked and in the form in which it is kept until it runs, with its declaration."""
        spec = self.domain.queries.get(type(query))
        if spec is None:
            raise unknown(query, "query", self.domain)
        if self.domain.guards:
            self.domain.guards.check(Access("query", query, (type(query),), tuple(spec.by_name)))
        check_message(spec, query)
        if spec.shareable is not None:
            query = self._sealed(query, spec)
        return query, spec

    def _sealed(self, query: Any, spec: QuerySpec) -> Any:
        return sealed(query, spec, self.domain.codec)

    def _timed_out(self, job: QueryJob, timeout: float) -> ActorsError:
        self._forget(job)
        endpoint = job.endpoint
        if endpoint is not None:
            return QueryTimeout(
                f"no answer from {endpoint.name} within {timeout:g} s; the query may still be running there; "
                "ask for less, or give a longer timeout="
            )
        return self.replicas.not_fresh(tuple(job.models), job.target, timeout)

    # -- which replicas may answer -----------------------------------------------------------
    def candidates(self, job: QueryJob) -> list[str]:
        """The replicas that may answer a job now; the writer's own tables can be read by any query actor."""
        if job.inline and not self.progress.closed:
            return list(self.stores)
        return self.replicas.fresh(tuple(job.models), job.target)
