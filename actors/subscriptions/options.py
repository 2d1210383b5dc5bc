"""The keyword arguments of consumers, declared once for the methods that take them, and checked. Callers'
threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Literal, NamedTuple, TypedDict

from actors.domain.specs import CompiledDomain
from actors.queries.consistency import position_of
from actors.receipt import Receipt
from actors.subscriptions.delivery_policy import DeliveryPolicy
from actors.subscriptions.event_filter import EventFilter, event_filter
from actors.subscriptions.group_keys import checked_name
from actors.subscriptions.waiters import seconds_of
from storage.value_text import short_repr

__all__ = ["ConsumerOptions", "ConsumerSpec", "Start", "Types", "checked_spec", "whole_number"]

MOST_IN_FLIGHT = 10_000
"""They are written with each commit of acknowledgements."""

Start = Literal["beginning", "now"] | Receipt | int
"""Where a new consumer begins: before all events, after those there are, or after this position."""

Types = type | str | Iterable[type | str]
"""Event classes, or the names that they are stored under: one, or several."""


class ConsumerOptions(TypedDict, total=False):
    """Options of `consumer` and `consume`.

    `start`: where a new name begins, "beginning" unless given. `stream`, `category`, `types` and `tag`: as
    for `subscribe`. All five are remembered with the name.

    `until`: a receipt or position; it ends once everything up to there is acknowledged or parked. `timeout`:
    it ends when nothing could be delivered for so many seconds.

    `max_deliveries`: after so many an event is parked; 5 unless given. `ack_timeout`: seconds after which
    what is not acknowledged is delivered again; 30 unless given. `in_flight`: how many events the consumers
    of the name have in flight together at most, 200 unless given; more where a few long streams hold up the
    others.
    """

    start: Start | None
    until: Receipt | int | None
    timeout: float | timedelta | None
    stream: str | None
    category: str | None
    types: Types | None
    tag: str | None
    max_deliveries: int
    ack_timeout: float | timedelta
    in_flight: int


class ConsumerSpec(NamedTuple):
    """What is asked for when a consumer is opened, without mistakes."""

    name: str
    wanted: EventFilter
    start: str | int | None
    policy: DeliveryPolicy
    until: int | None
    timeout: float | None


def checked_spec(domain: CompiledDomain, method: str, name: Any, options: Mapping[str, Any]) -> ConsumerSpec:
    """The arguments of `consumer` or `consume`. Raises `TypeError`, `ValueError`, `InvalidKey` or
    `UnknownMessage`.
    """
    for one in options:
        if one not in ConsumerOptions.__annotations__:
            known = ", ".join(sorted(ConsumerOptions.__annotations__))
            raise TypeError(f"{method}() has no option {one!r}; its options are {known}")
    given = options.get
    until, timeout = given("until"), given("timeout")
    return ConsumerSpec(
        checked_name(name),
        event_filter(domain, given("stream"), given("category"), given("types"), given("tag")),
        _checked_start(given("start")),
        _checked_policy(options),
        None if until is None else position_of(until, "until"),
        None if timeout is None else seconds_of(timeout, "timeout"),
    )


def _checked_start(start: Any) -> str | int | None:
    if start is None or (isinstance(start, str) and start in ("beginning", "now")):
        return start
    if isinstance(start, Receipt | int):
        return position_of(start, "start")
    raise ValueError(
        f"start= is 'beginning', 'now', or a receipt or position to begin after, not {short_repr(start)}"
    )


def _checked_policy(options: Mapping[str, Any]) -> DeliveryPolicy:
    usual = DeliveryPolicy()
    seconds = seconds_of(options.get("ack_timeout", usual.ack_timeout), "ack_timeout")
    if not seconds:
        raise ValueError("ack_timeout=0 would deliver an event again at once; give it more than 0 seconds")
    return DeliveryPolicy(
        whole_number("max_deliveries", options.get("max_deliveries", usual.max_deliveries), 1 << 31),
        seconds,
        whole_number("in_flight", options.get("in_flight", usual.in_flight), MOST_IN_FLIGHT),
    )


def whole_number(option: str, value: Any, most: int) -> int:
    """A number from 1 on. Raises `ValueError`."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{option}= is a whole number from 1 to {most}, not {short_repr(value)}")
    return value
