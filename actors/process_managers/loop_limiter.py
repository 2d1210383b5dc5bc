"""Limits instances that drive themselves in a loop: what they ask for comes back to them at once. Pure.

A timer that sets itself without a delay, a command whose event or rejection has it issued again, an effect
whose answer asks for it again: such a loop never ends by itself. Each instance has a token bucket for such
inputs of one correlation, which fills again slowly. If it is empty, and the causes of the input show a loop,
the instance is set aside: others go on, health names it, and an operator may skip the input.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.domain.reserved_ids import is_of_manager
from actors.errors import Runaway
from actors.process_managers.causation_chains import origin_of
from actors.process_managers.inputs import Decision, Input

__all__ = ["BURST", "PER_SECOND", "QUICK_US", "RESUME_TOKENS", "LoopLimiter"]

BURST = 10_000
"""Inputs by which an instance may drive itself without a pause."""
PER_SECOND = 10
"""Inputs by which it may do so per second in the long run."""
RESUME_TOKENS = 600
"""Inputs that must be allowed again before an instance that reached its limit goes on: a minute's."""
QUICK_US = 1_000_000 // PER_SECOND
"""Microseconds: a timer with less delay that is set when a timer fires counts as part of a loop."""
MAX_BUCKETS = 10_000
"""Buckets that are in memory."""

LoopKey = tuple[str, str | int]


class LoopLimiter:
    """The buckets of one manager's instances, each for what has one correlation; lost at a restart."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._buckets: dict[LoopKey, tuple[float, int]] = {}
        self._over: set[LoopKey] = set()

    def check(
        self,
        input: Input,
        decision: Decision,
        managers: frozenset[str],
        now_us: int,
        is_loop: Callable[[Input], bool] = lambda _input: True,
    ) -> None:
        """Take a token for an input that may be part of a loop; raises `Runaway` where there is none.

        `is_loop` decides whether it is one, and is asked only then: what others cause is never limited.
        """
        if not _may_loop(input, decision, managers):
            return
        key = _loop_key(input)
        tokens, since = self._buckets.get(key, (float(BURST), now_us))
        tokens = min(tokens + max(now_us - since, 0) * PER_SECOND / 1e6, float(BURST))
        if tokens < (min(RESUME_TOKENS, BURST) if key in self._over else 1):
            self._buckets[key] = tokens, max(since, now_us)
            if not is_loop(input):
                return
            self._over.add(key)
            raise Runaway(
                f"instance {input.key!r:.100} of process manager {self._name!r} leads itself without end: "
                "what it asked for "
                f"came back to it at once {BURST:,} times in a row; give its timers a delay, or end what "
                "goes round, or pass "
                f"over this input with skip_instance; {RESUME_TOKENS} more are handled after a minute"
            )
        self._over.discard(key)
        self._buckets[key] = tokens - 1, max(since, now_us)
        if len(self._buckets) > MAX_BUCKETS:
            self._forget()

    def _forget(self) -> None:
        """Keep those that are nearest to their bound."""
        kept = sorted(self._buckets, key=lambda key: self._buckets[key][0])[: MAX_BUCKETS // 2]
        self._buckets = {key: self._buckets[key] for key in kept}
        self._over &= self._buckets.keys()


def _loop_key(input: Input) -> LoopKey:
    """An instance, and what all that has one cause shares: its correlation, or its first event."""
    if input.correlation is not None:
        return input.key, input.correlation
    origin = origin_of(input.id)
    return input.key, 0 if origin is None else origin[1]


def _may_loop(input: Input, decision: Decision, managers: frozenset[str]) -> bool:
    kind = input.kind
    if kind == "event" and not is_of_manager(input.causation, managers):
        return False
    if kind != "timer" and (decision.commands or decision.effects):
        return True
    soon = input.time_us + QUICK_US
    return any(timer.due_us < soon for timer in decision.timers_set)
