"""The digest of a log's notes, by which a backup knows whether they changed since. Pure; any thread."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["NotesDigest"]


class NotesDigest:
    """Of notes in stored bytes, added in the order of their keys."""

    def __init__(self) -> None:
        self._sum = blake2b(digest_size=16)
        self.count = 0
        """Notes that were added."""

    def add(self, key: bytes, stored: bytes) -> None:
        """Add a note."""
        self._sum.update(b"%d %d " % (len(key), len(stored)) + key + stored)
        self.count += 1

    def digest(self) -> bytes:
        """That of all notes that were added."""
        return self._sum.digest()
