"""The keyword arguments of everything that writes, declared once for all the methods that take them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypedDict
from uuid import UUID

from actors.errors import ConcurrencyConflict

__all__ = ["TIMEOUT", "AppendOptions", "CommandOptions", "ManyOptions", "OnConflict"]

TIMEOUT = 30.0
"""Seconds that a caller waits unless it says otherwise."""

OnConflict = Literal["raise"] | int | Callable[[ConcurrencyConflict], Any]


class ManyOptions(TypedDict, total=False):
    """Options of `execute_many`, and of every other way to write.

    `timeout`: seconds to wait, for room in the mailbox and for the reply together, from the call on; 30
    unless given. `causation_id`, `correlation_id` and `metadata` (a dict of values that the codec knows) are
    stored with each event.
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
