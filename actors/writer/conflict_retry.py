"""What happens on a `ConcurrencyConflict`: the innermost middleware, in the caller's thread."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from actors.domain.call_options import checked_call
from actors.domain.middleware import Call, Middleware
from actors.errors import ConcurrencyConflict
from actors.writer.aggregate_cache import History
from actors.writer.options import CommandOptions, OnConflict
from storage.log.stored_events import without_dropped
from storage.value_text import short_repr

__all__ = ["conflict_retry"]


def conflict_retry(on_conflict: OnConflict, history: History) -> Middleware:
    """A middleware that retries on the version found, or merges the command with the events since.

    Raises `ValueError` for anything but a number of retries or a function.
    """
    if not callable(on_conflict) and (isinstance(on_conflict, bool) or not isinstance(on_conflict, int)):
        raise ValueError(
            f"on_conflict= is 'raise', a number of retries, or a function, not {short_repr(on_conflict)}"
        )

    def resolve(call: Call) -> Generator[None, Any, Any]:
        checked_call(call, CommandOptions, "execute")
        left = on_conflict if isinstance(on_conflict, int) else 0
        message, expected = call.message, call.options.get("expected_version")
        try:
            while True:
                try:
                    return (yield)
                except ConcurrencyConflict as conflict:
                    if callable(on_conflict):
                        conflict.command = call.message
                        between = max(conflict.actual - conflict.expected, 0)
                        conflict.events = [
                            recorded.event
                            for recorded in without_dropped(
                                history.read_stream(conflict.stream, conflict.expected, between)
                            )
                        ]
                        merged = on_conflict(conflict)
                        if merged is None:
                            raise
                        call.merge(merged)
                    elif left > 0:
                        left -= 1
                    else:
                        raise
                    call.options["expected_version"] = conflict.actual
        except BaseException:
            # A middleware further out that tries again begins with what it was given.
            call.message, call.options["expected_version"] = message, expected
            raise

    return resolve
