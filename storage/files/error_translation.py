"""Translates errors of LMDB and of the operating system into ours, which say what to do. Any thread.

A full disk shows in several ways: LMDB reports a write that was cut short as EIO, as it does for a broken
disk. The free space tells the two apart.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import lmdb

from storage.errors import (
    CommitFailed,
    DamagedStore,
    InvalidKey,
    LimitReached,
    NewerFormat,
    StorageError,
    StoreFull,
    StoreReadOnly,
)

__all__ = [
    "LIMITS",
    "NEARLY_NO_ROOM",
    "commit_failed",
    "error_number",
    "from_system",
    "full_disk",
    "limit_reached",
    "translate",
]

LIMITS: dict[int | None, str] = {
    errno.EMFILE: "the process has as many files open as it may; close some, or raise the limit (ulimit -n)",
    errno.ENFILE: "the machine has as many files open as it may; close some, or raise fs.file-max",
    errno.ENOMEM: "there is no memory left; free some, or raise the limit (ulimit -v, the container's)",
    errno.EAGAIN: "the user, or the container, has as many threads and processes as it may; end some, or "
    "raise the limit (ulimit -u)",
}
"""Errors for which no store is at fault: what is used up, and what to do."""

NEARLY_NO_ROOM = 1 << 20
"""With fewer free bytes, a failed write means a full disk: the rest may be reserved or fragmented."""

_ERRORS: list[tuple[type[lmdb.Error], type[StorageError], str]] = [
    (
        lmdb.MapFullError,
        StoreFull,
        "the map is full; open the store again, with a larger map_size if it was given one",
    ),
    (lmdb.DiskError, StoreFull, "the disk is full; make room"),
    (
        lmdb.VersionMismatchError,
        NewerFormat,
        "the file has another format; open it with the version that wrote it",
    ),
    (lmdb.InvalidError, DamagedStore, "the file is not what LMDB writes; restore a backup"),
    (lmdb.CorruptedError, DamagedStore, "the file is damaged; restore a backup"),
    (lmdb.PageNotFoundError, DamagedStore, "the file is damaged; restore a backup"),
    (lmdb.ReadonlyError, StoreReadOnly, "it cannot be written; check who owns it and how it is mounted"),
    (lmdb.BadValsizeError, InvalidKey, "a key is empty or longer than 511 bytes"),
    (lmdb.ReadersFullError, StorageError, "there are too many readers at once; close some"),
    (lmdb.MemoryError, StorageError, "no address space is left; open the store with a smaller map_size"),
    (lmdb.PanicError, StorageError, "an earlier write failed; reopen the store"),
]

_BY_ERRNO: dict[int, tuple[type[StorageError], str]] = {
    errno.ENOSPC: (StoreFull, "the disk is full; make room"),
    errno.EDQUOT: (StoreFull, "the quota is used up; make room"),
    errno.EFBIG: (StoreFull, "the file may not grow any further; raise the limit of the file size"),
    errno.EACCES: (StoreReadOnly, "it cannot be written; check who owns it"),
    errno.EPERM: (StoreReadOnly, "it cannot be written; check who owns it"),
    errno.EROFS: (StoreReadOnly, "its file system is mounted for reading only"),
    errno.ELOOP: (StorageError, "its symbolic links form a loop; fix the link"),
    errno.ENAMETOOLONG: (
        StorageError,
        "its name is longer than the file system takes; choose a shorter path",
    ),
    errno.ENOTDIR: (StorageError, "a part of its path is a file; choose another path"),
    **{number: (LimitReached, advice) for number, advice in LIMITS.items() if number is not None},
}
_OF_FILES: dict[int | None, str] = {
    errno.EACCES: "check who owns it, and who may enter the directories above it",
    errno.EPERM: "check who owns it",
    errno.EIO: "the disk fails; look at the system's log",
}


def error_number(error: BaseException) -> int | None:
    """Return the system's error number in an error of LMDB, or None if it is one of LMDB's own."""
    code = getattr(error, "code", None) or getattr(error, "errno", None)
    return code if isinstance(code, int) and code > 0 else None


def full_disk(path: str | os.PathLike[str], number: int | None) -> str | None:
    """Return a clause that says that the disk of `path` is full, or None if `number` has another cause."""
    if number not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return None
    existing = Path(path)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        status = os.statvfs(existing)
    except OSError:
        return None if number == errno.EIO else f"there is no room left for {path} ({os.strerror(number)})"
    free = status.f_bavail * status.f_frsize
    if number == errno.EIO:
        return f"the disk of {path} is full ({free:,} bytes free)" if free < NEARLY_NO_ROOM else None
    what = "the quota" if number == errno.EDQUOT else "the disk"
    return f"{what} of {path} is full ({os.strerror(number)}, {free:,} bytes free)"


def translate(error: lmdb.Error, what: str, path: str | os.PathLike[str] | None = None) -> StorageError:
    """Return our error for an error of LMDB, to be raised from it; `what` says what was done, and to what.

    Give `path` if a write may have met a full disk.
    """
    number = error_number(error)
    if path is not None and (full := full_disk(path, number)) is not None:
        return StoreFull(f"{what} failed: {full}; make room there")
    # LMDB's own MemoryError is about the map, not about the machine.
    if number in _BY_ERRNO and not isinstance(error, lmdb.MemoryError):
        kind, advice = _BY_ERRNO[number]
        return kind(f"{what} failed: {advice} ({error})")
    for lmdb_kind, kind, advice in _ERRORS:
        if isinstance(error, lmdb_kind):
            return kind(f"{what} failed: {advice} ({error})")
    return StorageError(f"{what} failed: {error}")


def commit_failed(error: Exception, what: str) -> CommitFailed:
    """Return the error for a commit that started and did not report success; `what` is the store."""
    number = error_number(error)
    detail = f"{os.strerror(number)}, errno {number}" if number else "no errno"
    reason = f"a commit to {what} failed ({detail}: {error})"
    return CommitFailed(
        f"{reason}; it may or may not be on disk: call reopen() and check whether head has moved",
        number,
        reason,
    )


LONGEST_SHOWN = 200
"""Characters of a path that an error shows whole."""


def from_system(error: OSError, what: str, path: str | os.PathLike[str], advice: str = "") -> StorageError:
    """Return our error for an error of the system, to be raised from it: "<what>: <reason>", and what to do.

    `advice` is used if the error has no advice of its own.
    """
    text = os.fspath(path)
    if len(text) > LONGEST_SHOWN:
        what = what.replace(text, f"{text[:80]}...")
    full = full_disk(path, error.errno)
    if full is not None:
        return StoreFull(f"{what}: {full}; make room there")
    kind, cause = _BY_ERRNO.get(error.errno or 0, (StorageError, ""))
    cause = _OF_FILES.get(error.errno, cause)
    return kind(f"{what}: {error.strerror}" + (f"; {cause or advice}" if cause or advice else ""))


def limit_reached(number: int | None, what: str) -> LimitReached:
    """Return the error for one of `LIMITS`, to be raised from the system's; `what` could not be done."""
    return LimitReached(f"{what}: {os.strerror(number or 0)}; {LIMITS[number]}")
