"""Instances that lead themselves: what they ask for comes back to them at once, and they ask again. Pure.

A timer that sets itself without a delay, a command whose event or whose rejection has it issued again, an effect whose answer
asks for it again: a loop of these never ends by itself. Each instance has a bucket of tokens for such inputs, which fills
again slowly. One whose bucket is empty is set aside, so that others go on, health names it, and an operator may pass over it.
"""

from __future__ import annotations

from actors.errors import Runaway
from actors.process.inputs import Decision, Input
from actors.process.unique_ids import is_of_manager

__all__ = ["AGAIN", "AT_ONCE", "A_SECOND", "QUICK_US", "SelfLed"]

AT_ONCE = 10_000
"""Inputs by which an instance may lead itself without a pause."""
A_SECOND = 10
"""Inputs that it may do so by in the long run, a second."""
AGAIN = 600
"""Inputs that have to be allowed again before one that came to its bound goes on: a minute's."""
QUICK_US = 1_000_000 // A_SECOND
"""Microseconds: a timer of less delay, set as a timer fires, is one that leads its instance."""
KEPT = 10_000
"""Instances that are in memory."""


class SelfLed:
    """The buckets of one manager's instances; lost at a restart."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._buckets: dict[str, tuple[float, int]] = {}
        self._over: set[str] = set()

    def require(self, input: Input, decision: Decision, managers: frozenset[str], now_us: int) -> None:
        """Take a token for an input by which an instance leads itself; raises `Runaway` where there is none."""
        if not _leads(input, decision, managers):
            return
        key = input.key
        tokens, since = self._buckets.get(key, (float(AT_ONCE), now_us))
        tokens = min(tokens + max(now_us - since, 0) * A_SECOND / 1e6, float(AT_ONCE))
        if tokens < (min(AGAIN, AT_ONCE) if key in self._over else 1):
            self._buckets[key] = tokens, max(since, now_us)
            self._over.add(key)
            raise Runaway(
                f"instance {key!r:.100} of process manager {self._name!r} leads itself without end: what it asked for came "
                f"back to it at once {AT_ONCE:,} times in a row; give its timers a delay, or end what goes round, or pass "
                f"over this input with skip_instance; {AGAIN} more are handled after a minute"
            )
        self._over.discard(key)
        self._buckets[key] = tokens - 1, max(since, now_us)
        if len(self._buckets) > KEPT:
            self._forget()

    def _forget(self) -> None:
        """Keep those that are nearest to their bound."""
        kept = sorted(self._buckets, key=lambda key: self._buckets[key][0])[: KEPT // 2]
        self._buckets = {key: self._buckets[key] for key in kept}
        self._over &= self._buckets.keys()


def _leads(input: Input, decision: Decision, managers: frozenset[str]) -> bool:
    kind = input.kind
    if kind == "event" and not is_of_manager(input.causation, managers):
        return False
    if kind != "timer" and (decision.commands or decision.effects):
        return True
    soon = input.time_us + QUICK_US
    return any(timer.due_us < soon for timer in decision.timers_set)
