"""How far a copy is, as a note in it that is written together with its events. Pure but for reading it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

import msgpack

from storage.log.log_reader import LogReader
from storage.log.notes import Note

__all__ = ["ABOUT", "PROGRESS", "CopyProgress", "chained"]

PROGRESS = b"copy/progress"
"""The note of a copy that is not complete yet."""
ABOUT = b"copy/about"
"""The note of a complete copy: what it is a copy of."""


@dataclass(slots=True)
class CopyProgress:
    """`position` of the original is the last one that is copied; `digest` is that of all events of the copy.

    `finished` says that what is beside the events is copied, too.
    """

    history_id: str = ""
    head: int = 0
    through: str = ""
    code: str = ""
    position: int = 0
    digest: bytes = b""
    dropped: int = 0
    split: int = 0
    finished: bool = False
    types_in: Counter[str] = field(default_factory=Counter)
    types_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, log: LogReader) -> Self | None:
        """That of a copy; None if there is none."""
        value = log.note(PROGRESS)
        if value is None:
            return None
        progress = cls(*msgpack.unpackb(value))
        progress.types_in, progress.types_out = Counter(progress.types_in), Counter(progress.types_out)
        return progress

    def note(self) -> Note:
        """The note to write."""
        fields = [getattr(self, name) for name in self.__slots__]
        fields[-2:] = dict(self.types_in), dict(self.types_out)
        return PROGRESS, msgpack.packb(fields)

    def goes_on_as(self, other: CopyProgress) -> bool:
        """Whether it is a part of the same copy: of the same log, through the same code."""
        mine = self.history_id, self.head, self.through, self.code
        return mine == (other.history_id, other.head, other.through, other.code)

    def add(self, data: bytes) -> None:
        """Add an event of the copy to the digest."""
        self.digest = chained(self.digest, data)


def chained(digest: bytes, data: bytes) -> bytes:
    """The digest of all events up to one, from that of those before it."""
    return blake2b(digest + data, digest_size=16).digest()
