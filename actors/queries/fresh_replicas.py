"""Which replicas are fresh enough for a read: now, or as soon as one is. Any thread; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.errors import ConsistencyTimeout, DomainError, ModelStopped, SystemClosed, advice_on
from actors.replication.progress import Progress

__all__ = ["FreshReplicas"]


class FreshReplicas:
    """The replicas on which some models have applied a position, `target`; 0 or less if any will do."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._opening = progress.head
        self.why_not: Callable[[Sequence[str], int], str] = lambda _models, _target: ""
        """Says of models that have not applied a position where they are, and what holds them."""

    def fresh(self, models: tuple[str, ...], target: int) -> list[str]:
        """The replicas that are fresh enough now."""
        # A replica that is being rebuilt is excluded until it has everything that was committed at the
        # opening.
        names = self._progress.fresh(models, max(target, self._opening))
        if names or target > 0 or self._progress.closed:
            return names
        return self._progress.most_advanced(models)

    def fresh_or_call(self, models: tuple[str, ...], target: int, callback: Callable[[], None]) -> list[str]:
        """As `fresh`; if there are none, `callback` will be called once there may be one.

        Raises `ModelStopped` if a model is stopped, so that waiting would not help; `SystemClosed` after the
        end.
        """
        progress = self._progress
        names = self.fresh(models, target)
        if names:
            return names
        if progress.closed:
            raise SystemClosed("the system is closed; the query was not run")
        if not progress.holders(models):
            raise DomainError(
                f"no replica has all of {', '.join(models)}; read fewer of them together, "
                "or give them a replica in common with replicas="
            )
        stopped = progress.stopped_model(models)
        if stopped is not None:
            raise ModelStopped(
                f"model {stopped[0]!r} is stopped on every replica: {stopped[1]}; health() has the event "
                "and the cause; the model continues by itself if that can be fixed while the system runs"
                f"{advice_on(stopped[1])}"
            )
        return progress.fresh_or_call(models, target, callback)

    def not_fresh(self, models: tuple[str, ...], target: int, timeout: float) -> ConsistencyTimeout:
        """The error for a caller whose time is over before a replica was fresh enough."""
        target = max(target, self._opening)
        head = self._progress.head
        yet = f", and the log ends at {head}" if target > head else ""
        held = self.why_not(models, target)
        return ConsistencyTimeout(
            f"no replica became fresh enough in {', '.join(models)} within {timeout:g} s: "
            f"position {target} was asked for{yet}{'; ' if held else ''}{held}; no stale answer was given; "
            "give a longer timeout=, a weaker consistency, or look at health()"
        )
