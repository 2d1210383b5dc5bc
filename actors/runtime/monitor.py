"""What moves in one system and what does not: sampled at every tick, shown in health and in errors of waits
that timed out.

The supervisor's thread samples; any thread asks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from actors.health import Activity
from actors.replication.lag import STILL, Lag
from actors.replication.progress_rate import ProgressRates
from actors.runtime.parts import Parts

__all__ = ["Monitor"]

MAX_NAMED = 6
"""Models on replicas that one error names; health has the others."""


class Monitor:
    """Reads the parts of one running system without stopping them."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._opened_at = parts.progress.head
        self._rates = ProgressRates()
        self._looked = time.monotonic()
        settings = parts.settings
        self._still_after = min(STILL, settings.lag_limit / 2, settings.busy_limit / 2)

    def look(self) -> None:
        """Sample what has moved. The supervisor's thread."""
        parts, now = self._parts, time.monotonic()
        self._looked = now
        head = parts.progress.head
        for name, entries in parts.progress.replicas.items():
            for model, entry in entries.items():
                self._rates.look((name, model), entry.applied, head, now)
        for name, handle in parts.process_managers.handles.items():
            self._rates.look(name, handle.board.status.position, head, now)

    def unwatched(self) -> float:
        """Seconds since the supervisor sampled."""
        return time.monotonic() - self._looked

    # -- what runs ---------------------------------------------------------------------------
    def running(self) -> tuple[Activity, ...]:
        """All user code that runs now, the longest first."""
        return tuple(sorted(self._running(), key=lambda one: -one.seconds))

    def _running(self) -> Iterator[Activity]:
        parts, now = self._parts, time.monotonic()
        writer = parts.writer
        activity = writer.activity
        if activity is not None:
            command, stream, since = activity
            inline = writer.inline
            at = None if inline is None else inline.at
            inside = "" if at is None else f", in inline model {at[0].name!r} at event {at[1].type}"
            yield Activity("decider", command, f"on stream {stream!r}{inside}", _age(since, now))
        if writer.committing:
            yield Activity(
                "commit", "command-handler", "the disk has the commit", _age(writer.committing, now)
            )
        for replica in parts.replicas.slots:
            work = parts.replicas.current_event(replica)
            if work is not None:
                name = f"{work.model} on {replica}" if work.model else replica
                build = f", in its new build, version {work.version}" if work.building else ""
                yield Activity("projection", name, work.where + build, _age(work.since, now))
        for one in parts.replicas.endpoints:
            activity_of = one.stats.activity
            if activity_of is not None:
                yield Activity("query", activity_of[0], f"on {one.name}", _age(activity_of[1], now))
        for kind, name, at_what, since in parts.calls.now():
            yield Activity(kind, name, at_what, _age(since, now))

    # -- what lags ---------------------------------------------------------------------------
    def lag(self, replica: str, model: str) -> Lag:
        """How far a model on a replica is behind, and whether it moves."""
        progress = self._parts.progress
        entry = progress.replicas[replica][model]
        applied = entry.applied
        filling = applied < max(entry.floor, self._opened_at)
        return self._lag((replica, model), applied, filling)

    def lag_of_process(self, name: str, position: int) -> Lag:
        """The same of a process manager."""
        return self._lag(name, position, position < self._opened_at)

    def _lag(self, key: tuple[str, str] | str, position: int, filling: bool) -> Lag:
        progress, now = self._parts.progress, time.monotonic()
        behind = max(progress.head - position, 0)
        return Lag(
            position,
            behind,
            progress.lag_seconds(position),
            self._rates.still(key, position, now) if behind else 0.0,
            self._rates.rate(key, position, now),
            self._rates.left(key, position, now),
            filling,
            self._still_after,
        )

    def lag_text(self, replica: str, model: str) -> str:
        """How far a model on a replica is behind and what holds it up, as the end of a sentence."""
        text = self.lag(replica, model).text
        held = self._frozen(replica, model) or self.held_by_projection(replica, model)
        return f"{text}: {held}" if held else text

    # -- for those who waited in vain --------------------------------------------------------
    def why_not(self, models: Sequence[str], target: int) -> str:
        """Of these models, where those are that have not applied `target`, as far as it is committed, and
        what holds each one up."""
        progress = self._parts.progress
        target = min(target, progress.head)
        found: list[str] = []
        left_out = 0
        for replica, entries in progress.replicas.items():
            for model in models:
                entry = entries.get(model)
                if entry is None or (entry.stopped is None and entry.applied >= max(target, entry.floor)):
                    continue
                if len(found) < MAX_NAMED:
                    found.append(
                        f"{model} on {replica} is at position {entry.applied}: {self.held(replica, model)}"
                    )
                else:
                    left_out += 1
        if left_out:
            found.append(f"and {left_out} more are behind")
        return "; ".join(found)

    def held(self, replica: str, model: str) -> str:
        """What holds a model on a replica up."""
        parts = self._parts
        entry = parts.progress.replicas[replica][model]
        if hindrance := parts.replicas.hindrance(replica):
            return hindrance
        if entry.stopped is not None:
            return f"it is stopped, {entry.stopped}"
        if frozen := self._frozen(replica, model):
            return frozen
        held = self.held_by_projection(replica, model)
        if held:
            return held
        lag = self.lag(replica, model)
        return f"it is {lag.text}" if lag.behind else "it has all that is committed"

    def _frozen(self, replica: str, model: str) -> str:
        """Why a model whose code is gone does not move, empty for any other."""
        if all(one.name != model for one in self._parts.replicas.slots[replica].projector.frozen):
            return ""
        return "the code of the version that serves is gone, and the new one is being filled: see rebuilds()"

    def held_by_projection(self, replica: str, model: str) -> str:
        """What the replica's thread has been at for a while; empty if it moves."""
        work = self._parts.replicas.current_event(replica)
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
