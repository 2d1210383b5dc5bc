"""The keys of what is stored of a consumer group: notes of the log, named after it. Pure; any thread.

`sub/<name>/state` has what it wants, where it began, the last position loaded, and the open positions up to
there; `sub/<name>/behind/<stream>` each stream that is parked or being replayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from storage.log.records import name_key
from storage.value_text import short_repr

__all__ = ["PREFIX", "backlog_key", "checked_name", "names_of", "prefix_of", "state_key"]

PREFIX = b"sub/"
MAX_NAME_BYTES = 90
"""So that a key has room for the longest name of a stream."""


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
