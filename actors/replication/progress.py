"""How far the writer and every model on every replica are; shared by all threads.

The writer and the replicas publish here after each commit, which releases callers that wait
for a position. Nothing polls: a waiter is called by the thread that made it true.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from actors.replication.commit_times import CommitTimes
from actors.replication.freshness_waiters import FreshnessWaiters
from actors.replication.model_progress import NEVER, ModelProgress

__all__ = ["ModelProgress", "Progress"]


class Progress:
    """A monitor of positions; every method may be called from any thread and holds its lock briefly."""

    def __init__(
        self,
        head: int,
        models: Sequence[str],
        replicas: Sequence[str],
        placed: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`head` is the log's last position at opening; models count as at 0 until their replica speaks.

        `placed` names the replicas of each model, where it is not on all of them.
        """
        self.head = head
        self.leader: str | None = None
        """The replica that projects for all; None while none does."""
        self.closed = False
        self.forked = False
        placed = placed or {}
        self.replicas = {
            name: {model: ModelProgress(0) for model in models if name in placed.get(model, replicas)}
            for name in replicas
        }
        self.occupied: frozenset[str] = frozenset()
        self._commits = CommitTimes(head)
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._waiters = FreshnessWaiters()
        self._withheld: dict[str, set[str]] = {}
        self._withhold_after_reset: set[str] = set()
        self._watching = 0
        self._at_commit: dict[Callable[[], None], None] = {}
        self.on_wait: Callable[[], None] = lambda: None
        """Called when a caller begins to wait for replicas: what is held back for them has to go out now."""
        self.look: Callable[[], object] | None = None
        """Publishes what another process has committed by now; None where this process commits itself."""

    # -- publishing --------------------------------------------------------------------------
    def committed(self, last: int) -> None:
        """The writer: everything up to `last` is on disk."""
        with self._moved:
            self.head = last
            self._commits.note(last)
            self._moved.notify_all()
            waiting, self._at_commit = self._at_commit, {}
        for callback in waiting:
            callback()

    def applied(self, replica: str, checkpoints: Iterable[tuple[str, int]]) -> None:
        """A replica: these models run, and have applied everything up to their positions."""
        with self._lock:
            on_replica = self.replicas[replica]
            highest = 0
            for model, position in checkpoints:
                on_replica[model].applied = position
                on_replica[model].stopped = None
                on_replica[model].readable = True
                highest = max(highest, position)
            self._moved.notify_all()
            ready = self._waiters.take_ready(highest, self._fresh) if self._waiters else ()
        for callback in ready:
            callback()

    def stopped(self, replica: str, model: str, position: int, why: str, *, readable: bool = False) -> None:
        """A replica: this model stopped before the event after `position`; `readable` if it lacks room."""
        with self._lock:
            entry = self.replicas[replica][model]
            entry.applied = position
            entry.stopped = why
            entry.readable = readable
            self._moved.notify_all()
        # They find the model stopped, or another replica to ask.
        self.recheck(model)

    def recheck(self, model: str) -> None:
        """Call those that wait for this model: it stopped, or another build of it serves."""
        with self._lock:
            waiting = self._waiters.take_of(model)
        for callback in waiting:
            callback()

    def exclude(self, replica: str) -> None:
        """Its tables must not be read until it has been reset and has caught up."""
        with self._lock:
            for entry in self.replicas[replica].values():
                entry.applied = 0
                entry.floor = NEVER

    def mark_reset(self, replica: str) -> None:
        """Its tables are empty, and readable once they have what is committed now."""
        with self._lock:
            for entry in self.replicas[replica].values():
                entry.applied, entry.floor = 0, self.head
                entry.stopped, entry.readable = None, True
            for model in self._withhold_after_reset & self.replicas[replica].keys():
                self._withhold(replica, model)

    # -- models that replicas must not serve -------------------------------------------------
    def withhold_after_reset(self, models: Iterable[str]) -> None:
        """From now on a replica that is reset must not serve these models until `settle`."""
        with self._lock:
            self._withhold_after_reset = set(models)

    def withhold(self, replica: str, model: str) -> None:
        """The replica must not serve the model until `settle`."""
        with self._lock:
            self._withhold(replica, model)

    def _withhold(self, replica: str, model: str) -> None:
        self._withheld.setdefault(model, set()).add(replica)
        self.replicas[replica][model].floor = NEVER

    def withheld(self, model: str) -> frozenset[str]:
        """The replicas that must not serve the model."""
        with self._lock:
            return frozenset(self._withheld.get(model, ()))

    def settle(self, model: str) -> None:
        """Let every replica serve the model, once it has what is committed now."""
        with self._moved:
            self._withhold_after_reset.discard(model)
            for replica in self._withheld.pop(model, ()):
                self._admit(self.replicas[replica][model], replica)
            self._moved.notify_all()
        self.recheck(model)

    def _admit(self, entry: ModelProgress, replica: str) -> None:  # noqa: ARG002
        entry.floor = self.head

    def floor(self, replica: str, models: Iterable[str]) -> int:
        """The position below which these models are not to be read there."""
        entries = self.replicas[replica]
        floor = 0
        for model in models:
            if entries[model].floor > floor:
                floor = entries[model].floor
        return floor

    def moved(self) -> None:
        """Wake those that wait for a condition of their own."""
        with self._moved:
            self._moved.notify_all()

    def set_occupied(self, replicas: Iterable[str]) -> None:
        """These replicas' query actors make no progress: ask others, as long as there are others."""
        occupied = frozenset(replicas)
        if len(occupied) == len(self.replicas):
            occupied = frozenset()
        if occupied == self.occupied:
            return
        with self._lock:
            self.occupied = occupied
            ready = self._waiters.take_ready(self.head, self._fresh)
        for callback in ready:
            callback()

    # -- asking ------------------------------------------------------------------------------
    def latest_head(self) -> int:
        """The last position that is committed by now. Where another process writes, it looks there first."""
        if self.look is not None:
            self.look()
        return self.head

    def _fresh(self, models: Sequence[str], position: int) -> list[str]:
        found: list[str] = []
        behind: list[str] = []
        occupied = self._not_to_ask(models)
        for name, on_replica in self.replicas.items():
            if name in occupied:
                continue
            stopped, at = False, -1
            for model in models:
                entry = on_replica.get(model)
                if entry is None or entry.applied < position or entry.applied < entry.floor:
                    break
                # Together they have to show one position: a model that stands still keeps the others from
                # being read.
                if not entry.readable or at not in (-1, entry.applied):
                    break
                at = entry.applied
                stopped = stopped or entry.stopped is not None
            else:
                (behind if stopped else found).append(name)
        return found or behind

    def _not_to_ask(self, models: Sequence[str]) -> Container[str]:
        """The occupied replicas, unless no other has these models."""
        occupied = self.occupied
        return occupied if occupied and set(self.holders(models)) - occupied else ()

    def holders(self, models: Iterable[str]) -> list[str]:
        """The replicas that have all of these models, however far they are."""
        wanted = set(models)
        return [name for name, on_replica in self.replicas.items() if wanted <= on_replica.keys()]

    def fresh(self, models: Sequence[str], position: int) -> list[str]:
        """The replicas to ask: each of these models runs there and has applied `position`, all of them the
        same.

        If there are none, those on which a model stopped for lack of room after it had applied that.
        """
        return self._fresh(models, position)

    def everywhere(self, position: int) -> bool:
        """Whether every model on every replica runs and has applied `position`."""
        return all(
            entry.applied >= max(position, entry.floor) and entry.stopped is None
            for on_replica in self.replicas.values()
            for entry in on_replica.values()
        )

    def fresh_or_call(
        self, models: tuple[str, ...], position: int, callback: Callable[[], None]
    ) -> list[str]:
        """As `fresh`; if there is none, `callback` is called once, as soon as there may be one, or it is
        certain that there will be none."""
        with self._lock:
            found = self._fresh(models, position)
            in_vain = not found and (self.closed or self.stopped_model(models) is not None)
            if not found and not in_vain:
                self._waiters.add(position, models, callback)
        if in_vain:
            callback()
        elif not found:
            self.on_wait()
        return found

    def forget(self, callback: Callable[[], None]) -> None:
        """Drop a waiter that gave up."""
        with self._lock:
            self._waiters.forget(callback)

    def most_advanced(self, models: Sequence[str]) -> list[str]:
        """The replicas that run these models and have applied the most, the same of each; perhaps none."""
        best, found = -1, []
        occupied = self._not_to_ask(models)
        for name in self.holders(models):
            entries = [self.replicas[name][model] for model in models]
            applied = min((entry.applied for entry in entries), default=0)
            if name in occupied or any(
                entry.stopped is not None or entry.applied > applied or applied < entry.floor
                for entry in entries
            ):
                continue
            if applied > best:
                best, found = applied, [name]
            elif applied == best:
                found.append(name)
        return found

    def stopped_model(self, models: Sequence[str]) -> tuple[str, str] | None:
        """A (model, reason) among these that is stopped on every replica that has them all, or None."""
        holders = self.holders(models)
        for model in models:
            reasons = [self.replicas[name][model].stopped for name in holders]
            if reasons and all(reason is not None for reason in reasons):
                return model, str(reasons[0])
        return None

    def position_before(self, seconds: float) -> int:
        """The last position that was committed at least `seconds` ago.

        Commits of before this process opened the store count as old.
        """
        with self._lock:
            return self._commits.position_before(seconds)

    def lag_seconds(self, position: int) -> float:
        """Seconds since the commit of the oldest event after `position`; 0.0 when there is none."""
        with self._lock:
            return 0.0 if position >= self.head else self._commits.seconds_since(position)

    def wait_committed(self, position: int, timeout: float | None) -> bool:
        """Wait until `position` is on disk or the system closes; False if neither happens in `timeout`
        seconds."""
        with self._moved:
            return self._moved.wait_for(lambda: self.head >= position or self.closed, timeout)

    def call_committed(self, position: int, callback: Callable[[], None]) -> bool:
        """Have `callback` called once, at the next commit or close; False, and it is not called, if there is
        nothing to wait for.

        It is called in the thread that commits or closes: it has to be quick.
        """
        with self._lock:
            if self.head >= position or self.closed:
                return False
            self._at_commit[callback] = None
            return True

    def forget_committed(self, callback: Callable[[], None]) -> None:
        """Drop a callback that was not called yet."""
        with self._lock:
            self._at_commit.pop(callback, None)

    def any_stopped(self) -> tuple[str, str, str] | None:
        """A (replica, model, reason) that is stopped, or None."""
        for name, on_replica in self.replicas.items():
            for model, entry in on_replica.items():
                if entry.stopped is not None:
                    return name, model, entry.stopped
        return None

    def wait_until(self, reached: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `reached()`, which is asked again after every change; False after `timeout` seconds."""
        with self._lock:
            self._watching += 1
        try:
            self.on_wait()
            with self._moved:
                return self._moved.wait_for(reached, timeout)
        finally:
            with self._lock:
                self._watching -= 1

    @property
    def has_waiters(self) -> bool:
        """Whether a caller waits for replicas."""
        return bool(self._waiters or self._watching)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for replicas or for a commit."""
        return bool(self._waiters or self._watching or self._at_commit)

    def close(self) -> None:
        """Release everyone who waits; they find the system closed."""
        with self._moved:
            self.closed = True
            self._moved.notify_all()
            waiting = self._waiters.take_all()
            waiting += self._at_commit
            self._at_commit = {}
        for callback in waiting:
            callback()
