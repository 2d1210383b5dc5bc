"""Receipts: what a command returns once it is on disk. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from storage import RecordedEvent

__all__ = ["Receipt", "receipt_of_event"]


class Receipt(NamedTuple):
    """What a command returns once it is on disk.

    `first` and `last` are the positions of its events, both 0 when it had none. `position` is
    the place in the log from which its outcome can be read: `last`, or for a command without
    events the position that it was decided at. `stream` and `version` are the command's own
    stream and its version afterwards; `versions` has every stream that it wrote to.
    """

    command_id: str
    first: int
    last: int
    position: int
    stream: str
    version: int
    versions: Mapping[str, int]
    events: Sequence[Any]


def receipt_of_event(recorded: RecordedEvent) -> Receipt:
    """The receipt of a command whose one event is of its own stream: nearly every command.

    The writer passes the event itself on, and this is called when somebody looks: a pipelined caller may hold
    thousands of outcomes, and each object that lives on has its price in the garbage collector.
    """
    position, stream, version = recorded.position, recorded.stream, recorded.version
    return Receipt(
        recorded.command_id,
        position,
        position,
        position,
        stream,
        version,
        {stream: version},
        (recorded.event,),
    )
