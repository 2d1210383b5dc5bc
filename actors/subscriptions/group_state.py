"""What is stored of a consumer group: notes of the log, under the keys of `group_keys`. Pure; any thread.

As every value on disk they are msgpack, and their first item is the number of the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack

from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.event_filter import EventFilter
from storage import DamagedStore, NewerFormat

__all__ = ["GroupState", "decode_backlog", "encode_backlog"]

_FORMAT = 1


@dataclass(slots=True)
class GroupState:
    """A group as it is stored: `open` has positions not settled up to `through`, each with its failed
    deliveries.
    """

    wanted: EventFilter
    start: str | int
    through: int
    open: list[tuple[int, int]]

    @property
    def position(self) -> int:
        """Everything up to here is acknowledged, or waits in a stream that fell behind."""
        return self.open[0][0] - 1 if self.open else self.through

    def encode(self) -> bytes:
        """The note."""
        return bytes(msgpack.packb([_FORMAT, self.wanted.stored(), self.start, self.through, self.open]))

    @classmethod
    def decode(cls, name: str, data: bytes) -> GroupState:
        """What `encode` gave. Raises `NewerFormat` or `DamagedStore`."""
        wanted, start, through, positions = _decoded(name, data)
        return cls(EventFilter.of_stored(wanted), start, through, [(one[0], one[1]) for one in positions])


def encode_backlog(backlog: StreamBacklog) -> bytes:
    """The note of a stream that fell behind."""
    fields = [backlog.first, backlog.version, backlog.reason, backlog.attempts, backlog.replaying]
    return bytes(msgpack.packb([_FORMAT, *fields]))


def decode_backlog(name: str, data: bytes) -> StreamBacklog:
    """What `encode_backlog` gave. Raises `NewerFormat` or `DamagedStore`."""
    return StreamBacklog(*_decoded(name, data))


def _decoded(name: str, data: bytes) -> list[Any]:
    values: list[Any]
    try:
        number, *values = msgpack.unpackb(data)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise DamagedStore(
            f"what is stored of consumer {name!r} can't be read ({error}); delete_consumer({name!r}) "
            "and start again, "
            "or restore a backup"
        ) from error
    if number != _FORMAT:
        raise NewerFormat(
            f"consumer {name!r} was stored in format {number}, and this version reads {_FORMAT}"
        )
    return values
