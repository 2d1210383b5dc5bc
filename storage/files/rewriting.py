"""Rewriting an LMDB environment, without what it deleted, and overwriting the old file. One thread.

LMDB deletes nothing: what was deleted stays in free pages, and in the gaps of others, until something else is
written there. A copy has only what there is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import lmdb

from storage.errors import StorageError
from storage.files.environment import DATA_FILE, ENGINE
from storage.files.erasing import Progress, erase_file
from storage.files.error_translation import from_system, translate
from storage.files.opening_resources import Descriptor, sync_directory

__all__ = ["NEW_FILE", "OLD_FILE", "others_reading", "remove_leftovers", "rewrite_environment"]

NEW_FILE = "data.mdb.compact"
OLD_FILE = "data.mdb.old"
ROOM = 64 << 20


def others_reading(environment: lmdb.Environment) -> list[int]:
    """The ids of other processes that read an environment, as far as they say so."""
    environment.reader_check()
    # A line for each reader begins with its process.
    first = [line.split()[0] for line in environment.readers().splitlines() if line.split()]
    found = {int(word) for word in first if word.isdigit()}
    return sorted(found - {os.getpid()})


def remove_leftovers(folder: Path) -> None:
    """Overwrite and remove what a call that did not end has left. Raises StorageError."""
    for name in (OLD_FILE, NEW_FILE):
        erase_file(folder / name)


def rewrite_environment(
    folder: Path,
    environment: lmdb.Environment,
    *,
    amend: Callable[[lmdb.Environment, Path], None] | None = None,
    progress: Progress = lambda _: None,
) -> tuple[int, int]:
    """Replace the file of an environment by a copy that has only what there is; returns the bytes before and
    after.

    The environment is closed, whatever happens. `amend` may write to the copy before it replaces the file.
    The old file is overwritten and removed; one that an earlier call left is, too. Needs as much free disk as
    the copy takes. A process that dies in between leaves the old file or the new one in place. The caller
    makes sure that no process has the environment open. Raises StoreFull, StorageError.
    """
    data, new, old = (folder / name for name in (DATA_FILE, NEW_FILE, OLD_FILE))
    try:
        erase_file(old, progress)
        new.unlink(missing_ok=True)
        with Descriptor(new, os.O_RDWR | os.O_CREAT | os.O_EXCL) as number:
            environment.copyfd(number, compact=True)
            os.fsync(number)
        if amend is not None:
            _amend(new, amend)
        environment.close()
        before, after = data.stat().st_size, new.stat().st_size
        progress(after)
        os.link(data, old)
        new.rename(data)
        sync_directory(folder)
        erase_file(old, progress)
        sync_directory(folder)
    except lmdb.Error as error:
        _remove(new)
        raise translate(error, f"rewriting {data}", data) from error
    except OSError as error:
        _remove(new)
        raise from_system(error, f"{data} cannot be rewritten", data) from error
    except StorageError:
        _remove(new)
        raise
    finally:
        environment.close()
    return before, after


def _amend(new: Path, amend: Callable[[lmdb.Environment, Path], None]) -> None:
    opened = lmdb.open(
        os.fspath(new),
        subdir=False,
        lock=False,
        mode=0o600,
        map_size=new.stat().st_size + ROOM,
        max_dbs=1024,
        lib_version=ENGINE,
    )
    with closing(opened) as environment:
        amend(environment, new)


def _remove(new: Path) -> None:
    try:
        new.unlink(missing_ok=True)
    except OSError:
        return
