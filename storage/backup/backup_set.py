"""A folder of backups: full ones, each with the increments that continue it. Any thread, one at a time.

The files are numbered. An increment continues the file before it. So whatever comes before a full backup may
be deleted by hand, and nothing between a full one and its last increment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from storage.archive.archive_format import ENDING
from storage.backup.segment_reader import Segment, open_segment, readable_segment
from storage.errors import InvalidBackup, StorageError
from storage.files.arguments import resolved_path
from storage.files.environment import make_directory
from storage.files.error_translation import from_system
from storage.files.opening_resources import sync_directory
from storage.files.published_file import PARTIAL, is_being_written
from storage.files.store_lock import LOCK_FILE, StoreLock

__all__ = [
    "LOOKS",
    "BackupSet",
    "ends_of_runs",
    "full_name_of",
    "has_gap",
    "is_backup",
    "is_backup_name",
    "is_copy_name",
    "is_full",
]

_NAME = re.compile(r"([0-9]{8})-(full|increment)\.backup")
_DIGITS = 8
LOOKS = 5
"""So often a set is looked at again, of which files are gone as soon as they are to be read."""
_COPY = re.compile(rf"[0-9]{{8}}-[0-9a-f]{{16}}{re.escape(ENDING)}")


def is_backup_name(name: str) -> bool:
    """Whether a complete file of a backup may have this name."""
    return _NAME.fullmatch(name) is not None


def is_copy_name(name: str) -> bool:
    """Whether a complete copy of the file of an archive may have this name in a set."""
    return _COPY.fullmatch(name) is not None


def is_full(name: str) -> bool:
    """Whether a file of a backup with this name is a full one."""
    return name.endswith("-full.backup")


def has_gap(names: Sequence[str]) -> bool:
    """Whether a file is missing before the newest one, from a full one on; names are sorted."""
    fulls = [index for index, name in enumerate(names) if is_full(name)]
    if not fulls:
        return bool(names)
    run = [int(name[:8]) for name in names[fulls[-1] :]]
    return run[-1] - run[0] >= len(run)


def is_backup(path: Path) -> bool:
    """Whether a path is a file of a backup, or a folder with some, as far as names tell."""
    try:
        if path.is_dir():
            return any(_NAME.fullmatch(name) for name in os.listdir(path))
        return _NAME.fullmatch(path.name) is not None
    except OSError:
        return False


def _without_replaced(names: Iterable[str]) -> list[str]:
    """Names of complete files, sorted; of an increment and a full one with the same number the full one.

    It was made in place of the increment, which a kill left.
    """
    found = sorted(filter(is_backup_name, names))
    fulls = {name[:_DIGITS] for name in found if is_full(name)}
    return [name for name in found if is_full(name) or name[:_DIGITS] not in fulls]


def full_name_of(name: str) -> str:
    """The name of the full backup that takes the place of an increment of this name."""
    return f"{name[:_DIGITS]}-full.backup"


class BackupSet:
    """The folder at `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Touches nothing. Raises StorageError for an impossible path."""
        self.path = resolved_path(path)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make the folder if it is missing, and keep others from writing to it during the block.

        What a killed backup left is removed, and nothing that is being written. Raises InvalidBackup if it
        holds something else, StoreLocked, StoreFull, StorageError.
        """
        self._refuse_foreign()
        make_directory(self.path)
        with StoreLock(self.path) as lock:
            lock.sign()
            for name in self._names():
                if name.endswith(PARTIAL) and not is_being_written(self.path / name):
                    (self.path / name).unlink(missing_ok=True)
            self.remove_replaced()
            yield

    def files(self) -> list[Path]:
        """The complete files, the oldest first. Raises StorageError."""
        return [self.path / name for name in _without_replaced(self._names())]

    def newest(self) -> Segment | None:
        """The newest file; None if there is none, or it can't be read."""
        files = self.files()
        return readable_segment(files[-1]) if files else None

    def last_full(self) -> Segment | None:
        """The newest full file; None if there is none, or it can't be read."""
        fulls = [file for file in self.files() if is_full(file.name)]
        return readable_segment(fulls[-1]) if fulls else None

    def copies(self) -> list[str]:
        """The names of the copies of archives. Raises StorageError."""
        return sorted(filter(is_copy_name, self._names()))

    def runs_ends(self) -> list[Segment | None]:
        """The last file of each full backup and what follows it; None for one that can't be read."""
        return [readable_segment(self.path / name) for name in ends_of_runs([f.name for f in self.files()])]

    def next_path(self, *, full: bool) -> Path:
        """Where the next file goes."""
        files = self.files()
        number = int(files[-1].name[:_DIGITS]) + 1 if files else 1
        return self.path / f"{number:08d}-{'full' if full else 'increment'}.backup"

    def remove_before(self, keep: int) -> list[Path]:
        """Remove what comes before the last `keep` full files that can be read; returns what was removed.

        Raises StorageError.
        """
        files = self.files()
        fulls = [file for file in reversed(files) if is_full(file.name) and readable_segment(file)]
        if len(fulls) < keep:
            return []
        gone = [file for file in files if file.name < fulls[keep - 1].name]
        try:
            for file in gone:  # the oldest first: what is left can be used at every moment
                file.unlink()
            if gone:
                sync_directory(self.path)
        except OSError as error:
            raise from_system(error, f"old backups in {self.path} cannot be removed", self.path) from error
        return gone

    def remove_replaced(self) -> None:
        """Remove increments in whose place full ones are. Raises StorageError."""
        names = self._names()
        for name in {*filter(is_backup_name, names)}.difference(_without_replaced(names)):
            (self.path / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except OSError as error:
            raise from_system(error, f"the backups in {self.path} cannot be read", self.path) from error

    def _refuse_foreign(self) -> None:
        try:
            names = set(os.listdir(self.path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_system(error, f"{self.path} cannot be a folder of backups", self.path) from error
        foreign = sorted(
            name
            for name in names - {LOCK_FILE}
            if not (is_backup_name(whole := name.removesuffix(PARTIAL)) or is_copy_name(whole))
        )
        if foreign:
            more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
            raise InvalidBackup(
                f"{self.path} is no folder of backups: it holds {foreign[0]!r}{more}; choose an empty one, "
                "or one that does not exist yet"
            )


def ends_of_runs(names: Sequence[str]) -> list[str]:
    """The name of the last file of each full backup and the increments after it, of names in order."""
    return [name for at, name in enumerate(names, 1) if at == len(names) or is_full(names[at])]


def checked_keep(keep: object) -> int | None:
    """How many full backups stay, None for all. Raises TypeError, ValueError."""
    if keep is None:
        return None
    if isinstance(keep, bool) or not isinstance(keep, int):
        raise TypeError(f"keep= must be a whole number or None, got {keep!r}")
    if keep < 1:
        raise ValueError(f"keep= must be at least 1, got {keep!r}; None removes nothing")
    return keep


def segments_of(path: Path) -> list[Segment]:
    """The segments at a path, a file or a folder of them, the oldest first.

    Raises InvalidBackup if there is none, or one can't be read, NewerFormat, StorageError.
    """
    if not path.exists():
        raise InvalidBackup(f"there is no backup at {path}; check the path")
    if not path.is_dir():
        return [open_segment(path)]
    for look in range(LOOKS):
        files = BackupSet(path).files()
        if not files:
            raise InvalidBackup(f"{path} holds no backup; give the folder that `onewriter backup` was given")
        try:
            return [open_segment(file) for file in files]
        except StorageError:
            # Whoever backs up may remove old files meanwhile.
            if look == LOOKS - 1 or all(file.exists() for file in files):
                raise
    raise AssertionError


def require_distinct(target: Path, store: Path) -> None:
    """Raise StorageError for a folder of backups inside a store, or above it."""
    if target == store or store in target.parents:
        raise StorageError(
            f"{target} is in the store {store} itself; choose a folder elsewhere, best on another disk"
        )
