"""The keyword arguments of commands and queries, declared once for all the methods that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict
from uuid import UUID

from actors.domain.middleware import Call
from actors.errors import ConcurrencyConflict, InvalidMessage
from actors.writer.submission import Receipt
from storage.value_text import shown

__all__ = [
    "MOST_SECONDS",
    "After",
    "AppendOptions",
    "CommandOptions",
    "Consistency",
    "ManyOptions",
    "MaxLag",
    "OnConflict",
    "QueryOptions",
    "checked",
    "checked_call",
    "checked_timeout",
]

OnConflict = Literal["raise"] | int | Callable[[ConcurrencyConflict], Any]
Consistency = Literal["eventual", "strong"]
MaxLag = int | float | timedelta
After = Receipt | int | str

MOST_SECONDS = 1e9
"""The longest time-out, some thirty years: clocks and locks take no more than a few of those."""


class ManyOptions(TypedDict, total=False):
    """Options of `execute_many`, and of every other way to write.

    `timeout`: seconds to wait, for room in the mailbox and for the reply together, from the call on; 30 unless
    given. `causation_id`, `correlation_id` and `metadata` (a dict of values that the codec
    knows) are stored with each event.
    """

    timeout: float
    causation_id: str | None
    correlation_id: str | None
    metadata: dict[str, Any] | None


class AppendOptions(ManyOptions, total=False):
    """Options of `append`.

    `expected_version`: the version that the stream has to have, 0 for a new one.
    `command_id` (text or UUID): the same again returns the first receipt and writes nothing.
    """

    expected_version: int | None
    command_id: str | UUID | None


class CommandOptions(AppendOptions, total=False):
    """Options of `execute`, `submit` and `aexecute`.

    `on_conflict` says what happens when `expected_version` is not met: "raise", a number of
    retries on the version found, or a function from the `ConcurrencyConflict` (with `command`,
    the `events` since, and `actual`) to another command, or None to raise. `deadline` (seconds
    from the call, or an aware datetime): the command is not executed after it.
    """

    on_conflict: OnConflict
    deadline: float | datetime | None


class QueryOptions(TypedDict, total=False):
    """Options of everything that reads.

    `consistency="strong"` sees everything committed before the call; `after=` a receipt, a
    position or a session's token sees that; `max_lag=` positions (int) or seconds (float,
    timedelta) bounds how far behind the answer may be, as of the call; together, the strictest
    holds. `timeout`: seconds from the call, for finding a replica and for the answer together; unless given
    the query class's own, which is 10 unless declared.
    """

    consistency: Consistency
    after: After | None
    max_lag: MaxLag | None
    timeout: float


def checked(options: Mapping[str, Any], kind: type, method: str) -> None:
    """Raise `TypeError` for an option that `method` does not have, `ValueError` for a bad `timeout`.

    `InvalidMessage` for `metadata` of another shape; whether its values can be stored turns out with the event.
    """
    for name in options:
        if name not in kind.__annotations__:
            known = ", ".join(sorted(kind.__annotations__))
            raise TypeError(f"{method}() has no option {name!r}; its options are {known}")
    checked_timeout(options.get("timeout", 0), method)
    _checked_metadata(options.get("metadata"), method)


def checked_call(call: Call) -> None:
    """As `checked`, for what middleware has made of a call; `TypeError` where its options are no dict any more."""
    kind, method = (CommandOptions, "execute") if call.kind == "command" else (QueryOptions, "query")
    if not isinstance(call.options, dict):
        raise TypeError(
            f"call.options are those of {method}(), a dict, not {shown(call.options)}; leave it, or give an empty one"
        )
    checked(call.options, kind, method)
    _checked_metadata(call.metadata, method)


def _checked_metadata(metadata: Any, method: str) -> None:
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata)
    ):
        raise InvalidMessage(f"{method}(metadata=) is a dict with str keys, not {shown(metadata)}")


def checked_timeout(timeout: Any, method: str) -> None:
    """Raise `ValueError` for what is no number of seconds that `method` could wait."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 <= timeout <= MOST_SECONDS:
        raise ValueError(
            f"{method}(timeout=) is a number of seconds from 0 to {MOST_SECONDS:,.0f}, not {shown(timeout)}"
        )
