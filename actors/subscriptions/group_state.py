"""What is stored of a consumer group: notes of the log, named after it. Pure; any thread.

`sub/<name>/state` has what it wants, where it began, the last position loaded, and the open positions up to
there; `sub/<name>/behind/<stream>` each stream that is parked or being replayed. As every value on disk they
are msgpack, and their first item is the number of the format.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgpack

from actors.subscriptions.delivery_state import StreamBacklog
from actors.subscriptions.event_filter import EventFilter
from storage import DamagedStore, NewerFormat
from storage.log.records import name_key
from storage.value_text import short_repr

__all__ = ["PREFIX", "GroupState", "backlog_key", "checked_name", "names_of", "prefix_of", "state_key"]

PREFIX = b"sub/"
MAX_NAME_BYTES = 90
"""So that a key has room for the longest name of a stream."""

_FORMAT = 1


def checked_name(name: Any) -> str:
    """The name of a consumer group. Raises `TypeError` or `ValueError`, `InvalidKey` or `KeyTooLong`."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a consumer is text, not {short_repr(name)}")
    name_key("consumer name", name, MAX_NAME_BYTES)
    if "/" in name:
        raise ValueError(f"the consumer name {short_repr(name)} has a slash; leave it out")
    return name


def prefix_of(name: str) -> bytes:
    """What all keys of a group begin with."""
    return PREFIX + name.encode() + b"/"


def state_key(name: str) -> bytes:
    """The key of a group's own note."""
    return prefix_of(name) + b"state"


def backlog_key(name: str, stream: str) -> bytes:
    """The key of a stream that fell behind in this group."""
    return prefix_of(name) + b"behind/" + stream.encode()


def names_of(keys: Iterable[bytes]) -> list[str]:
    """The groups whose own notes are among these."""
    return [
        key[len(PREFIX) : -len(b"/state")].decode()
        for key in keys
        if key.endswith(b"/state") and key.count(b"/") == 2
    ]


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
            "and begin anew, "
            "or restore a backup"
        ) from error
    if number != _FORMAT:
        raise NewerFormat(
            f"consumer {name!r} was stored in format {number}, and this version reads {_FORMAT}"
        )
    return values
