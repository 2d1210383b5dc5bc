"""What the parent and a worker process send to each other. Pure; any thread of either process.

Two kinds of connections join them. Each query actor has one of its own, with queries one way and responses
the other. All else goes over the control connection, as msgpack lists that begin with one of the words below.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgpack

__all__ = ["RESPONSE", "KILL", "QUERY", "pack", "unpack"]

# -- the control line, to the worker ---------------------------------------------------------
COMMITTED: Final = 1
"""[position]: everything up to there is on disk."""
REQUEST: Final = 2
"""[number, what, argument]: do this, and send `DONE`."""
REBUILD_LOCK_GRANTED: Final = 3
"""[number]: the replica holds the rebuild lock, as requested under this number."""
STOP: Final = 4
"""Handle what waits, close the replica and end."""
PING: Final = 5
"""[number]: answer this, with what your replica is at."""

# -- the control line, from the worker -------------------------------------------------------
HELLO: Final = 10
"""[state, positions]: the replica is open."""
REFUSED: Final = 11
"""[error]: it can't be opened, and why."""
APPLIED: Final = 12
"""[position, events applied, [model, checkpoint, last change, build], ...]"""
STATE: Final = 13
"""[state]: builds, failures, and what else health shows."""
STOPPED: Final = 14
"""[model, position, why, readable]"""
SWITCHED: Final = 15
"""[model]: another build serves, or those that wait for it have to check again."""
EXCLUDED: Final = 16
"""The replica must not be read until it has been reset."""
WAS_RESET: Final = 17
"""Its tables are empty."""
DONE: Final = 18
"""[number, error or None, result]: a request is carried out."""
ACQUIRE_REBUILD_LOCK: Final = 19
"""[number]: a request for the rebuild lock."""
RELEASE_REBUILD_LOCK: Final = 20
LOGGED: Final = 21
"""[logger, level, text, traceback, seconds since the epoch, thread]: a record of the worker's logging."""
EXITED: Final = 22
"""[actor, why]: an actor in the worker died; it is restarted there."""
PONG: Final = 23
"""[number, (model, version, whether it is being built, event, position, seconds) or None]: the answer to a
ping, with what the projection is at."""

# -- requests --------------------------------------------------------------------------------
BUILD: Final = "build"
RESUME: Final = "resume"
RESET: Final = "reset"
DUMP: Final = "dump"

# -- a query actor's line --------------------------------------------------------------------
QUERY = struct.Struct("<QQd?")
"""Number, position that is asked for, seconds left, whether to read the writer's own tables; then the
queries."""
KILL = b""
"""In place of a query: die as if you had failed."""

RESPONSE = struct.Struct("<QBQQd")
"""Number, one of the kinds below, lowest and highest position shown, seconds that it took; then the results
or the error."""
RESULTS: Final = 0
FAILED: Final = 1
REDIRECT: Final = 2
"""The replica can't answer it: ask another one."""
REDIRECT_TO_REPLICA: Final = 3
"""As that, and the writer's own tables can't either."""


def pack(*words: Any) -> bytes:
    """A message of the control connection."""
    return msgpack.packb(words, unicode_errors="replace")  # type: ignore[no-any-return]


def unpack(body: bytes) -> Any:
    """The list that `pack` was given."""
    return msgpack.unpackb(body, strict_map_key=False)
