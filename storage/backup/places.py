"""Where a set of backups is: a folder, or an S3-compatible store at `s3://bucket/prefix`. Any thread.

Elsewhere than in a folder, a set is a number of objects with the names that the files have. A backup for it
is made in a folder and put there, and what is read of it is fetched into a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from storage.backup.backup_set import LOOKS, ends_of_runs, is_full
from storage.backup.segment_reader import readable_segment
from storage.errors import InvalidBackup, StorageError

__all__ = ["BackupPlace", "fetched", "is_remote", "remote_place"]

SCHEME = "s3://"


class BackupPlace(Protocol):
    """A set of backups elsewhere than in a folder. Each method raises StorageError if the place is away."""

    address: str

    def names(self) -> list[str]:
        """The names of all files, the oldest first."""

    def copies(self) -> list[str]:
        """The names of the copies of archives."""

    def fetch(self, name: str, target: Path) -> None:
        """Write a file of the set to `target`."""

    def fetch_ends(self, name: str, target: Path) -> None:
        """Write a file of the same size with its header and its end, and nothing between."""

    def put(self, file: Path, name: str) -> None:
        """Add a file. Raises StoreLocked if there is one of this name: another program made it."""

    def remove(self, name: str) -> None:
        """Remove a file."""


def is_remote(address: str | os.PathLike[str]) -> bool:
    """Whether an address is not that of a folder."""
    return isinstance(address, str) and address.startswith(SCHEME)


def remote_place(address: str) -> BackupPlace:
    """The place at an address that `is_remote`.

    Raises ValueError for one that is none, and StorageError without the package for it.
    """
    # Imported here: few programs have use for it, and its package is an extra.
    from storage.backup.s3_place import S3Place

    return S3Place(address)


@contextmanager
def fetched(
    source: str | os.PathLike[str], *, whole: bool = False, scratch: str | os.PathLike[str] | None = None
) -> Iterator[Path]:
    """The folder of a set, or the path of a file of one; for another place a temporary folder with its files.

    Of another place all files are fetched with `whole`, otherwise the last full one and what follows it. The
    folder is made in `scratch`, or where temporary files are. Raises InvalidBackup for a place without
    backups, StorageError.
    """
    if not is_remote(source):
        yield Path(os.path.realpath(source))
        return
    place = remote_place(str(source))
    names = _wanted(place, whole=whole)
    for look in range(LOOKS):
        with tempfile.TemporaryDirectory(prefix="onewriter-fetched-", dir=scratch) as folder:
            try:
                _fetch(place, names, Path(folder))
            except StorageError:
                # Whoever backs up may remove old files meanwhile.
                before, names = names, _wanted(place, whole=whole)
                if look == LOOKS - 1 or set(before) <= set(names):
                    raise
                continue
            yield Path(folder)
            return


def _wanted(place: BackupPlace, *, whole: bool) -> list[str]:
    """The names of the files that are fetched. Raises InvalidBackup if there is none."""
    names = place.names()
    if not names:
        raise InvalidBackup(f"there is no backup at {place.address}; check the address")
    fulls = list(filter(is_full, names))
    return names if whole or not fulls else [name for name in names if name >= fulls[-1]]


def _fetch(place: BackupPlace, names: list[str], folder: Path) -> None:
    """Fetch files, and the copies of archives that they need."""
    # Imported here, as it is of use for other places alone. Many files are small.
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place.fetch(name, folder / name), names))
        needed = _needed_copies(folder / name for name in ends_of_runs(names))
        list(pool.map(lambda name: place.fetch(name, folder / name), needed))


def _needed_copies(ends: Iterable[Path]) -> list[str]:
    """The names of the archives that the last files of full backups and their increments say they need."""
    segments = filter(None, map(readable_segment, ends))
    return sorted({one.name for found in segments for one in found.end.archives if not one.removed})
