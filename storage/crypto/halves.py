"""One half of each subject's key, in a file of its own that is overwritten in place. One thread at a time.

A key is made of a half in the key store's environment and of a half in here. LMDB never overwrites what it
deletes: the bytes stay in free pages, and in a backup of that file. A half in here is overwritten with zeros,
and without it the other one is worth nothing. Slots have 32 bytes; slot 0 is the title of the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from storage.errors import DamagedKeys, StorageError
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory

__all__ = ["HALVES_FILE", "HALF_BYTES", "Halves"]

HALVES_FILE = "halves"
HALF_BYTES = 32
CHUNK = 1024
"""Slots that are filled at a time, with one fsync."""
_TITLE = b"onewriter halves 1".ljust(HALF_BYTES, b"\0")
ERASED = bytes(HALF_BYTES)


class Halves:
    """The open file. Only one process may open it for writing: the key store holds a lock on it."""

    def __init__(self, path: Path, *, create: bool, readonly: bool) -> None:
        """Raises DamagedKeys for a file that is missing or foreign; StorageError."""
        self.path = path
        flags = os.O_RDONLY if readonly else os.O_RDWR | (os.O_CREAT if create else 0)
        self._number = -1
        try:
            self._number = os.open(path, flags | os.O_CLOEXEC, 0o600)
            if create and os.fstat(self._number).st_size == 0:
                os.pwrite(self._number, _TITLE, 0)
                os.fsync(self._number)
                sync_directory(path.parent)
            title = os.pread(self._number, HALF_BYTES, 0)
        except FileNotFoundError:
            raise DamagedKeys(
                f"{path} is missing, and no key of {path.parent} can be used without it; restore the whole "
                "folder from where you keep a copy"
            ) from None
        except OSError as error:
            raise from_system(error, f"{path} can't be opened", path) from error
        if title != _TITLE:
            self.close()
            raise DamagedKeys(f"{path} is damaged or foreign; restore the whole folder {path.parent}")

    @property
    def number(self) -> int:
        """The file's descriptor."""
        return self._number

    def read(self, slot: int) -> bytes | None:
        """A half; None for one that was erased. Raises DamagedKeys."""
        half = os.pread(self._number, HALF_BYTES, slot * HALF_BYTES)
        if len(half) < HALF_BYTES:
            raise DamagedKeys(
                f"{self.path} is shorter than it was; restore the whole folder {self.path.parent}"
            )
        return None if half == ERASED else half

    def reserve(self, slot: int) -> None:
        """Have random bytes in all slots up to this one, and on disk. Raises StorageError."""
        try:
            end = os.fstat(self._number).st_size // HALF_BYTES
            if slot < end:
                return
            data = os.urandom((slot + CHUNK - end) * HALF_BYTES)
            done = os.pwrite(self._number, data, end * HALF_BYTES)
            if done < len(data):
                os.ftruncate(self._number, end * HALF_BYTES)
                raise OSError(28, os.strerror(28))
            os.fsync(self._number)
        except OSError as error:
            raise from_system(error, f"{self.path} can't be written", self.path) from error

    def erase(self, slots: Iterable[int]) -> None:
        """Overwrite halves with zeros; on return that is on disk. Raises StorageError."""
        try:
            for slot in slots:
                if os.pwrite(self._number, ERASED, slot * HALF_BYTES) != HALF_BYTES:
                    raise StorageError(f"{self.path} can't be written")
            os.fsync(self._number)
        except OSError as error:
            raise from_system(error, f"{self.path} can't be written", self.path) from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        number, self._number = self._number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        # An opening that is interrupted drops it: the lock would stay.
        if hasattr(self, "_number"):
            self.close()
