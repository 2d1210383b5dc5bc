"""The mailbox of a query actor in a worker process: the socket itself, so that no other thread comes between.

The query actor's thread reads questions and writes answers; it is the only one that does.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import Any, cast

from actors.errors import ActorsError, QueryFailed, described
from actors.kernel.actor import Kill
from actors.kernel.mailbox import Mailbox
from actors.queries.cache import ResultCache
from actors.queries.query_job import QueryJob
from actors.worker_processes.wire import protocol
from actors.worker_processes.wire.error_codec import pack_error
from actors.worker_processes.wire.framing import Line, framed
from actors.worker_processes.wire.query_codec import Questions
from storage import CodecError
from storage.codec.codec import Codec

__all__ = ["Inbox"]

HELD = 0.0002
"""Seconds for which an answer may wait for others that are sent with it."""

HELD_BYTES = 1 << 16


class Inbox(Mailbox):
    """Questions from the parent, and what the worker's own supervisor puts."""

    def __init__(self, line: Line, codec: Codec, questions: Questions, cache: ResultCache | None) -> None:
        super().__init__()
        self._wire = line
        self._codec = codec
        self._questions = questions
        self._cache = cache
        self._bodies: deque[bytes] = deque()
        self._answers: list[bytes] = []
        self._size = 0
        self._since = 0.0
        self._before = 0.0

    def put(self, envelope: Any, /) -> None:
        """For the order to stop, which comes after all questions that are here already. The worker's main thread."""
        super().put(envelope)
        self._wire.read_no_more()

    def get(self) -> Any:
        """The next question; waits for one."""
        if self._pushed_back:
            return self._pushed_back.popleft()
        while (one := self._next()) is None:
            self.flush()
            bodies = self._wire.receive()
            if bodies is None:
                return super().get()
            self._bodies.extend(bodies)
            self._before = time.monotonic()
        return one

    def drain(self, limit: int, *kinds: type) -> list[Any]:
        """The questions that came with the one before."""
        taken: list[Any] = []
        while len(taken) < limit and (one := self._next()) is not None:
            if kinds and one.__class__ not in kinds:
                self._pushed_back.append(one)
                break
            taken.append(one)
        return taken

    def _next(self) -> Any:
        """The next of those that are here; None when there is none."""
        while self._bodies:
            body = self._bodies.popleft()
            if body == protocol.KILL:
                return Kill()
            try:
                return self._job(body)
            except Exception as error:
                # One whose class refuses what the same class held in the parent: nobody else is to suffer for it.
                number, *_ = protocol.QUESTION.unpack_from(body)
                failed = QueryFailed(f"the query could not be read in the worker process: {described(error)}")
                self.answer(number, protocol.FAILED, QueryJob([], 0.0), self.failure(failed))
        return None

    def _job(self, body: bytes) -> QueryJob:
        number, target, seconds, inline = protocol.QUESTION.unpack_from(body)
        queries = self._questions.unpack(body[protocol.QUESTION.size :])
        job = QueryJob(queries, time.monotonic() + seconds, target)
        job.inline = inline
        job.future = cast(Any, _Answer(self, number, job))
        cache = self._cache
        if cache is not None and not inline and any(spec.cache for _, spec in queries):
            job.keys = [cache.key(query) if spec.cache else None for query, spec in queries]
        return job

    # -- answering ---------------------------------------------------------------------------
    def answer(self, number: int, kind: int, job: QueryJob, data: bytes) -> None:
        """Send an answer, perhaps together with those that follow at once."""
        now = time.monotonic()
        took, self._before = now - self._before, now
        body = protocol.ANSWER.pack(number, kind, job.seen, job.newest, took) + data
        if not self._answers:
            self._since = now
        self._answers.append(framed(body))
        self._size += len(body)
        if now - self._since > HELD or self._size > HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send the answers that wait."""
        if self._answers:
            data = b"".join(self._answers)
            self._answers.clear()
            self._size = 0
            # Where the parent is gone, or has given this worker up, the end is noticed elsewhere.
            with suppress(OSError):
                self._wire.send_all(data)

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
                        f"the result of query {spec.name} can't be sent from a worker process: {why}; return what the "
                        "codec encodes: None, numbers, texts, bytes, lists, dicts, tuples, frozensets, dates, and "
                        'classes that are registered with value(), or open the system with workers="thread"'
                    ) from why
            raise QueryFailed(f"the results can't be sent from a worker process: {error}") from error

    def failure(self, error: BaseException) -> bytes:
        """An error as it is sent."""
        return pack_error(error, self._codec)


class _Answer:
    """Stands for the future of a job: what is set is sent."""

    __slots__ = ("_done", "_inbox", "_inline", "_job", "_number")

    def __init__(self, inbox: Inbox, number: int, job: QueryJob) -> None:
        self._inbox = inbox
        self._number = number
        self._job: QueryJob | None = job
        self._inline = job.inline
        self._done = False

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        """Never: the parent drops the answer of one who went away."""
        return False

    def set_result(self, results: list[Any]) -> None:
        job = self._take()
        try:
            data = self._inbox.encoded(job, results)
        except ActorsError as error:
            self._inbox.answer(self._number, protocol.FAILED, job, self._inbox.failure(error))
            return
        self._inbox.answer(self._number, protocol.RESULTS, job, data)

    def set_exception(self, error: BaseException) -> None:
        job = self._take()
        try:
            data = self._inbox.failure(error)
        except Exception as why:
            data = self._inbox.failure(
                QueryFailed(f"the query failed, and its error can't be told: {described(why)}")
            )
        self._inbox.answer(self._number, protocol.FAILED, job, data)

    def redirect(self) -> None:
        """Have the parent ask another replica."""
        job = self._take()
        kind = protocol.ELSEWHERE_TABLES if self._inline and not job.inline else protocol.ELSEWHERE
        self._inbox.answer(self._number, kind, job, b"")

    def _take(self) -> QueryJob:
        """The job, once; without it there is no cycle that the garbage collector would have to find."""
        job, self._job = self._job, None
        assert job is not None
        self._done = True
        return job
