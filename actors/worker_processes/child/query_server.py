"""The mailbox of a query actor in a worker process: the socket itself, so that no other thread is in between.

Only the query actor's thread reads queries from it and writes responses to it.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any

from actors.errors import ActorsError, QueryFailed, described
from actors.kernel.actor import Kill
from actors.kernel.mailbox import Mailbox
from actors.queries.query_job import QueryJob
from actors.queries.result_cache import ResultCache
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Connection, frame
from actors.worker_processes.wire.query_codec import QueryCodec
from storage import CodecError
from storage.codec.codec import Codec

__all__ = ["QueryServerMailbox", "redirect"]

BATCH_SECONDS = 0.0002
"""Seconds for which a response may wait for others that are sent with it."""

BATCH_BYTES = 1 << 16


class QueryServerMailbox(Mailbox):
    """The queries that the parent sends, and what the worker's own supervisor puts."""

    def __init__(
        self, connection: Connection, codec: Codec, query_codec: QueryCodec, cache: ResultCache | None
    ) -> None:
        super().__init__()
        self._connection = connection
        self._codec = codec
        self._query_codec = query_codec
        self._cache = cache
        self._bodies: deque[bytes] = deque()
        self._responses: list[bytes] = []
        self._size = 0
        self._since = 0.0
        self._before = 0.0

    def put(self, envelope: Any, /) -> None:
        """For a stop, which comes after all queries that are here already. The worker's main thread."""
        super().put(envelope)
        self._connection.shutdown_reading()

    def get(self) -> Any:
        """The next query; waits for one."""
        if self._pushed_back:
            return self._pushed_back.popleft()
        while (one := self._next()) is None:
            self.flush()
            bodies = self._connection.receive()
            if bodies is None:
                return super().get()
            self._bodies.extend(bodies)
            self._before = time.monotonic()
        return one

    def drain(self, limit: int, *kinds: type) -> list[Any]:
        """The queries that came with the one before."""
        taken: list[Any] = []
        while len(taken) < limit and (one := self._next()) is not None:
            if kinds and one.__class__ not in kinds:
                self._pushed_back.append(one)
                break
            taken.append(one)
        return taken

    def _next(self) -> Any:
        """The next of those that are here; None if there is none."""
        while self._bodies:
            body = self._bodies.popleft()
            if body == protocol.KILL:
                return Kill()
            try:
                return self._job(body)
            except Exception as error:
                # Its class refuses values that it held in the parent: no other query may suffer for that.
                number, *_ = protocol.QUERY.unpack_from(body)
                failed = QueryFailed(f"the query could not be read in the worker process: {described(error)}")
                self.respond(number, protocol.FAILED, QueryJob([], 0.0), self.failure(failed))
        return None

    def _job(self, body: bytes) -> QueryJob:
        number, target, seconds, inline = protocol.QUERY.unpack_from(body)
        queries = self._query_codec.unpack(body[protocol.QUERY.size :])
        job = QueryJob(queries, time.monotonic() + seconds, target)
        job.inline = inline
        job.future = response = ResponseFuture(self, number, job)
        job.retry = response.redirect
        cache = self._cache
        if cache is not None and not inline and any(spec.cache for _, spec in queries):
            job.keys = [cache.key(query) if spec.cache else None for query, spec in queries]
        return job

    # -- answering ---------------------------------------------------------------------------
    def respond(self, number: int, kind: int, job: QueryJob, data: bytes) -> None:
        """Send a response, perhaps together with those that follow immediately."""
        now = time.monotonic()
        took, self._before = now - self._before, now
        body = protocol.RESPONSE.pack(number, kind, job.seen, job.newest, took) + data
        if not self._responses:
            self._since = now
        self._responses.append(frame(body))
        self._size += len(body)
        if now - self._since > BATCH_SECONDS or self._size > BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send the responses that wait."""
        if self._responses:
            data = b"".join(self._responses)
            self._responses.clear()
            self._size = 0
            # If the parent is gone, or has replaced this worker, the end is noticed elsewhere.
            with suppress(OSError):
                self._connection.send_all(data)

    def encoded(self, job: QueryJob, results: list[Any]) -> bytes:
        """Results as they are sent. Raises `QueryFailed` that names the query whose result can't be."""
        try:
            return self._codec.pack(results)
        except CodecError as error:
            for (_, spec), result in zip(job.queries, results, strict=False):
                try:
                    self._codec.pack(result)
                except CodecError as why:
                    raise QueryFailed(
                        f"the result of query {spec.name} can't be sent from a worker process: {why}; return "
                        "what the codec encodes: None, numbers, texts, bytes, lists, dicts, tuples, "
                        "frozensets, dates, and "
                        'classes that are registered with value(), or open the system with workers="thread"'
                    ) from why
            raise QueryFailed(f"the results can't be sent from a worker process: {error}") from error

    def failure(self, error: BaseException) -> bytes:
        """An error as it is sent."""
        return pack_error(error, self._codec)


class ResponseFuture:
    """The future of a job in a worker process: what is set is sent."""

    __slots__ = ("_done", "_mailbox", "_inline", "_job", "_number")

    def __init__(self, mailbox: QueryServerMailbox, number: int, job: QueryJob) -> None:
        self._mailbox = mailbox
        self._number = number
        self._job: QueryJob | None = job
        self._inline = job.inline
        self._done = False

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        """Never: the parent drops the response for a caller that gave up."""
        return False

    def set_result(self, results: list[Any]) -> None:
        job = self._take()
        try:
            data = self._mailbox.encoded(job, results)
        except ActorsError as error:
            self._mailbox.respond(self._number, protocol.FAILED, job, self._mailbox.failure(error))
            return
        self._mailbox.respond(self._number, protocol.RESULTS, job, data)

    def set_exception(self, error: BaseException) -> None:
        job = self._take()
        try:
            data = self._mailbox.failure(error)
        except Exception as why:
            data = self._mailbox.failure(
                QueryFailed(f"the query failed, and its error cannot be sent: {described(why)}")
            )
        self._mailbox.respond(self._number, protocol.FAILED, job, data)

    def redirect(self) -> None:
        """Have the parent ask another replica."""
        job = self._take()
        kind = protocol.REDIRECT_TO_REPLICA if self._inline and not job.inline else protocol.REDIRECT
        self._mailbox.respond(self._number, kind, job, b"")

    def _take(self) -> QueryJob:
        """The job, once; without it there is no cycle for the garbage collector to find."""
        job, self._job = self._job, None
        assert job is not None
        self._done = True
        return job


def redirect(job: QueryJob) -> None:
    """Have the parent ask another replica for a job that a `QueryServerMailbox` gave out."""
    if job.retry is not None:
        job.retry()
