"""Whether a store is the one that it was, or a copy of it, which does not act on the world until it is told.

A note in the log has a random identity and where the store was opened last. A small file beside the log has a
token that each opening renews, so that a log restored below it is known as well. docs/decisions/copies.md has
the reasons. The opener's thread, and the closer's.
"""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgpack

from storage import CommitFailed, EventLog, StorageError, StoreFull
from storage.files.birth_time import birth_time_ns
from storage.files.damage import damaged_records
from storage.files.opening_resources import Descriptor
from storage.files.store_location import StoreLocation, copied_because
from storage.log.log_reader import LogReader

__all__ = [
    "IDENTITY_FILE",
    "Adoption",
    "StoreIdentity",
    "check_identity",
    "note_end",
    "restored_note",
]

logger = logging.getLogger("onewriter.store")

IDENTITY_FILE = "identity"
KEY = b"store/identity"
RESTORED = b"store/restored"
"""The key of the note that a store was made of a backup, and is not adopted yet."""
TITLE = "onewriter store"


class Adoption(NamedTuple):
    """That a copy was told that it is a store of its own: when, which store it was, and why it was a copy."""

    time: datetime
    former_id: str
    reason: str


class StoreIdentity(NamedTuple):
    """What the note holds. `token` is that of the last opening."""

    id: str
    token: str
    location: StoreLocation
    adoptions: tuple[Adoption, ...] = ()

    @classmethod
    def read(cls, log: LogReader) -> Self | None:
        """That of a store; None for one that was never opened since there are identities.

        Raises `DamagedStore`.
        """
        stored = log.note(KEY)
        return None if stored is None else cls.unpack(stored)

    @classmethod
    def unpack(cls, stored: bytes) -> Self:
        """What the note's value says. Raises `DamagedStore`."""
        with damaged_records("the note of the store's identity, in the log,", "restore a backup"):
            fields = msgpack.unpackb(stored)
            adoptions = tuple(
                Adoption(datetime.fromtimestamp(time / 1e6, UTC), former, reason)
                for time, former, reason in fields["adoptions"]
            )
            return cls(fields["id"], fields["token"], StoreLocation.from_dict(fields["location"]), adoptions)

    def pack(self) -> bytes:
        """The note's value."""
        adoptions = [[int(one.time.timestamp() * 1e6), one.former_id, one.reason] for one in self.adoptions]
        fields: dict[str, Any] = {
            "id": self.id,
            "token": self.token,
            "location": self.location.as_dict(),
            "adoptions": adoptions,
        }
        packed: bytes = msgpack.packb(fields)
        return packed

    def adopted(self, reason: str) -> StoreIdentity:
        """That of a store of its own, from now on."""
        adoption = Adoption(datetime.now(UTC), self.id, reason)
        return self._replace(id=uuid.uuid4().hex, adoptions=(*self.adoptions, adoption))


def restored_note(history_id: str, position: int, time: datetime) -> tuple[bytes, bytes]:
    """The note of a store that was restored: of which history, up to where, and to which moment."""
    fields = {"history_id": history_id, "position": position, "time": time.isoformat()}
    return RESTORED, msgpack.packb(fields)


def _restored(log: LogReader) -> str | None:
    stored = log.note(RESTORED)
    if stored is None:
        return None
    with damaged_records("the note of the store's restore, in the log,", "restore a backup"):
        fields = msgpack.unpackb(stored)
        return (
            f"it was restored from a backup, up to position {fields['position']}, of history "
            f"{fields['history_id']}"
        )


def in_new_file(path: Path) -> Callable[[bytes, Path], bytes | None]:
    """What gives the note's value for the file that replaces that of the store at `path`.

    A store that is a copy stays one: None. Call it before the file is replaced.
    """
    now = StoreLocation.of(path)

    def changed(stored: bytes, file: Path) -> bytes | None:
        identity = StoreIdentity.unpack(stored)
        if copied_because(identity.location, now) is not None:
            return None
        there = now.keeping(identity.location)
        there = there._replace(inode=file.stat().st_ino, born=birth_time_ns(file))
        return identity._replace(location=there).pack()

    return changed


def check_identity(log: EventLog, *, adopt: bool = False) -> str | None:
    """Why the store is a copy, as a sentence; None if it is the original, or has just been adopted.

    A store without an identity gets one, as the original. Unless it is a copy, where it is now is noted in
    it. Before the actors start. Raises what writing to the log does, and `DamagedStore`.
    """
    now = StoreLocation.of(log.path)
    before = StoreIdentity.read(log)
    reason = _restored(log)
    if before is not None and reason is None:
        reason = copied_because(before.location, now) or _restored_because(log, before.token)
    if reason is not None and not adopt:
        logger.warning("%s is a copy that does not act on the world: %s", log.path, reason)
        return reason
    identity = StoreIdentity(uuid.uuid4().hex, "", now) if before is None else before
    identity = identity._replace(location=now.keeping(identity.location))
    if reason is not None:
        identity = identity.adopted(reason)._replace(location=now)
        logger.warning("%s was a copy, and is adopted as a store of its own: %s", log.path, reason)
    token = uuid.uuid4().hex
    # First the file, which names both: an opening that ends in between leaves a match.
    if _write_file(log, [identity.token, token], log.head):
        identity = identity._replace(token=token)
    if identity != before:
        _write_note(log, identity, required=reason is not None)
    return None


def note_end(log: EventLog) -> None:
    """At the end, note how long the log is: one that is shorter then was restored."""
    with suppress(StorageError):
        identity = StoreIdentity.read(log)
        if identity is not None:
            _write_file(log, [identity.token], log.head)


def _write_note(log: EventLog, identity: StoreIdentity, *, required: bool) -> None:
    """Write the note; a full disk is no reason not to open a store, unless it is `required`."""
    try:
        log.append([], notes=[(KEY, identity.pack()), (RESTORED, None)])
    except (StoreFull, CommitFailed) as error:
        if required or getattr(error, "errno", errno.ENOSPC) != errno.ENOSPC:
            raise
        if isinstance(error, CommitFailed):
            log.reopen()
        logger.warning("the identity of %s is not noted at this opening: %s", log.path, error)


def _restored_because(log: EventLog, token: str) -> str | None:
    tokens, head = _read_file(log)
    if tokens and (token not in tokens or log.head < head):
        return f"its log is an earlier one than {log.path} had when it was open last: it was restored"
    return None


def _read_file(log: EventLog) -> tuple[list[str], int]:
    """The tokens, and the position at which the log ended; none if there is no such file."""
    with suppress(OSError, ValueError):
        title, tokens, head = (log.path / IDENTITY_FILE).read_text().splitlines()
        if title == TITLE:
            return tokens.split(), int(head)
    return [], 0


def _write_file(log: EventLog, tokens: list[str], head: int) -> bool:
    """Write the file, and wait until it is on disk; whether that worked."""
    text = f"{TITLE}\n{' '.join(filter(None, tokens))}\n{head:020}\n".encode()
    try:
        if log.moved():
            return False
        with Descriptor(log.path / IDENTITY_FILE, os.O_WRONLY | os.O_CREAT) as number:
            # Over a text of the same length, for the most part: its space exists even if the disk is full.
            os.pwrite(number, text, 0)
            os.ftruncate(number, len(text))
            os.fsync(number)
    except OSError as error:
        logger.warning("%s cannot be written: %s", log.path / IDENTITY_FILE, error)
        return False
    return True
