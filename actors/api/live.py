"""What `System` tells as it happens. Callers' threads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from actors.api.base import Calls
from actors.consistency import position_of
from actors.messages import Receipt
from actors.subscription import subscribe
from storage import RecordedEvent

__all__ = ["LiveCalls"]


class LiveCalls(Calls):
    """Subscriptions."""

    def subscribe(
        self,
        after: Receipt | int = 0,
        *,
        until: Receipt | int | None = None,
        timeout: float | timedelta | None = None,
    ) -> Iterator[RecordedEvent]:
        """Every event after a position, in order, first from the log and then as they are committed.

        Ends at `until`, when the system closes, or when nothing new came for `timeout` seconds.
        The iterator belongs to one thread.
        """
        runtime = self._running()
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        end = None if until is None else position_of(until, "until")
        return subscribe(runtime.log, runtime.progress, position_of(after), end, seconds)
