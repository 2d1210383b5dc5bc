"""The views that are open: snapshots that callers read in their own threads, up to a maximum age.

Runs in callers' threads; the supervisor's thread closes views that are too old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from actors.domain.access import Access
from actors.domain.lookup import checked_model
from actors.domain.read_model import ReadModel
from actors.domain.specs import CompiledDomain
from actors.errors import SystemClosed, ViewExpired
from actors.queries.consistency import target_position
from actors.queries.query_dispatcher import TIMEOUT, QueryDispatcher
from actors.queries.query_job import all_inline
from actors.queries.view import View
from actors.replication.progress import Progress
from actors.replication.replica_status import SnapshotSource
from storage import StorageError, StoreClosed
from storage.errors import FilesGone
from storage.files.damage import is_damage
from storage.log.inline_snapshot import InlineSnapshot

__all__ = ["ViewRegistry"]

MOMENT = 0.001


class ViewRegistry:
    """Opens views, and knows those that are open."""

    def __init__(
        self,
        domain: CompiledDomain,
        dispatcher: QueryDispatcher,
        progress: Progress,
        stores: Mapping[str, SnapshotSource],
        inline: Callable[..., InlineSnapshot],
        mark_damaged: Callable[[str, SnapshotSource, str], bool],
        moved: Callable[[], bool],
    ) -> None:
        """`inline` takes a snapshot of the inline models' tables. `mark_damaged` has a damaged replica reset;
        False if it stays in use. `moved` says whether the store is not where it was opened any more.
        """
        self._domain = domain
        self._dispatcher = dispatcher
        self._progress = progress
        self._stores = stores
        self._inline = inline
        self._mark_damaged = mark_damaged
        self._moved = moved
        self._views_lock = threading.Lock()
        self._views: dict[int, View] = {}

    def open(self, models: Sequence[ReadModel], options: dict[str, Any]) -> View:
        """A snapshot of a fresh enough replica, read in the caller's thread."""
        given = [checked_model(model, self._domain, "view") for model in models]
        opened = {model.name: model for model in given or self._domain.models.values()}
        names = tuple(opened)
        if self._domain.guards:
            self._domain.guards.check(Access("view", names=names))
        timeout = options.pop("timeout", TIMEOUT)
        target = target_position(self._progress, tokens=self._dispatcher.tokens, **options)
        end = time.monotonic() + timeout
        if all_inline(opened) and (view := self._inline_view(opened, target)) is not None:
            return view
        # There nearly always is one: then nothing has to be made to wait with.
        replicas = self._dispatcher.replicas.fresh(names, target)
        while True:
            if replicas:
                view = self._open_view(self._dispatcher.balancer.next_replica(replicas), opened, target)
                if view is not None:
                    return view
                if self._progress.closed:
                    raise SystemClosed("the system is closed; no view was opened")
            again = threading.Event()
            try:
                # A replica that is not as fresh as it was reported gets a moment, until that is reported too.
                late = bool(replicas) and not again.wait(MOMENT) and time.monotonic() > end
                replicas = self._dispatcher.replicas.fresh_or_call(names, target, again.set)
                if late or not (replicas or again.wait(max(end - time.monotonic(), 0))):
                    raise self._dispatcher.replicas.not_fresh(names, target, timeout)
            except BaseException:
                self._progress.forget(again.set)
                raise

    def _open_view(self, replica: str, models: Mapping[str, ReadModel], target: int) -> View | None:
        """The view; None if the replica was or will be reset in between, or one of the models stopped."""
        store = self._stores[replica]
        try:
            snapshot = store.snapshot(models, closed=ViewExpired)
            lowest, highest = snapshot.checkpoints(models)
        except ViewExpired:
            return None
        except (StoreClosed, FilesGone):
            if self._moved():
                raise
            # The replica's own thread notices it and resets the replica, or has just done so.
            return None
        except StorageError as error:
            if self._is_damage(replica, store, error):
                return None
            raise
        if lowest != highest or lowest < target or lowest < self._progress.floor(replica, models):
            snapshot.close()
            return None
        return self._kept(
            View(
                snapshot, models, replica, self._view_closed, failed=partial(self._is_damage, replica, store)
            )
        )

    def _is_damage(self, replica: str, store: SnapshotSource, error: BaseException) -> bool:
        """Whether the replica is damaged; it is then excluded and reset."""
        return is_damage(error, store) and self._mark_damaged(replica, store, f"it is damaged: {error}")

    def _inline_view(self, models: Mapping[str, ReadModel], target: int) -> View | None:
        """A view of the writer's own tables; None if they are not that far, or the log can't be read now."""
        try:
            view = View(self._inline(closed=ViewExpired), models, "", self._view_closed)
        except StorageError:
            return None
        if view.position() < target:
            view.close()
            return None
        return self._kept(view)

    def _kept(self, view: View) -> View:
        with self._views_lock:
            self._views[id(view)] = view
        return view

    def _view_closed(self, view: View) -> None:
        with self._views_lock:
            self._views.pop(id(view), None)

    def any_open(self) -> bool:
        """Whether a view is open. Any thread."""
        return bool(self._views)

    def forked(self) -> None:
        """In a forked child: views that were open before raise `ViewExpired` from now on."""
        self._views_lock = threading.Lock()
        for view in list(self._views.values()):
            view.abandon()

    def expire(self, max_age: float) -> int:
        """Close the views older than `max_age` seconds; returns how many. The supervisor's thread."""
        limit = time.monotonic() - max_age
        with self._views_lock:
            old = [view for view in self._views.values() if view.opened < limit]
        for view in old:
            view.close()
        return len(old)
