"""Query actors: each answers queries on snapshots of one replica, in a thread of its own."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from concurrent.futures import InvalidStateError
from typing import Any

from actors.definition.specs import QuerySpec
from actors.errors import ActorsError, QueryFailed, QueryTimeout, described
from actors.mailbox import Mailbox, Request
from actors.queries.cache import RecordingView, ResultCache, spans_of
from actors.queries.view import View
from actors.read_model import ReadModel
from actors.replicas.progress import Progress
from actors.reply import Reply
from actors.worker import Worker
from storage import ReplicaStore, Snapshot, SnapshotClosed, StorageError, StoreClosed
from storage.damage import is_damage
from storage.inline import InlineSnapshot

__all__ = ["QueryActor", "QueryJob", "QueryStats", "all_inline"]

MAX_BATCH = 64
_WHOLE = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
"""What nearly every query returns. Asking whether it is an iterator takes as long as a look-up in LMDB."""


def all_inline(models: Mapping[str, ReadModel]) -> bool:
    """Whether the writer keeps all of these models itself."""
    for model in models.values():  # A plain loop: each query and view asks.
        if not model.inline:
            return False
    return bool(models)


class QueryJob(Request):
    """Queries that are answered on one snapshot, which has `target` at least applied in each model.

    `seen` and `newest` are the lowest and the highest checkpoint of the models read, set before the future is.
    `keys` are those of the result cache, None where it is not asked. With `inline` it reads the writer's own tables,
    which no replica needs to have caught up with. `dispatch` is what looks for a replica, as long as a caller waits.
    """

    __slots__ = (
        "deadline",
        "dispatch",
        "future",
        "inline",
        "keys",
        "models",
        "newest",
        "queries",
        "seen",
        "target",
    )

    def __init__(self, queries: list[tuple[Any, QuerySpec]], deadline: float, target: int = 0) -> None:
        self.queries = queries
        if len(queries) == 1:
            spec = queries[0][1]
            self.models, self.inline = spec.by_name, spec.inline
        else:
            self.models = {model.name: model for _, spec in queries for model in spec.models}
            self.inline = all_inline(self.models)
        self.deadline = deadline
        self.target = target
        self.future: Reply[list[Any]] = Reply()
        self.keys: list[bytes | None] | None = None
        self.dispatch: Any = None
        self.seen = 0
        self.newest = 0

    def unfit(self, floor: int) -> bool:
        """Whether the snapshot lacks what the caller asked for, or the replica's `floor`, or shows several moments."""
        seen = self.seen
        return seen < self.target or seen < floor or seen != self.newest

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
        replica: str,
        stores: Mapping[str, ReplicaStore],
        stats: QueryStats,
        progress: Progress,
        redirect: Callable[[QueryJob], None],
        condemn: Callable[[str, ReplicaStore, str], None],
        inline: Callable[[], InlineSnapshot],
        cache: ResultCache | None = None,
    ) -> None:
        """`redirect` finds another replica for a job that this one turns out to be no good for.

        `condemn` has a damaged replica begun anew; `stores` has its store at each moment. `inline` takes a
        snapshot of the inline models' tables.
        """
        super().__init__(name, mailbox, exited)
        self._replica = replica
        self._stores = stores
        self._stats = stats
        self._progress = progress
        self._condemn = condemn
        self._redirect = redirect
        self._inline = inline
        self._cache = cache

    def on_receive(self, message: Any) -> None:
        """Answer the job and those behind it."""
        if message.__class__ is not QueryJob:
            super().on_receive(message)
            return
        jobs = deque([message, *self.mailbox.drain(MAX_BATCH, QueryJob)])
        try:
            self._answer_all(jobs)
        finally:
            self._stats.activity = None
            for job in jobs:
                if not job.future.done():
                    job.answer(QueryFailed("the query actor stopped in the middle; ask again"))

    def _answer_all(self, jobs: deque[QueryJob]) -> None:
        for job in [job for job in jobs if job.inline]:
            self._answer_inline(job)
            jobs.remove(job)
            if not jobs:
                return
        store = self._stores[self._replica]
        try:
            models = jobs[0].models if len(jobs) == 1 else {model for job in jobs for model in job.models}
            snapshot = store.snapshot(models)
        except StorageError as error:
            # It was begun anew this moment, or has to be.
            elsewhere = isinstance(error, StoreClosed) or self._is_damage(store, error)
            while jobs:
                job = jobs.popleft()
                if elsewhere:
                    self._redirect(job)
                else:
                    self._stats.failed += 1
                    job.answer(error)
            return
        outcome = None
        try:
            while jobs:
                job = jobs[0]
                if not self._is_late(job) and not job.future.cancelled():
                    outcome = self._outcome(job, store, snapshot)
                    if outcome is not None:
                        if len(jobs) == 1:
                            break
                        job.answer(outcome)
                jobs.popleft()
        finally:
            snapshot.close()
        if jobs and outcome is not None:
            # Last of all, so that this thread is done with the interpreter when the caller's wakes up and wants it.
            self._stats.activity = None
            jobs[0].answer(outcome)

    def _answer_inline(self, job: QueryJob) -> None:
        """Answer from the tables that the writer keeps: what was committed before this is in them."""
        if job.future.cancelled() or self._is_late(job):
            return
        try:
            snapshot = self._inline()
        except StorageError:
            self._leave_to_replicas(job)
            return
        try:
            job.seen = job.newest = min(map(snapshot.checkpoint, job.models))
            if job.seen < job.target:
                # A position yet to come: replicas tell when it is there.
                self._leave_to_replicas(job)
                return
            view = View(snapshot, job.models)
            job.answer([self._run(query, spec, view) for query, spec in job.queries])
        except Exception as error:
            if isinstance(error.__cause__, SnapshotClosed) and time.monotonic() < job.deadline:
                # The log was reopened meanwhile.
                self._redirect(job)
                return
            self._stats.failed += 1
            job.answer(error)
        finally:
            snapshot.close()

    def _leave_to_replicas(self, job: QueryJob) -> None:
        job.inline = False
        self._redirect(job)

    @staticmethod
    def _is_late(job: QueryJob) -> bool:
        """Whether the caller's time is over; it is told so."""
        late = time.monotonic() > job.deadline
        if late:
            job.answer(
                QueryTimeout(
                    "the query's time-out passed before its turn; it was not run: ask again, with a longer timeout= "
                    "or with more replicas"
                )
            )
        return late

    def _is_damage(self, store: ReplicaStore, error: BaseException) -> bool:
        """Whether the error is the replica's fault, which is then left out and begun anew."""
        damaged = is_damage(error, store)
        if damaged:
            self._condemn(self._replica, store, f"it is damaged: {error}")
        return damaged

    def _outcome(
        self, job: QueryJob, store: ReplicaStore, snapshot: Snapshot
    ) -> list[Any] | Exception | None:
        """The results, or the error; None where it was left to another replica."""
        try:
            job.seen, job.newest = snapshot.checkpoints(job.models)
            floor = self._progress.floor(self._replica, job.models)
            if job.unfit(floor):
                # The replica was begun anew after the job was given to it, or one of the models stopped.
                self._redirect(job)
                return None
            if job.keys is not None:
                return self._run_and_keep(job, job.keys, snapshot)
            view = View(snapshot, job.models, lend=True)
            return [self._run(query, spec, view) for query, spec in job.queries]
        except Exception as error:
            if self._is_damage(store, error):
                self._redirect(job)
                return None
            self._stats.failed += 1
            return error

    def _run_and_keep(self, job: QueryJob, keys: list[bytes | None], snapshot: Snapshot) -> list[Any]:
        """Each result from the cache, or found on a view of its own and kept: before the caller can change it."""
        cache = self._cache
        assert cache is not None
        results = []
        for (query, spec), key in zip(job.queries, keys, strict=True):
            known = None if key is None else cache.find(key, snapshot)
            if known is not None:
                results.append(known[0])
                continue
            view = RecordingView(snapshot, job.models, lend=True)
            results.append(self._run(query, spec, view))
            if key is not None:
                cache.put(key, results[-1], spans_of(view, snapshot))
        return results

    def _run(self, query: Any, spec: QuerySpec, view: View) -> Any:
        self._stats.activity = (spec.name, time.monotonic())
        try:
            result = query.run(view)
            # A lazy result would read from a snapshot that is closed by then.
            if result.__class__ not in _WHOLE and isinstance(result, Iterator):
                result = list(result)
            if view.lent:
                # The views of a dict can't be copied.
                if isinstance(result, ItemsView | KeysView | ValuesView):
                    result = list(result)
                result = copy.deepcopy(result)
        except ActorsError:
            raise
        except BaseException as error:
            raise QueryFailed(f"query {spec.name} failed with {described(error)}") from error
        self._stats.served += 1
        return result
