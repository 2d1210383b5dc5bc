"""Where an error belongs: to the instance, which is set aside alone, or to the machine or store, which
affects all.
"""

from __future__ import annotations

import errno

import lmdb

from actors.errors import CommitUncertain, SystemClosed
from storage import (
    ArchiveUnavailable,
    CommitFailed,
    DamagedStore,
    NewerFormat,
    StorageError,
    StoreClosed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)

__all__ = ["is_instance_fault"]

SYSTEM_FAULTS = (
    ArchiveUnavailable,
    CommitFailed,
    CommitUncertain,
    DamagedStore,
    MemoryError,
    NewerFormat,
    StoreClosed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    SystemClosed,
    lmdb.Error,
)
SYSTEM_ERRNOS = {errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EROFS}
MAX_CAUSES = 10
"""How many causes of an error are looked at."""


def is_instance_fault(error: BaseException | None) -> bool:
    """False for a full disk, a damaged store and the like, also where they are the cause of the error."""
    for _ in range(MAX_CAUSES):
        if error is None:
            break
        if isinstance(error, SYSTEM_FAULTS) or type(error) is StorageError:
            return False
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
            return False
        error = error.__cause__
    return True
