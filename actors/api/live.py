"""What `System` tells as it happens. Callers' threads and event loops."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from actors.api.base import Calls
from actors.consistency import position_of
from actors.live.filters import event_filter
from actors.live.subscription import Subscription
from actors.live.waiting import seconds_of
from actors.messages import Receipt

__all__ = ["LiveCalls"]

Types = type | str | Iterable[type | str]
"""Event classes, or the names that they are stored under: one, or several."""


class LiveCalls(Calls):
    """Subscriptions."""

    def subscribe(
        self,
        after: Receipt | int = 0,
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
        stream: str | None = None,
        category: str | None = None,
        types: Types | None = None,
        tag: str | None = None,
    ) -> Subscription:
        """Every event after a position, in order, first from the log and then as they are committed.

        To be iterated over with `for` or `async for`; for one thread or task at a time. Ends at `until`, at its
        `close()`, when the system closes, or when no event came for `timeout` seconds. Only events of this `stream`,
        of this `category` (what stands before the first hyphen of a stream's name), of these `types` (classes or
        stored names) and with this `tag`, where they are given: all that are given have to hold.

        Raises `ValueError` or `TypeError` for what is no position, time or name, `UnknownMessage` for a type that is
        no event of the domain; iterating raises what reading the log does.
        """
        runtime = self._running()
        return Subscription(
            runtime.log,
            runtime.progress,
            event_filter(runtime.domain, stream, category, types, tag),
            position_of(after),
            None if until is None else position_of(until, "until"),
            None if timeout is None else seconds_of(timeout, "timeout"),
        )
