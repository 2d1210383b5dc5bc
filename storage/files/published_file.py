"""A file that has its name only once all of it is on disk. One thread."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory

__all__ = ["PARTIAL", "PublishedFile"]

PARTIAL = ".partial"
"""The ending of a file's name until it is complete."""

SYNC_BYTES = 8 << 20
"""After so many bytes the file is synced: a commit's fsync never finds much that waits for the disk."""


class PublishedFile:
    """At `path` after `publish`; until then it has another name beside it."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError if it cannot be made."""
        self.path = path
        self._partial = path.with_name(path.name + PARTIAL)
        self._unsynced = 0
        try:
            self._file = open(self._partial, "xb", opener=_private)  # noqa: SIM115 (closed by discard, publish)
        except OSError as error:
            raise from_system(error, f"{self._partial} cannot be made", path) from error

    def write(self, data: bytes) -> None:
        """Add bytes. Raises StoreFull, StorageError."""
        try:
            self._file.write(data)
            self._unsynced += len(data)
            if self._unsynced >= SYNC_BYTES:
                self._file.flush()
                os.fdatasync(self._file.fileno())
                self._unsynced = 0
        except OSError as error:
            raise from_system(error, f"{self._partial} cannot be written", self.path) from error

    def publish(self) -> None:
        """Give it its name; on return that is on disk. Raises StoreFull, StorageError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.rename(self._partial, self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            raise from_system(error, f"{self.path} cannot be written", self.path) from error

    def discard(self) -> None:
        """Remove it, unless it was published."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._partial.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
