"""What moves in one system and what does not: looked at at every tick, told by health and by those who waited in vain.

The supervisor's thread looks; any thread asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from actors.health import Activity
from actors.replication.current_event import CurrentEvent, ProjectionWatch
from actors.replication.lag import STILL, Lag
from actors.replication.progress_rate import ProgressRates

if TYPE_CHECKING:
    from actors.runtime.runtime import Runtime

__all__ = ["Monitor"]

MOST_TOLD = 6
"""Models on replicas that one error names; health has the others."""


class Monitor:
    """Of one runtime, whose parts it looks at without stopping them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._opened_at = runtime.progress.head
        self._movement = ProgressRates()
        self._watches = {name: ProjectionWatch() for name in runtime.slots} if runtime.crew is None else {}
        self._looked = time.monotonic()
        settings = runtime.settings
        self._still_after = min(STILL, settings.lag_limit / 2, settings.busy_limit / 2)

    def look(self) -> None:
        """See what has got on. The supervisor's thread."""
        runtime, now = self._runtime, time.monotonic()
        self._looked = now
        head = runtime.progress.head
        for name, entries in runtime.progress.replicas.items():
            for model, entry in entries.items():
                self._movement.look((name, model), entry.applied, head, now)
        for name, handle in runtime.processes.handles.items():
            self._movement.look(name, handle.board.status.position, head, now)
        for name, watch in self._watches.items():
            watch.look(runtime.slots[name].projector)

    def unwatched(self) -> float:
        """Seconds since the supervisor looked."""
        return time.monotonic() - self._looked

    # -- what runs ---------------------------------------------------------------------------
    def at_work(self, replica: str) -> CurrentEvent | None:
        """What a replica's thread is at, None where it is at nothing, or nothing is known."""
        runtime = self._runtime
        if runtime.crew is not None:
            return runtime.crew.workers[replica].at_work
        return self._watches[replica].now(runtime.slots[replica].projector)

    def running(self) -> tuple[Activity, ...]:
        """All user code that runs now, the longest first."""
        return tuple(sorted(self._running(), key=lambda one: -one.seconds))

    def _running(self) -> Iterator[Activity]:
        runtime, now = self._runtime, time.monotonic()
        desk = runtime.desk
        activity = desk.activity
        if activity is not None:
            command, stream, since = activity
            inline = desk.inline
            at = None if inline is None else inline.at
            inside = "" if at is None else f", in inline model {at[0].name!r} at event {at[1].type}"
            yield Activity("decider", command, f"on stream {stream!r}{inside}", _age(since, now))
        if desk.committing:
            yield Activity("commit", "command-handler", "the disk has the commit", _age(desk.committing, now))
        for replica in runtime.slots:
            work = self.at_work(replica)
            if work is not None:
                name = f"{work.model} on {replica}" if work.model else replica
                build = f", in its new build, version {work.version}" if work.building else ""
                yield Activity("projection", name, work.where + build, _age(work.since, now))
        for one in runtime.query_endpoints:
            activity_of = one.stats.activity
            if activity_of is not None:
                yield Activity("query", activity_of[0], f"on {one.name}", _age(activity_of[1], now))
        for kind, name, at_what, since in runtime.calls.now():
            yield Activity(kind, name, at_what, _age(since, now))

    # -- what lags ---------------------------------------------------------------------------
    def lag(self, replica: str, model: str) -> Lag:
        """How far a model on a replica is behind, and whether it moves."""
        progress = self._runtime.progress
        entry = progress.replicas[replica][model]
        applied = entry.applied
        filling = applied < max(entry.floor, self._opened_at)
        return self._lag((replica, model), applied, filling)

    def lag_of_process(self, name: str, position: int) -> Lag:
        """The same of a process manager."""
        return self._lag(name, position, position < self._opened_at)

    def _lag(self, key: tuple[str, str] | str, position: int, filling: bool) -> Lag:
        progress, now = self._runtime.progress, time.monotonic()
        behind = max(progress.head - position, 0)
        return Lag(
            position,
            behind,
            progress.lag_seconds(position),
            self._movement.still(key, position, now) if behind else 0.0,
            self._movement.rate(key, position, now),
            self._movement.left(key, position, now),
            filling,
            self._still_after,
        )

    def lag_told(self, replica: str, model: str) -> str:
        """How far a model on a replica is behind and what holds it, as the end of a sentence."""
        text = self.lag(replica, model).text
        held = self._frozen(replica, model) or self.held_at(replica, model)
        return f"{text}: {held}" if held else text

    # -- for those who waited in vain --------------------------------------------------------
    def why_not(self, models: Sequence[str], target: int) -> str:
        """Where those of these models are that have not applied `target`, as far as it is committed, and what holds each."""
        progress = self._runtime.progress
        target = min(target, progress.head)
        found: list[str] = []
        left_out = 0
        for replica, entries in progress.replicas.items():
            for model in models:
                entry = entries.get(model)
                if entry is None or (entry.stopped is None and entry.applied >= max(target, entry.floor)):
                    continue
                if len(found) < MOST_TOLD:
                    found.append(
                        f"{model} on {replica} is at position {entry.applied}: {self.held(replica, model)}"
                    )
                else:
                    left_out += 1
        if left_out:
            found.append(f"and {left_out} more are behind")
        return "; ".join(found)

    def held(self, replica: str, model: str) -> str:
        """What keeps a model on a replica from getting on."""
        runtime = self._runtime
        entry = runtime.progress.replicas[replica][model]
        if runtime.crew is not None:
            handle = runtime.crew.workers[replica]
            if not handle.ready:
                return "its worker process is being started"
            if handle.silent:
                return f"its worker process has not answered for {handle.silent:.1f} s"
        if entry.stopped is not None:
            return f"it is stopped, {entry.stopped}"
        if frozen := self._frozen(replica, model):
            return frozen
        held = self.held_at(replica, model)
        if held:
            return held
        lag = self.lag(replica, model)
        return f"it is {lag.text}" if lag.behind else "it has all that is committed"

    def _frozen(self, replica: str, model: str) -> str:
        """Why a model whose code is gone does not move, empty for any other."""
        if all(one.name != model for one in self._runtime.slots[replica].projector.frozen):
            return ""
        return "the code of the version that serves is gone, and the new one is being filled: see rebuilds()"

    def held_at(self, replica: str, model: str) -> str:
        """What the replica's thread has been at for a while, empty where it moves."""
        work = self.at_work(replica)
        if work is None:
            return ""
        seconds = time.monotonic() - work.since
        if seconds < self._still_after:
            return ""
        whose = "it" if work.model == model else f"the thread of {replica}"
        of = f" of model {work.model}" if work.model not in ("", model) else ""
        return f"{whose} has been {work.where}{of} for {seconds:.1f} s"


def _age(since: float, now: float) -> float:
    return round(max(now - since, 0.0), 3)
