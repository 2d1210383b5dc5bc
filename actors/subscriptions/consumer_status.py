"""How the consumers of a name stand, for programs and operators: in flight, parked, not stored yet.

Any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from actors.subscriptions.consumer_group import ConsumerGroup
from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.group_state import GroupState

__all__ = ["ConsumerStatus", "ParkedStream", "open_status", "problems_of", "stored_status"]

UNSTORED = 2.0
"""Seconds for which answers may wait for the disk before health says so."""

PUT_OFF = 5.0
"""Seconds for which nothing may be delivered, since all that is in flight was put off, before health
says so.
"""


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """How far the consumers of a name are, from `System.consumers`.

    Everything wanted up to `position` is acknowledged, or waits in a parked stream; `lag` is how many
    positions the log is ahead of it. `open` counts the consumers of it in this process, `in_flight` the
    events that they have or are about to get; `parked` and `replaying` count streams. `unstored` counts the
    answers to deliveries that are not on disk yet: a crash now would bring those events again.
    """

    name: str
    wants: str
    start: str | int
    position: int
    lag: int
    in_flight: int
    parked: int
    replaying: int
    open: int
    unstored: int = 0


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """A parked stream, from `System.parked_streams`: the event that it is parked at, why, and after how many
    deliveries.

    `following` counts the events of the stream that wait behind it.
    """

    stream: str
    position: int
    version: int
    reason: str
    attempts: int
    following: int


def open_status(group: ConsumerGroup, head: int) -> ConsumerStatus:
    """That of a name which this process has opened; `head` is the log's."""
    in_flight, parked, replaying = group.counts()
    members, unstored, position = len(group.members()), group.unstored(), group.position
    return ConsumerStatus(
        group.name,
        str(group.wanted),
        group.start,
        position,
        max(head - position, 0),
        in_flight,
        parked,
        replaying,
        members,
        unstored,
    )


def stored_status(
    name: str, state: GroupState, backlogs: Collection[StreamBacklog], head: int
) -> ConsumerStatus:
    """That of a name which this process has not opened, as it is stored."""
    position = state.position
    replaying = sum(one.replaying for one in backlogs)
    return ConsumerStatus(
        name,
        str(state.wanted),
        state.start,
        position,
        max(head - position, 0),
        in_flight=0,
        parked=len(backlogs) - replaying,
        replaying=replaying,
        open=0,
    )


def problems_of(group: ConsumerGroup) -> Iterator[str]:
    """A sentence for each thing that an operator should look at."""
    parked = group.counts()[1]
    if parked:
        streams = "stream is" if parked == 1 else "streams are"
        yield f"{parked} {streams} parked by consumer {group.name!r}: see parked_streams({group.name!r})"
    deferred = group.deferred()
    if deferred is not None and deferred[0] > PUT_OFF:
        yield _put_off(group, *deferred)
    waits = group.writer.unstored()
    if waits is not None and (waits.error is not None or waits.seconds > UNSTORED):
        why = "the writer has not come to it" if waits.error is None else str(waits.error)
        yield (
            f"what consumer {group.name!r} answered has not been stored for {waits.seconds:.1f} s, and a "
            f"crash would bring {group.unstored()} deliveries again: {why}; it is tried again"
        )


def _put_off(group: ConsumerGroup, seconds: float, streams: list[str], waiting: int) -> str:
    named = ", ".join(map(repr, streams[:3])) + (", ..." if len(streams) > 3 else "")
    return (
        f"consumer {group.name!r} delivers nothing for {seconds:.0f} s, and {waiting} positions wait: the "
        f"{group.policy.in_flight} events that it may have in flight wait behind what was put off with "
        "nak(delay=) in "
        f"{'stream' if len(streams) == 1 else f'{len(streams)} streams'} {named}; give it more "
        "in_flight, or shorter delays"
    )
