"""A file that has its name only once all of it is on disk. One thread."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory

__all__ = ["PARTIAL", "PublishedFile", "is_being_written", "write_at"]

PARTIAL = ".partial"
"""The ending of a file's name until it is complete."""

SYNC_BYTES = 8 << 20
"""After so many bytes the file is synced: a commit's fsync never finds much that waits for the disk."""
MOST_BLOCKS = 512
"""That one call of the system writes; POSIX grants sixteen, and most systems a thousand."""


class PublishedFile:
    """At `path` after `publish`; until then it has another name beside it, and is locked."""

    def __init__(self, path: Path, *, gentle: bool = True) -> None:
        """Raises StorageError if it cannot be made.

        If it need not be `gentle`, the disk is told early what to write, and waited for at the end alone.
        """
        self.path = path
        self._gentle = gentle or not hasattr(os, "posix_fadvise")
        self.partial = path.with_name(path.name + PARTIAL)
        """Where it is until then."""
        self._unsynced = 0
        try:
            self._file = open(self.partial, "xb", opener=_private)  # noqa: SIM115 (closed by discard, publish)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            raise from_system(error, f"{self.partial} cannot be made", path) from error

    def write(self, data: bytes) -> None:
        """Add bytes. Raises StoreFull, StorageError."""
        try:
            self._file.write(data)
            self._written(len(data))
        except OSError as error:
            raise from_system(error, f"{self.partial} cannot be written", self.path) from error

    def leave(self, size: int) -> int:
        """Leave bytes out that somebody else writes, from the returned offset on. Raises as `write` does."""
        try:
            self._file.flush()
            begin = self._file.tell()
            self._file.seek(begin + size)
            self._written(size)
            return begin
        except OSError as error:
            raise from_system(error, f"{self.partial} cannot be written", self.path) from error

    def write_at(self, begin: int, blocks: Sequence[bytes]) -> None:
        """Write bytes that were left out. Raises as `write` does."""
        try:
            write_at(self._file.fileno(), begin, blocks)
        except OSError as error:
            raise from_system(error, f"{self.partial} cannot be written", self.path) from error

    def publish(self) -> None:
        """Give it its name; on return that is on disk. Raises StoreFull, StorageError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self.partial, self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise from_system(error, f"{self.path} cannot be written", self.path) from error

    def discard(self) -> None:
        """Remove it, unless it was published."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.partial.unlink()

    def _written(self, size: int) -> None:
        self._unsynced += size
        if self._unsynced < SYNC_BYTES:
            return
        self._file.flush()
        number = self._file.fileno()
        if self._gentle:
            os.fdatasync(number)
        else:
            # Of pages that are not needed soon Linux begins the writing; a sync would wait for its journal.
            begin = self._file.tell() - self._unsynced
            os.posix_fadvise(number, begin, self._unsynced, os.POSIX_FADV_DONTNEED)
        self._unsynced = 0


def is_being_written(partial: Path) -> bool:
    """Whether somebody has this file open as a `PublishedFile`, in this process or another one."""
    try:
        with partial.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def write_at(number: int, begin: int, blocks: Sequence[bytes]) -> None:
    """Write all bytes to an open file, one after another from an offset on. Raises OSError."""
    for first in range(0, len(blocks), MOST_BLOCKS):
        left = [memoryview(block) for block in blocks[first : first + MOST_BLOCKS]]
        while left:
            done = os.pwritev(number, left, begin)
            begin += done
            while left and done >= len(left[0]):
                done -= len(left.pop(0))
            if left:
                left[0] = left[0][done:]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
