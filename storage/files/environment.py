"""Opening LMDB environments as stores: the directory, the map, and errors that say what to do.

A store is a directory of mode 0700 with data.mdb, lock.mdb and LOCK in it. Nothing in a directory is touched
before it is known to be a store, or empty. LMDB allows one open of an environment in a process.
Any thread; `lmdb.Environment` itself may be shared between threads.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Collection
from itertools import takewhile
from pathlib import Path

import lmdb

from storage.errors import DamagedStore, NotAStore, OtherEngine, StoreReadOnly
from storage.files.arguments import checked_map_size, checked_path
from storage.files.error_translation import from_system, translate
from storage.files.opening_resources import Descriptor, sync_directory
from storage.files.store_lock import LOCK_FILE, StoreLock

__all__ = [
    "DEFAULT_MAP_SIZE",
    "StoreLock",
    "check_directory",
    "open_environment",
    "translate",
]

DEFAULT_MAP_SIZE = 1 << 40
"""1 TiB of address space, which takes no disk; the map never moves under readers."""

MIN_FALLBACK_MAP_SIZE = 1 << 30
MAX_READERS = 2048
READER_SLOT = 64
DATA_FILE = "data.mdb"
READERS_FILE = "lock.mdb"
OWN_FILES = frozenset({DATA_FILE, READERS_FILE, LOCK_FILE})

ENGINE = 0
"""LMDB 0.9, whatever the environment variable LMDB_DEFAULT_LIB_VERSION says: its package has two engines, and neither
reads what the other wrote."""

# LMDB's first meta page: a page header, of 16 bytes or, from 1.0 on, of 24, then its magic number and its data format.
LMDB_MAGIC = struct.pack("=I", 0xBEEFC0DE)
META_AT = (16, 24)
DATA_FORMAT = struct.Struct("=I")
OUR_DATA_FORMAT = 1
ENGINES = {2: "a development version of LMDB 1.0", 3: "LMDB 1.0"}


# -- the directory -------------------------------------------------------------------------------------------
def check_directory(
    path: str | os.PathLike[str], *, create: bool = True, siblings: Collection[str] = ()
) -> bool:
    """Return whether `path` holds an LMDB environment; False means that one may be made there.

    Only looks, touching nothing. `siblings` names further files that belong to the store.

    Raises TypeError or ValueError for what can be no path; NotAStore for a file, for a directory with other things in it, and for an empty or missing one if
    `create` is false; OtherEngine for a data.mdb of another engine of LMDB, DamagedStore for one that LMDB did not
    write, and where there is none beside stores that were made after it.
    """
    path = checked_path(path)
    data = path / DATA_FILE
    try:
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            if create:
                return False
            raise NotAStore(
                f"there is no store at {path}; check the path, or allow it to be created"
            ) from None
        if not stat.S_ISDIR(mode):
            raise NotAStore(f"{path} is a file, a store is a directory; choose another path")
        names = set(os.listdir(path))
        if DATA_FILE not in names or data.stat().st_size == 0:
            foreign = sorted(names - OWN_FILES - set(siblings))
            if foreign:
                more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
                raise NotAStore(
                    f"{path} is no store, and it holds {foreign[0]!r}{more}; choose an empty directory"
                )
            _refuse_lost(data, siblings)
            if not create:
                raise NotAStore(
                    f"{path} is an empty directory; check the path, or allow a store to be created"
                )
            return False
        with data.open("rb") as file:
            head = file.read(META_AT[-1] + len(LMDB_MAGIC) + DATA_FORMAT.size)
    except PermissionError as error:
        raise StoreReadOnly(f"{path} cannot be read ({error.strerror}); check who owns it") from error
    except OSError as error:
        raise from_system(error, f"the path {path} cannot be opened", path, "choose another path") from error
    _check_engine(data, head)
    return True


def _check_engine(data: Path, head: bytes) -> None:
    """Raise OtherEngine or DamagedStore unless a file that begins with `head` is one of `ENGINE`."""
    for at in META_AT:
        number = head[at + len(LMDB_MAGIC) : at + len(LMDB_MAGIC) + DATA_FORMAT.size]
        if head[at : at + len(LMDB_MAGIC)] != LMDB_MAGIC or len(number) < DATA_FORMAT.size:
            continue
        [found] = DATA_FORMAT.unpack(number)
        if found == OUR_DATA_FORMAT and at == META_AT[0]:
            return
        if found in ENGINES:
            raise OtherEngine(
                f"{data} was written by {ENGINES[found]} (data format {found}), and this program reads and writes the "
                f"format of LMDB 0.9 ({OUR_DATA_FORMAT}); it is not damaged: copy its databases with the program that "
                "wrote it, or as docs/operations.md shows"
            )
    raise DamagedStore(
        f"{data} is not what LMDB writes: it is damaged or foreign; restore a backup, or choose another path"
    )


def _refuse_lost(data: Path, siblings: Collection[str]) -> None:
    """Raise DamagedStore where a store's own file is gone and what was derived from it is there.

    That is made later, so it can't be from a making that was cut short.
    """
    derived = [one for name in sorted(siblings) for one in data.parent.glob(f"{name}/*/{DATA_FILE}")]
    # Another opener may have made all of it since the directory was listed.
    if derived and not (data.exists() and data.stat().st_size):
        raise DamagedStore(
            f"{data} is missing, or empty, while {derived[0].parent} is there, which was filled from it: the history is "
            f"gone; restore {data.name} from a backup, or delete {data.parent} to begin a new history"
        )


def open_environment(
    path: str | os.PathLike[str],
    *,
    map_size: int = DEFAULT_MAP_SIZE,
    max_dbs: int = 64,
    readonly: bool = False,
    sync: bool = True,
    create: bool = True,
    siblings: Collection[str] = (),
) -> lmdb.Environment:
    """Open the LMDB environment in the directory `path`, making both if they are missing.

    `map_size` bounds the store, in bytes; where the address space is limited, a default of over 1 GiB is halved
    until it fits. Without `sync` a commit does not wait for the disk: only for what can be rebuilt. Slots of
    readers that died are cleared.

    Raises what `check_directory` and `translate` do; a store that could not be made is made by a later call.
    """
    path = checked_path(path)
    map_size = checked_map_size(map_size)
    exists = check_directory(path, create=create and not readonly, siblings=siblings)
    if not exists:
        make_directory(path)
    if not readonly:
        _reserve_readers(path)
    environment: lmdb.Environment | None = None
    try:
        environment = _open(path, map_size, max_dbs, readonly, sync, exists)
        if not exists:
            try:
                sync_directory(path)
                sync_directory(path.parent)
            except OSError as error:
                raise from_system(error, f"the directory {path} cannot be made durable", path) from error
        environment.reader_check()
        return environment
    except BaseException:
        if environment is not None:
            environment.close()
        raise


def _open(
    path: Path, map_size: int, max_dbs: int, readonly: bool, sync: bool, exists: bool
) -> lmdb.Environment:
    while True:
        try:
            return lmdb.open(
                os.fspath(path),
                map_size=map_size,
                max_dbs=max_dbs,
                max_readers=MAX_READERS,
                max_spare_txns=32,
                mode=0o600,
                readonly=readonly,
                sync=sync,
                metasync=sync,
                lib_version=ENGINE,
            )
        except lmdb.MemoryError as error:
            if map_size <= MIN_FALLBACK_MAP_SIZE:
                raise translate(error, f"opening {path} with a map of {map_size:,} bytes") from error
            map_size = max(map_size // 2, MIN_FALLBACK_MAP_SIZE)
        except lmdb.Error as error:
            if not exists:
                # Half of the two pages that a new one begins with would be a damaged store to the next opener.
                (path / DATA_FILE).unlink(missing_ok=True)
            raise translate(error, f"opening {path}", path) from error


def make_directory(path: Path, *, durable: bool = True) -> None:
    """Make the directory of a store, for its owner alone; one that exists stays as it is.

    Each directory that is new, of its parents too, is on disk on return, unless it need not be `durable`.
    """
    try:
        missing = list(takewhile(lambda one: not one.exists(), (path, *path.parents)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        for new in missing if durable else ():
            sync_directory(new)
            sync_directory(new.parent)
    except OSError as error:
        raise from_system(error, f"the directory {path} cannot be made", path) from error


def _reserve_readers(path: Path) -> None:
    """Take the disk that the table of readers needs now.

    LMDB leaves a hole and fills it through a map as readers come: on a full disk that would kill the process.
    """
    file = path / READERS_FILE
    try:
        with Descriptor(file, os.O_RDWR | os.O_CREAT) as number:
            # One byte into LMDB's last page; its own size, which tells it the number of slots, is up to LMDB.
            os.posix_fallocate(number, 0, MAX_READERS * READER_SLOT + 1)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that has no such call
            raise from_system(error, f"{file} cannot be written", path) from error
