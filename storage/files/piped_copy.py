"""Copying an LMDB environment without its free pages, piece by piece, while others read and write it.

LMDB copies in a thread of its own into a pipe, so the copy can be followed, kept from filling the system's
cache, and given up at any moment. The caller's thread.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import lmdb

__all__ = ["copy_environment"]

PIECE = 1 << 20
"""Bytes that are copied at a time."""
SYNC_EVERY = 32 << 20
"""Bytes after which the copy goes to disk, so that commits wait for little at a time."""


def copy_environment(
    environment: lmdb.Environment,
    target: Path,
    *,
    beginning: AbstractContextManager[None],
    check: Callable[[], None],
    copied: Callable[[int], None],
) -> None:
    """Copy an environment, which stays open, to a new file, and wait until it is on disk.

    The copy is of the state during `beginning`, in which nobody commits. `check` is called again and again,
    and what it raises ends the copying; `copied` is called with the bytes so far. Raises OSError and LMDB's
    errors.
    """
    source, sink = os.pipe()
    failed: list[Exception] = []

    def copy() -> None:
        try:
            environment.copyfd(sink, compact=True)
        except Exception as error:
            failed.append(error)
        finally:
            os.close(sink)

    with suppress(OSError, AttributeError):
        fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, PIECE)
    copier = threading.Thread(target=copy, name="onewriter-compaction", daemon=True)
    try:
        with beginning:
            copier.start()
            # The first bytes come after its transaction has begun.
            piece = os.read(source, PIECE)
        with target.open("xb", buffering=0) as file:
            os.chmod(file.fileno(), 0o600)
            done = synced = 0
            while piece:
                check()
                done += file.write(piece)
                if done - synced >= SYNC_EVERY:
                    os.fdatasync(file.fileno())
                    synced = done
                    copied(done)
                piece = os.read(source, PIECE)
            os.fsync(file.fileno())
    finally:
        # Whoever still copies is told by this.
        os.close(source)
        if copier.ident is not None:
            copier.join()
        else:
            os.close(sink)
    if failed:
        raise failed[0]
