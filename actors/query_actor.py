"""Query actors: each answers queries on snapshots of one replica, in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import InvalidStateError
from typing import Any

from actors._specs import QuerySpec
from actors.errors import ActorsError, DeadlineExceeded, QueryFailed
from actors.mailbox import Mailbox, Request
from actors.reply import Reply
from actors.view import View
from actors.worker import Worker
from storage import ReplicaStore

__all__ = ["QueryActor", "QueryJob", "QueryStats"]

MAX_BATCH = 64


class QueryJob(Request):
    """Queries that are answered on one snapshot.

    `seen` is the lowest checkpoint of the models read, set before the future is.
    """

    __slots__ = ("deadline", "future", "models", "queries", "seen")

    def __init__(self, queries: list[tuple[Any, QuerySpec]], deadline: float) -> None:
        self.queries = queries
        self.models = {model.name: model for _, spec in queries for model in spec.models}
        self.deadline = deadline
        self.future: Reply[list[Any]] = Reply()
        self.seen = 0

    def answer(self, outcome: list[Any] | Exception) -> None:
        """Give the caller the results, or the error, unless it went away."""
        try:
            if isinstance(outcome, Exception):
                self.future.set_exception(outcome)
            else:
                self.future.set_result(outcome)
        except InvalidStateError:
            pass

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self.answer(error)


class QueryStats:
    """What one query actor did; it outlives the actor. Written by its thread, read by any."""

    __slots__ = ("activity", "failed", "served")

    def __init__(self) -> None:
        self.served = 0
        self.failed = 0
        self.activity: tuple[str, float] | None = None


class QueryActor(Worker):
    """Runs queries. Messages: `QueryJob`; all that wait together share one snapshot."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        exited: Callable[[str, BaseException | None], None],
        *,
        store: ReplicaStore,
        stats: QueryStats,
    ) -> None:
        super().__init__(name, mailbox, exited)
        self._store = store
        self._stats = stats

    def on_receive(self, message: Any) -> None:
        """Answer the job and those behind it."""
        if message.__class__ is not QueryJob:
            super().on_receive(message)
            return
        jobs = [message, *self.mailbox.drain(MAX_BATCH, QueryJob)]
        try:
            self._answer_all(jobs)
        finally:
            self._stats.activity = None
            for job in jobs:
                if not job.future.done():
                    job.answer(QueryFailed("the query actor stopped in the middle; ask again"))

    def _answer_all(self, jobs: list[QueryJob]) -> None:
        snapshot = self._store.snapshot()
        try:
            for job in jobs:
                if time.monotonic() > job.deadline:
                    job.answer(
                        DeadlineExceeded("the query's time-out passed before its turn; it was not run")
                    )
                    continue
                view = View(snapshot, job.models)
                try:
                    job.seen = min(map(snapshot.checkpoint, job.models), default=0)
                    job.answer([self._run(query, spec, view) for query, spec in job.queries])
                except Exception as error:
                    self._stats.failed += 1
                    job.answer(error)
        finally:
            snapshot.close()

    def _run(self, query: Any, spec: QuerySpec, view: View) -> Any:
        self._stats.activity = (spec.name, time.monotonic())
        try:
            result = query.run(view)
            # A lazy result would read from a snapshot that is closed by then.
            if isinstance(result, Iterator):
                result = list(result)
        except ActorsError:
            raise
        except BaseException as error:
            raise QueryFailed(f"query {spec.name} failed with {type(error).__name__}: {error}") from error
        self._stats.served += 1
        return result
