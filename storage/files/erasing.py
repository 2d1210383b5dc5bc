"""Overwriting files before they are removed, so that what they held is in no block of the disk.

A file system that writes elsewhere what is overwritten (copy on write, a log), snapshots of it, and the spare
blocks of an SSD may keep it all the same. Any thread; nobody else may have the files open.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from storage.files.error_translation import from_system
from storage.files.opening_resources import Descriptor, sync_directory

__all__ = ["Progress", "erase_file", "erase_folder"]

ZEROS = bytes(1 << 16)
"""What is written at a time."""

Progress = Callable[[int], None]
"""Called with the number of bytes that were done since the last call."""


def erase_file(path: Path, progress: Progress = lambda _: None) -> None:
    """Overwrite a file with zeros, wait until they are on disk, and remove it. Raises StorageError.

    A link is only removed, and so is a file that has another name, which stays. One that is missing is no
    error.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            with Descriptor(path, os.O_WRONLY) as number:
                left, at = status.st_size, 0
                while left > 0:
                    done = os.pwrite(number, ZEROS[: min(left, len(ZEROS))], at)
                    at, left = at + done, left - done
                    progress(done)
                os.fsync(number)
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise from_system(error, f"{path} cannot be overwritten and removed", path) from error


def erase_folder(path: Path, progress: Progress = lambda _: None) -> None:
    """As `erase_file`, of everything in a folder, which is removed with it. Raises StorageError."""
    if not path.is_dir() or path.is_symlink():
        return
    for folder, _, files in os.walk(path, topdown=False):
        for name in files:
            erase_file(Path(folder) / name, progress)
    try:
        shutil.rmtree(path)
        sync_directory(path.parent)
    except OSError as error:
        raise from_system(error, f"{path} cannot be removed", path) from error
