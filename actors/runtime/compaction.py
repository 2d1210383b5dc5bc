"""Compacting a closed store: no file of it has what was deleted any more. The caller's thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from actors.kernel.delivery_marks import MARKS_FILE
from actors.replication.replicas_folder import REPLICAS
from actors.runtime.personal_keys import KEYS_FOLDER, KEYS_NOTE
from actors.runtime.store_identity import IDENTITY_FILE, KEY, in_new_file
from storage.errors import KeysUnavailable
from storage.files.arguments import resolved_path
from storage.files.environment import DATA_FILE
from storage.files.erasing import erase_folder
from storage.files.store_lock import StoreLock
from storage.log.compaction import compact_log, open_for_compaction, stored_note

__all__ = ["Compacted", "compact_store"]

SIBLINGS = (REPLICAS, MARKS_FILE, IDENTITY_FILE, KEYS_FOLDER)
Progress = Callable[[int, int], None]
"""Called with the bytes that are written or overwritten, and about how many it will be."""


class Compacted(NamedTuple):
    """What compacting a store did, in bytes: of the log before and after, and of the replicas, which are
    removed.
    """

    before: int
    after: int
    replicas: int


def compact_store(
    path: str | os.PathLike[str],
    *,
    keys_path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Compacted:
    """Rewrite the log of a store, without what was deleted, and remove its replicas, which the next
    opening fills.

    Files are overwritten before they are removed. The key store, in the store or at `keys_path`, is
    rewritten, too. No process may have the store open, for reading neither. It needs as much free disk as
    the log will have. A process that dies meanwhile leaves a store that is whole; compact it again. Raises
    KeysUnavailable if the store has a key store, and it is not there; StoreLocked, NotAStore, DamagedStore,
    StoreFull, StorageError.
    """
    store = resolved_path(path)
    keys = Path(keys_path) if keys_path is not None else store / KEYS_FOLDER
    replicas = store / REPLICAS
    size = _size(replicas)
    lock, environment = open_for_compaction(store, SIBLINGS)
    done, total = 0, size + 2 * (store / DATA_FILE).stat().st_size

    def told(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None:
            progress(min(done, total), total)

    with ExitStack() as stack:
        stack.callback(lock.release)
        stack.callback(environment.close)
        # A worker that lost its parent may have a replica for a moment.
        for folder in sorted(replicas.glob("*")) if replicas.is_dir() else ():
            if (folder / DATA_FILE).exists():
                stack.enter_context(StoreLock(folder))
        has_keys = (keys / DATA_FILE).exists()
        if not has_keys and (keys_path is not None or stored_note(environment, KEYS_NOTE) is not None):
            raise KeysUnavailable(
                f"there is no key store at {keys}, so keys that were destroyed may stay in its files, and "
                "nothing was done; say where it is with keys_path="
            )
        before, after = compact_log(store, environment, KEY, in_new_file(store), told)
        if has_keys:
            from storage.crypto.key_files import compact_keys

            compact_keys(keys)
        erase_folder(replicas, told)
    return Compacted(before, after, size)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
