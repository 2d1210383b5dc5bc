"""Whether what a replica was filled from is this log: the same history, up to the very event at its checkpoint. Any thread.

A log that is put back from a backup keeps its history's id, and grows past what replicas had applied of the events that
are gone. So a checkpoint goes with a digest of the stored event at it, committed together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["DIGEST_BYTES", "History", "digest_of", "pack_checkpoint", "unknown", "unpack_checkpoint"]

DIGEST_BYTES = 16
POSITION_BYTES = 8

_WHOLE = 4096
"""Bytes of a record up to which all of it is digested, else its length with its beginning and its end, where its
stream, its time and its command's id are."""


def digest_of(record: bytes) -> bytes:
    """The digest of an event's stored bytes."""
    if len(record) > _WHOLE:
        half = _WHOLE // 2
        record = record[:half] + len(record).to_bytes(8) + record[-half:]
    return blake2b(record, digest_size=DIGEST_BYTES).digest()


def unknown(_position: int) -> bytes:
    """The digest of the event at any position, for who has no log to ask: none."""
    return b""


def pack_checkpoint(position: int, digest: bytes = b"") -> bytes:
    """A checkpoint as it is stored: with the digest of the event there, if it is known."""
    return position.to_bytes(POSITION_BYTES) + digest


def unpack_checkpoint(data: bytes) -> tuple[int, bytes]:
    """The position, and the digest, empty where it was not known. Raises ValueError for what is no checkpoint."""
    if len(data) not in (POSITION_BYTES, POSITION_BYTES + DIGEST_BYTES):
        raise ValueError(f"a checkpoint of {len(data)} bytes")
    return int.from_bytes(data[:POSITION_BYTES]), data[POSITION_BYTES:]


@dataclass(frozen=True, slots=True)
class History:
    """A log as a replica is held against it: its id, its last position, and the digest of the event at each.

    `digest` gives empty bytes for one that it does not know.
    """

    id: str
    head: int
    digest: Callable[[int], bytes] = unknown

    def reason_against(self, model: str, position: int, digest: bytes) -> str | None:
        """Why a build of the model with this checkpoint was not filled from this log, or None."""
        if position > self.head:
            return (
                f"its model {model!r} is at position {position}, ahead of the log, which ends at {self.head}"
            )
        if position and digest and (mine := self.digest(position)) and mine != digest:
            return (
                f"its model {model!r} was filled from another history: the event at position {position} was another "
                "one; was a backup of the log put in its place?"
            )
        return None
