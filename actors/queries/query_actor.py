"""Query actors: each answers queries on snapshots of one replica, in a thread of its own."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from actors.domain.specs import QuerySpec
from actors.errors import ActorsError, QueryFailed, QueryTimeout, described
from actors.kernel.actor import SupervisedActor
from actors.kernel.mailbox import Mailbox
from actors.queries.encoded_query import EncodedQuery, opened
from actors.queries.query_endpoint import QueryStats
from actors.queries.query_job import QueryJob
from actors.queries.recording_view import RecordingView, spans_of
from actors.queries.result_cache import ResultCache
from actors.queries.view import View
from actors.replication.progress import Progress
from storage import ReplicaStore, Snapshot, StorageError, StoreClosed
from storage.codec.codec import Codec
from storage.errors import FilesGone
from storage.files.damage import is_damage
from storage.log.inline_snapshot import InlineSnapshot

__all__ = ["QueryActor"]

MAX_BATCH = 64
_WHOLE = frozenset({dict, list, tuple, str, int, float, bool, type(None)})
"""The types of nearly all results. Asking whether one is an iterator takes as long as a look-up in LMDB."""


class QueryActor(SupervisedActor):
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
        mark_damaged: Callable[[ReplicaStore, str], bool],
        inline: Callable[[], InlineSnapshot],
        codec: Codec,
        cache: ResultCache | None = None,
    ) -> None:
        """`redirect` finds another replica for a job that this one can't answer.

        `mark_damaged` has a damaged replica reset, False if it stays in use; `stores` has its store
        at each moment. `inline` takes a snapshot of the inline models' tables.
        """
        super().__init__(name, mailbox, exited)
        self._replica = replica
        self._stores = stores
        self._stats = stats
        self._progress = progress
        self._mark_damaged = mark_damaged
        self._redirect = redirect
        self._inline = inline
        self._codec = codec
        self._cache = cache

    def on_receive(self, message: Any) -> None:
        """Answer the job and those that wait behind it."""
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
        if len(jobs) == 1:
            self._answer_together(jobs, jobs[0].models, jobs[0].deadline)
            return
        models = {model for job in jobs for model in job.models}
        if all(len(job.models) == len(models) for job in jobs):
            self._answer_together(jobs, models, max(job.deadline for job in jobs))
        # A model that can't be read, or not yet, does not concern the jobs that do not read it.
        elif not self._answer_together(jobs, models, 0.0, last=False):
            self._answer_apart(jobs)

    def _answer_apart(self, jobs: deque[QueryJob]) -> None:
        """Answer jobs on a snapshot for each set of models; those that have to wait for one come last."""
        for last in (False, True):
            for models in dict.fromkeys(frozenset(job.models) for job in jobs):
                mine = deque(job for job in jobs if job.models.keys() == models)
                others = [job for job in jobs if job.models.keys() != models]
                try:
                    end = max(job.deadline for job in mine) if last else 0.0
                    self._answer_together(mine, models, end, last=last)
                finally:
                    jobs.clear()
                    jobs.extend([*mine, *others])

    def _answer_together(
        self, jobs: deque[QueryJob], models: Collection[str], end: float, *, last: bool = True
    ) -> bool:
        """Answer jobs on one snapshot of these models, waiting for it until `end`; whether there was one.

        Unless it is the `last` attempt, the jobs are left as they are where there was none.
        """
        store = self._stores[self._replica]
        try:
            snapshot = store.snapshot(models, end=end)
        except StorageError as error:
            elsewhere = self._is_gone(store, error)
            if not last and not elsewhere:
                return False
            while jobs:
                job = jobs.popleft()
                if elsewhere:
                    self._redirect(job)
                elif not self._is_late(job):
                    self._stats.failed += 1
                    job.answer(error)
            return True
        self._answer_on(jobs, store, snapshot)
        return True

    def _answer_on(self, jobs: deque[QueryJob], store: ReplicaStore, snapshot: Snapshot) -> None:
        """Answer jobs on a snapshot, and close it."""
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
            # Last of all, so that this thread does not need the GIL any more when the caller's thread wakes
            # up.
            self._stats.activity = None
            jobs.popleft().answer(outcome)

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
                # A position that is not committed yet: replicas notify when it is there.
                self._leave_to_replicas(job)
                return
            view = View(snapshot, job.models)
            results = [self._run(query, spec, view) for query, spec in job.queries]
            if snapshot.closed:
                # The log was reopened meanwhile.
                self._redirect(job)
                return
            job.answer(results)
        except Exception as error:
            if snapshot.closed:
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
        """Whether the caller's time is over; then the job is answered with that."""
        late = time.monotonic() > job.deadline
        if late:
            job.answer(
                QueryTimeout(
                    "the query's time-out passed before its turn; it was not run: "
                    "ask again, with a longer timeout= or with more replicas"
                )
            )
        return late

    def _is_gone(self, store: ReplicaStore, error: BaseException) -> bool:
        """Whether to ask another replica: this one was reset just now, or has to be."""
        if isinstance(error, StoreClosed) or self._stores[self._replica] is not store:
            return True
        if isinstance(error, FilesGone):
            return self._mark_damaged(store, f"its files were removed: {error}")
        return is_damage(error, store) and self._mark_damaged(store, f"it is damaged: {error}")

    def _outcome(
        self, job: QueryJob, store: ReplicaStore, snapshot: Snapshot
    ) -> list[Any] | Exception | None:
        """The results, or the error; None if the job was left to another replica."""
        try:
            job.seen, job.newest = snapshot.checkpoints(job.models)
            floor = self._progress.floor(self._replica, job.models)
            if job.unfit(floor):
                # The replica was reset after the job was sent to it, or one of the models stopped.
                self._redirect(job)
                return None
            if job.keys is not None:
                results = self._run_and_keep(job, job.keys, snapshot)
            else:
                view = View(snapshot, job.models, lend=True)
                results = [self._run(query, spec, view) for query, spec in job.queries]
            if not snapshot.closed:
                return results
            # The replica was reset meanwhile; what the query returned then is not a result.
        except Exception as error:
            if not snapshot.closed and not self._is_gone(store, error):
                self._stats.failed += 1
                return error
        self._redirect(job)
        return None

    def _run_and_keep(self, job: QueryJob, keys: list[bytes | None], snapshot: Snapshot) -> list[Any]:
        """Each result, from the cache or a view of its own; cached before the caller can change it."""
        cache = self._cache
        assert cache is not None
        results = []
        for (query, spec), key in zip(job.queries, keys, strict=True):
            known = None if key is None else cache.find(key, snapshot)
            if known is not None:
                results.append(known[0])
                continue
            view = RecordingView(snapshot, job.models, lend=True)
            result = self._run(query, spec, view)
            if key is not None:
                result = cache.put(key, result, spans_of(view, snapshot))
            results.append(result)
        return results

    def _run(self, query: Any, spec: QuerySpec, view: View) -> Any:
        self._stats.activity = (spec.name, time.monotonic())
        try:
            if query.__class__ is EncodedQuery:
                query = opened(query, spec, self._codec)
            result = query.run(view)
            # An iterator would read from the snapshot after it is closed.
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
