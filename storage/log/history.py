"""Whether a replica was filled from this log: same history, same event at the checkpoint. Any thread.

A log that is restored from a backup keeps its history's id, and grows past the lost events that replicas had
applied. So each checkpoint has a digest of the stored event at its position, committed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

__all__ = [
    "DIGEST_BYTES",
    "History",
    "digest_of",
    "never_corrected",
    "pack_checkpoint",
    "unknown",
    "unpack_checkpoint",
    "unpack_content",
]

DIGEST_BYTES = 16
POSITION_BYTES = 8
CONTENT_BYTES = 8

_WHOLE = 4096
"""A record of up to so many bytes is digested as a whole.

For a longer one, its length, its beginning and its end are: the stream, the time and the command's id are
there.
"""


def digest_of(record: bytes) -> bytes:
    """The digest of an event's stored bytes."""
    if len(record) > _WHOLE:
        half = _WHOLE // 2
        record = record[:half] + len(record).to_bytes(8) + record[-half:]
    return blake2b(record, digest_size=DIGEST_BYTES).digest()


def unknown(_position: int) -> bytes:
    """The digest of an event if there is no log to ask: none."""
    return b""


def never_corrected(_model: str) -> int:
    """The last correction that concerns a model if there is no log to ask: none."""
    return 0


def pack_checkpoint(position: int, digest: bytes = b"", content: int | None = None) -> bytes:
    """A checkpoint as it is stored: with the digest of its event, and that of the rows, as far as known."""
    packed = position.to_bytes(POSITION_BYTES) + digest
    return packed if content is None else packed + content.to_bytes(CONTENT_BYTES)


def unpack_checkpoint(data: bytes) -> tuple[int, bytes]:
    """The position, and the digest of its event, empty if it is unknown.

    Raises ValueError for bytes that are no checkpoint.
    """
    rest = len(data) - POSITION_BYTES
    if rest not in (0, DIGEST_BYTES, CONTENT_BYTES, DIGEST_BYTES + CONTENT_BYTES):
        raise ValueError(f"a checkpoint of {len(data)} bytes")
    if rest < DIGEST_BYTES:
        return int.from_bytes(data[:POSITION_BYTES]), b""
    return int.from_bytes(data[:POSITION_BYTES]), data[POSITION_BYTES : POSITION_BYTES + DIGEST_BYTES]


def unpack_content(data: bytes) -> int | None:
    """The digest of the rows in a stored checkpoint, None if it has none."""
    rest = len(data) - POSITION_BYTES
    return int.from_bytes(data[-CONTENT_BYTES:]) if rest % DIGEST_BYTES == CONTENT_BYTES else None


class History(NamedTuple):
    """A log as a replica is compared with it: its id, its last position, and the digests of its events.

    `digest` gives empty bytes for an event that it does not know. `corrected` gives the number of the last
    correction of events that a model handles.
    """

    id: str
    head: int
    digest: Callable[[int], bytes] = unknown
    corrected: Callable[[str], int] = never_corrected

    def reason_against(self, model: str, position: int, digest: bytes) -> str | None:
        """Why a build of the model with this checkpoint was not filled from this log, or None."""
        if position > self.head:
            return (
                f"its model {model!r} is at position {position}, ahead of the log, which ends at {self.head}"
            )
        if position and digest and (mine := self.digest(position)) and mine != digest:
            return (
                f"its model {model!r} was filled from another history: the event at position {position} was "
                "another one; was a backup of the log restored?"
            )
        return None
