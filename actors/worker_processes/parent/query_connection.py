"""The parent's end of one query actor in a worker process: the queries in flight, and who reads the answers.

This is the leader/follower pattern. A caller sends its query from its own thread. A caller that waits for the
answer becomes the leader: it reads the connection itself, its own answer and those of the others (the
followers) that come meanwhile, so that no further thread has to run. While no caller leads, the proxy's
thread reads.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from actors.errors import QueryFailed, described
from actors.kernel.actor import Kill
from actors.kernel.mailbox import Mailbox, Request
from actors.queries.query_endpoint import QueryStats
from actors.queries.query_job import QueryJob
from actors.replication.progress import Progress
from actors.worker_processes.parent.remote_query_job import RemoteQueryJob
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import unpack_error
from actors.worker_processes.wire.framing import Connection
from storage.codec.codec import Codec

__all__ = ["QueryConnection", "ReadAnswers"]

MAX_POSITION = (1 << 64) - 1
"""A position that no log reaches."""


class ReadAnswers(Request):
    """To the proxy of a query actor: no caller reads the answers."""

    __slots__ = ()


class QueryConnection(Mailbox):
    """The mailbox of a query actor that is in another process; outlives that.

    Its queue holds what is for the proxy; queries go to the worker at once.
    """

    def __init__(
        self,
        replica: str,
        codec: Codec,
        stats: QueryStats,
        progress: Progress,
        redirect: Callable[[QueryJob], None],
    ) -> None:
        """`redirect` finds another replica for a job."""
        super().__init__()
        self._replica = replica
        self._codec = codec
        self._stats = stats
        self._progress = progress
        self._redirect = redirect
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._reader_lock = threading.Lock()
        self._connection: Connection | None = None
        self._in_flight: dict[int, RemoteQueryJob] = {}
        self._reader_requested = False

    def __len__(self) -> int:
        """Queries that are not answered."""
        return len(self._in_flight)

    @property
    def attached(self) -> bool:
        """Whether there is a worker to ask."""
        return self._connection is not None

    def attach(self, connection: Connection) -> None:
        """There is a worker. The thread of the replica's proxy."""
        with self._lock:
            self._connection = connection

    def detach(self) -> list[RemoteQueryJob]:
        """The worker is gone; returns the queries it did not answer. The thread of the replica's proxy."""
        with self._lock:
            connection, self._connection = self._connection, None
            jobs = list(self._in_flight.values())
            self._in_flight.clear()
            self._stats.activity = None
        if connection is not None:
            connection.shutdown()
            with self._reader_lock:
                connection.close()
        return jobs

    def redirect_all(self) -> None:
        """Send to other workers what this one does not answer. The supervisor's thread."""
        with self._lock:
            jobs = list(self._in_flight.values())
            self._in_flight.clear()
            self._stats.activity = None
        for job in jobs:
            self.redirect(job)

    # -- asking: callers' threads ------------------------------------------------------------
    def put(self, envelope: Any, /) -> None:
        """Send a job to the worker; anything else is for the proxy's thread. Any thread."""
        if envelope.__class__ is RemoteQueryJob:
            self._ask(envelope)
            return
        if envelope.__class__ is Kill and (connection := self._connection) is not None:
            connection.send(protocol.KILL)
        super().put(envelope)

    def _ask(self, job: RemoteQueryJob) -> None:
        number = next(self._numbers)
        now = time.monotonic()
        head = protocol.QUERY.pack(
            number, min(max(job.target, 0), MAX_POSITION), job.deadline - now, job.inline
        )
        with self._lock:
            connection = self._connection
            if connection is not None:
                if not self._in_flight:
                    self._stats.activity = (job.queries[0][1].name, now)
                self._in_flight[number] = job
                waits = not connection.send(head + job.body)
        if self._refusal is not None:
            self._refuse_waiting()
        elif connection is None:
            self.redirect(job)
        elif not job.is_leader or waits:
            self._request_reader()

    def _request_reader(self) -> None:
        """Have the proxy's thread read until nothing is in flight."""
        if not self._reader_requested:
            self._reader_requested = True
            super().put(ReadAnswers())

    def request_reader_again(self) -> None:
        """Have it read if queries are in flight whose callers rely on that. The thread of a new proxy."""
        self._reader_requested = False
        if self._in_flight:
            self._request_reader()

    def redirect(self, job: RemoteQueryJob) -> None:
        """Find another replica for a job. Any thread."""
        job.is_leader = False
        self._redirect(job)

    # -- reading -----------------------------------------------------------------------------
    def read_as_leader(self, job: RemoteQueryJob, end: float) -> None:
        """Read answers in the caller's thread until that to `job` is there; returns if another thread reads
        already."""
        if not self._reader_lock.acquire(blocking=False):
            return
        try:
            future = job.future
            while job.is_leader and not future.done():
                connection = self._connection
                if (
                    connection is None
                    or not connection.ready_to_receive(end - time.monotonic())
                    or not self._receive(connection)
                ):
                    break
        finally:
            self._reader_lock.release()
            if self._in_flight:
                self._request_reader()

    def read_rest(self) -> None:
        """Read answers until none is missing. The proxy's thread."""
        self._reader_requested = False
        while self._in_flight and self.empty():
            # A leader requests a reader at its end, if something is left.
            if not self._reader_lock.acquire(blocking=False):
                return
            try:
                connection = self._connection
                if connection is None or not connection.readable(None) or not self._receive(connection):
                    return
            finally:
                self._reader_lock.release()

    def _receive(self, connection: Connection) -> bool:
        bodies = connection.receive()
        if bodies is None:
            return False
        for body in bodies:
            self._on_response(body)
        return True

    def _on_response(self, body: bytes) -> None:
        number, kind, seen, newest, took = protocol.RESPONSE.unpack_from(body)
        stats = self._stats
        with self._lock:
            job = self._in_flight.pop(number, None)
            rest = self._in_flight
            stats.activity = (
                (next(iter(rest.values())).queries[0][1].name, time.monotonic()) if rest else None
            )
        if job is None:
            return
        if kind >= protocol.REDIRECT:
            if kind == protocol.REDIRECT_TO_REPLICA:
                job.inline = False
            self.redirect(job)
            return
        data = body[protocol.RESPONSE.size :]
        if kind == protocol.FAILED:
            stats.failed += 1
            job.answer(unpack_error(data, self._codec))
            return
        job.seen, job.newest, job.took = seen, newest, took
        # The worker checked that itself; since then the replica may have been excluded here.
        if not job.inline and job.unfit(self._progress.floor(self._replica, job.models)):
            self.redirect(job)
            return
        try:
            results = self._codec.unpack(data)
        except Exception as error:
            job.answer(
                QueryFailed(f"the results can't be decoded as they came from a worker: {described(error)}")
            )
            return
        stats.served += len(results)
        job.answer(results)

    # -- closing -----------------------------------------------------------------------------
    def _refuse_waiting(self) -> None:
        refusal = self._refusal
        assert refusal is not None
        with self._lock:
            jobs = list(self._in_flight.values())
            self._in_flight.clear()
        for job in jobs:
            job.fail(refusal())
        super()._refuse_waiting()
