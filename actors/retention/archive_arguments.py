"""Which events an archive is to have, as a caller says it, checked. Pure; any thread."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from actors.retention.archive_plan import Selection
from actors.retention.stream_names import checked_streams
from actors.subscriptions.event_filter import category_of
from storage.value_text import short_repr

__all__ = ["selection_of"]


def selection_of(
    streams: Any, category: Any, closed: Any, quiet_since: Any, before_snapshot: Any, limit: Any
) -> Selection:
    """The arguments of `System.plan_archive`. Raises TypeError, ValueError, InvalidKey."""
    names = tuple(checked_streams("plan_archive(streams=)", streams))
    if not isinstance(category, str):
        raise TypeError(f"plan_archive(category=) is text, not {short_repr(category)}")
    if category and (names or category_of(category) != category):
        raise ValueError(
            "plan_archive(category=) is what comes before the first hyphen in names of streams, without "
            f"streams= beside it; got {short_repr(category)}"
        )
    if quiet_since is not None and (not isinstance(quiet_since, datetime) or quiet_since.tzinfo is None):
        raise ValueError(
            f"plan_archive(quiet_since=) is a datetime with a time zone, not {short_repr(quiet_since)}"
        )
    if before_snapshot and not closed:
        raise ValueError(
            "plan_archive(closed=False) takes open streams as a whole, and before_snapshot=True up to their "
            "snapshot: give one of them"
        )
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ValueError(f"plan_archive(limit=) is a number of events from 1 on, not {short_repr(limit)}")
    since_us = None if quiet_since is None else int(quiet_since.timestamp() * 1e6)
    return Selection(names, category, bool(closed), since_us, bool(before_snapshot), limit)
