"""Shows other processes that a commit to several engines is in progress: a flock on the replica's directory.

The engines of a replica commit one after the other. A process that reads their files in between finds them at
two positions, as it does permanently if the last commit failed. While the lock is held they are about to
agree. The system releases the lock when the process dies. Any thread.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["commit_is_under_way", "commit_of_several"]

_PATIENCE = 1.0
"""Seconds that a commit waits for a reader that was stopped while it checked the lock."""
_PAUSE = 0.001


@contextmanager
def commit_of_several(path: Path) -> Iterator[None]:
    """Commit to several engines of the replica in the directory `path` within this block."""
    number = -1
    # If the directory is gone, there is nothing to be read either.
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _PATIENCE
        while number >= 0 and not _locked(number, fcntl.LOCK_EX) and time.monotonic() < end:
            time.sleep(_PAUSE)
        yield
    finally:
        if number >= 0:
            os.close(number)


def commit_is_under_way(path: Path) -> bool:
    """Whether a process is within `commit_of_several` for this directory."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _locked(number, fcntl.LOCK_SH)
    finally:
        os.close(number)


def _locked(number: int, kind: int) -> bool:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
