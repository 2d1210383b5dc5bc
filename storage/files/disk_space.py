"""How much room a file system has. Any thread."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from storage.files.error_translation import from_system

__all__ = ["DiskSpace"]


class DiskSpace(NamedTuple):
    """Bytes of a file system: all of it, and what this process may still write."""

    total: int
    free: int

    @classmethod
    def at(cls, path: Path) -> DiskSpace:
        """That of the file system on which `path` is. Raises StorageError."""
        try:
            found = os.statvfs(path)
        except OSError as error:
            raise from_system(
                error, f"the file system of {path} cannot be asked for its room", path
            ) from error
        return cls(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)
