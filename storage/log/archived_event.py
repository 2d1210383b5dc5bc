"""What the log keeps of an archived event, in its place: what the indexes have of it, and where it is.

Pure; any thread. The own bytes of such a stub begin with a byte that msgpack never writes, and its checksum
is of another kind than an event's. An archive can be removed; its events are then read as dropped ones, made
of their stubs.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple, Self
from zlib import crc32

import msgpack

from storage.codec.upcasting import VERSION_MARK
from storage.log.history import DIGEST_BYTES, digest_of
from storage.log.records import envelope_of

__all__ = ["REMOVED_TYPE", "Stub", "removed_archive"]

REMOVED_TYPE = f"{VERSION_MARK}removed"
"""The type of an event whose archive was removed: no class can be stored under this name."""

_MARK = b"\xc1"
_HEAD = struct.Struct(f">cII{DIGEST_BYTES}s")
_STREAM, _VERSION, _TIME, _COMMAND_ID, _TAGS, _ORIGIN = 0, 1, 4, 5, 9, 11  # indexes in a stored event
_PACKED_TYPE: bytes = msgpack.packb(REMOVED_TYPE)


class Stub(NamedTuple):
    """The event is in the archive of a number. `check` is the CRC-32 of its bytes there.

    `digest` is what replicas know the event by: that of its bytes when it was committed. `outline` has
    stream, version, time, command id, tags, and the origin of its command if it has one, packed.
    """

    archive: int
    check: int
    digest: bytes
    outline: bytes

    @classmethod
    def made(cls, archive: int, event: bytes, first: bytes | None) -> Self:
        """That of an event in stored bytes; `first` are those before all corrections, None if it had none.

        Raises what msgpack raises for bytes that are no event.
        """
        items = envelope_of(event)
        kept = [items[index] for index in (_STREAM, _VERSION, _TIME, _COMMAND_ID, _TAGS)]
        outline = msgpack.packb(kept + items[_ORIGIN:])
        return cls(archive, crc32(event), digest_of(event if first is None else first), outline)

    @classmethod
    def of(cls, own: bytes) -> Self:
        """The stub with these own bytes. Raises struct.error, ValueError."""
        mark, archive, check, digest = _HEAD.unpack_from(own)
        if mark != _MARK:
            raise ValueError("it does not begin as what is left of an archived event does")
        return cls(archive, check, digest, own[_HEAD.size :])

    def pack(self) -> bytes:
        """Its own bytes, as the log has them."""
        return _HEAD.pack(_MARK, self.archive, self.check, self.digest) + self.outline

    def removed_event(self) -> bytes:
        """The bytes that stand for the event where its own can't be had: the indexes find in them all that
        they need. Raises what msgpack raises for damage."""
        stream, version, time_us, command_id, tags, *origin = msgpack.unpackb(self.outline)
        fields: dict[str, Any] = {"archive": self.archive}
        envelope = [stream, version, REMOVED_TYPE, fields, time_us, command_id, None, None, None, tags, None]
        packed: bytes = msgpack.packb(envelope + origin)
        return packed

    def fits(self, event: bytes) -> bool:
        """Whether these are the bytes of the event in the archive."""
        return crc32(event) == self.check


def removed_archive(event: bytes) -> int | None:
    """The archive with which an event in stored bytes was removed; None for one that was not."""
    if _PACKED_TYPE not in event:
        return None
    try:
        items = envelope_of(event)
        return int(items[3]["archive"]) if items[2] == REMOVED_TYPE else None
    except Exception:
        return None
