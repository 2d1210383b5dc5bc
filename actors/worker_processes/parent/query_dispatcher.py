"""The callers' side of the read path if replicas are in worker processes. Callers' threads and event loops.

A caller that waits reads the answer itself; many queries of one caller are shared out among workers if that
pays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from actors.domain.specs import CompiledDomain, QuerySpec
from actors.errors import QueryFailed
from actors.kernel.actor import refuse_in_actor
from actors.kernel.reply import Reply
from actors.queries.answer import Answer
from actors.queries.balancer import Balancer
from actors.queries.query_dispatcher import QueryDispatcher
from actors.queries.query_endpoint import QueryEndpoint
from actors.queries.query_job import QueryJob
from actors.queries.session_token import SessionTokens
from actors.replication.progress import Progress
from actors.replication.replica_status import SnapshotSource
from actors.worker_processes.parent.fan_out import FanOut
from actors.worker_processes.parent.query_connection import QueryConnection
from actors.worker_processes.parent.remote_query_job import RemoteQueryJob
from actors.worker_processes.parent.remote_replica import RemoteReplicaSlot
from actors.worker_processes.wire.query_codec import BoundQuery, QueryCodec
from storage import CodecError

__all__ = ["RemoteQueryDispatcher"]


class RemoteQueryDispatcher(QueryDispatcher):
    """Has queries answered by query actors in worker processes."""

    job_class = RemoteQueryJob

    def __init__(
        self,
        domain: CompiledDomain,
        progress: Progress,
        balancer: Balancer,
        stores: Mapping[str, SnapshotSource],
        tokens: SessionTokens,
        *,
        slots: Mapping[str, RemoteReplicaSlot],
        endpoints: Sequence[QueryEndpoint],
        connections: Mapping[str, QueryConnection],
    ) -> None:
        """`connections` are those to the query actors, by their names."""
        super().__init__(domain, progress, balancer, stores, tokens)
        self._slots = slots
        self._endpoints = endpoints
        self._connections = connections
        self._fan_out = FanOut(min(len(slots), os.cpu_count() or 1))
        self._query_codec = QueryCodec(domain.queries.values(), domain.codec)

    def query(self, queries: Sequence[Any], options: dict[str, Any]) -> Answer:
        """As `QueryDispatcher.query`."""
        refuse_in_actor("query", self.progress)
        job, timeout = super()._job(queries, options)
        assert isinstance(job, RemoteQueryJob)
        if len(job.queries) > 1 and (answer := self._fan_out_query(job)) is not None:
            return answer
        return self._ask(job, timeout)

    def _job(self, queries: Sequence[Any], options: dict[str, Any]) -> tuple[QueryJob, float]:
        job, timeout = super()._job(queries, options)
        assert isinstance(job, RemoteQueryJob)
        job.body = self._packed(job.queries)
        return job, timeout

    def _sealed(self, query: Any, spec: QuerySpec) -> Any:  # noqa: ARG002
        # It goes to the worker as bytes, and each run makes a new one from them.
        return query

    def _packed(self, queries: Sequence[BoundQuery]) -> bytes:
        """Now, in the caller's thread: what it does to a list in them later has no effect."""
        try:
            return self._query_codec.pack(queries)
        except CodecError as error:
            raise QueryFailed(f"the query can't be sent to a worker process: {error}") from error

    def _ask(self, job: RemoteQueryJob, timeout: float) -> Answer:
        job.body = self._packed(job.queries)
        reply: Reply[list[Any]] = Reply()
        job.future = reply
        job.is_leader = True
        self.try_assign(job)
        try:
            endpoint = job.endpoint
            if endpoint is None:
                # Who finds a replica later requests a reader; but that may have been in between.
                job.is_leader = False
                endpoint = job.endpoint
                job.is_leader = endpoint is not None
            if endpoint is not None:
                self._connections[endpoint.name].read_as_leader(job, job.deadline)
            results = reply.result(max(job.deadline - time.monotonic(), 0.0))
        except TimeoutError:
            error = self._timed_out(job, timeout)
            reply.cancel()
            raise error from None
        except KeyboardInterrupt:
            self._forget(job)
            raise
        finally:
            job.retry = None
        if len(job.queries) > 1:
            self._fan_out.note_cost(job.queries, job.took)
        return Answer(results, job.seen, job.newest)

    def candidates(self, job: QueryJob) -> list[str]:
        """As `QueryDispatcher.candidates`; only attached workers may read the writer's own tables."""
        if job.inline and not self.progress.closed:
            # All connections of a replica: they are detached one by one, and a query to one that is would
            # come back.
            attached = dict.fromkeys(self._slots, True)
            for endpoint in self._endpoints:
                if not self._connections[endpoint.name].attached:
                    attached[endpoint.replica] = False
            names = [name for name, all_are in attached.items() if all_are]
            if names:
                return names
            # A replica's own tables show it as well, once a worker is back.
            job.inline = False
        return super().candidates(job)

    # -- sharing out -------------------------------------------------------------------------
    def _fan_out_query(self, job: RemoteQueryJob) -> Answer | None:
        """The answers of several workers, if their snapshots show the same; None leaves it to one."""
        parts = self._fan_out.parts(job.queries)
        if parts < 2 or job.inline:
            return None
        models = tuple(job.models)
        names = self.replicas.fresh(models, job.target)
        if len(names) < 2 or not self._alike(names, models):
            return None
        endpoints = self._free(names, parts)
        if len(endpoints) < 2:
            return None
        jobs: list[RemoteQueryJob] = []
        replies: list[Reply[list[Any]]] = []
        for queries in self._fan_out.split(job.queries, len(endpoints)):
            part = RemoteQueryJob(queries, job.deadline, job.target)
            part.body = self._packed(queries)
            # All have to show one position of all the models, whichever of them their own queries read.
            part.models = job.models
            reply: Reply[list[Any]] = Reply()
            part.future = reply
            jobs.append(part)
            replies.append(reply)
        first = jobs[0]
        first.is_leader = True
        for endpoint, part in zip(reversed(endpoints), reversed(jobs), strict=True):
            endpoint.mailbox.put(part)
        self._connections[endpoints[0].name].read_as_leader(first, job.deadline)
        results: list[Any] = []
        try:
            for one in replies:
                results += one.result(max(job.deadline - time.monotonic(), 0.0))
        except TimeoutError:
            for one in replies:
                one.cancel()
            return None
        shown = {(part.seen, part.newest) for part in jobs}
        if len(shown) > 1 or not self._alike(names, models):
            self._fan_out.diverged()
            return None
        self._fan_out.note_success(job.queries, sum(part.took for part in jobs))
        return Answer(results, first.seen, first.newest)

    def _alike(self, names: Sequence[str], models: Sequence[str]) -> bool:
        """Whether these models are the same builds of the same code on these replicas, and stay so."""
        builds = set()
        for name in names:
            slot = self._slots[name]
            if slot.changing or slot.projector.building or slot.damage is not None:
                return False
            state = slot.store.state
            # Without the generation, which counts what a replica has built.
            builds.add(tuple(state.build(model).rpartition(".")[0] for model in models))
        return len(builds) == 1

    def _free(self, names: Sequence[str], most: int) -> list[QueryEndpoint]:
        """The least loaded query actor of each of `most` of these replicas at most, least loaded first."""
        least: dict[str, QueryEndpoint] = {}
        for endpoint in self._endpoints:
            if endpoint.replica in names and (
                endpoint.replica not in least or endpoint.load() < least[endpoint.replica].load()
            ):
                least[endpoint.replica] = endpoint
        return sorted(least.values(), key=QueryEndpoint.load)[:most]
