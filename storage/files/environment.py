"""Opens LMDB environments as stores: checks the directory, maps the file, and translates errors. Any thread.

A store is a directory of mode 0700 that contains data.mdb, lock.mdb and LOCK. Nothing in a directory is
changed before it is known to be a store or to be empty. LMDB allows an environment to be open only once in a
process. Threads may share an `lmdb.Environment`.
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

from storage.errors import DamagedStore, LimitReached, NotAStore, OtherEngine, StoreReadOnly
from storage.files.arguments import checked_map_size, checked_path
from storage.files.error_translation import from_system, translate
from storage.files.map_sizes import SMALLEST_MAP, map_size_here, what_is_used_up
from storage.files.opening_resources import Descriptor, sync_directory
from storage.files.store_lock import LOCK_FILE, StoreLock

__all__ = [
    "StoreLock",
    "check_directory",
    "open_environment",
    "translate",
]

MAX_READERS = 2048
READER_SLOT = 64
DATA_FILE = "data.mdb"
READERS_FILE = "lock.mdb"
OWN_FILES = frozenset({DATA_FILE, READERS_FILE, LOCK_FILE})

ENGINE = 0
"""LMDB 0.9, even if the environment variable LMDB_DEFAULT_LIB_VERSION names another version.

The lmdb package has two engines, and neither can read the other's files.
"""

# LMDB's first meta page: a page header of 16 bytes (24 from LMDB 1.0 on), then its magic number and its data
# format.
LMDB_MAGIC = struct.pack("=I", 0xBEEFC0DE)
META_AT = (16, 24)
DATA_FORMAT = struct.Struct("=I")
OUR_DATA_FORMAT = 1
LMDB_NAMES = {2: "a development version of LMDB 1.0", 3: "LMDB 1.0"}


# -- the directory -------------------------------------------------------------------------------------------
def check_directory(
    path: str | os.PathLike[str], *, create: bool = True, siblings: Collection[str] = ()
) -> bool:
    """Return whether `path` holds an LMDB environment; False means that one may be created there.

    Changes nothing. `siblings` names further files that belong to the store.

    Raises:
        TypeError, ValueError: `path` cannot be a path.
        NotAStore: it is a file, or a directory with other things in it; or it is empty or missing, and
            `create` is false.
        OtherEngine: its data.mdb was written by another engine of LMDB.
        DamagedStore: LMDB did not write its data.mdb; or it has none, while stores that were derived from it
            exist.
    """
    path = checked_path(path)
    data = path / DATA_FILE
    try:
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            if create:
                return False
            raise NotAStore(f"there is no store at {path}; check the path") from None
        if not stat.S_ISDIR(mode):
            raise NotAStore(f"{path} is a file, a store is a directory; choose another path")
        names = set(os.listdir(path))
        if DATA_FILE not in names or data.stat().st_size == 0:
            foreign = sorted(names - OWN_FILES - set(siblings))
            if foreign:
                more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
                raise NotAStore(
                    f"{path} is not a store: it holds {foreign[0]!r}{more}; choose an empty directory"
                )
            _refuse_lost(data, siblings)
            if not create:
                raise NotAStore(f"{path} is an empty directory, and no store; check the path")
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
        if found in LMDB_NAMES:
            raise OtherEngine(
                f"{data} was written by {LMDB_NAMES[found]} (data format {found}), and this program reads "
                f"and writes the format of LMDB 0.9 ({OUR_DATA_FORMAT}); it is not damaged: copy its "
                "databases with the program that wrote it, or as docs/operations.md shows"
            )
    raise DamagedStore(
        f"{data} is not what LMDB writes: it is damaged or foreign; restore a backup, or choose another path"
    )


def _refuse_lost(data: Path, siblings: Collection[str]) -> None:
    """Raise DamagedStore if a store's own file is missing, but stores that were filled from it exist.

    Those are created later, so an interrupted creation cannot be the reason.
    """
    derived = [file for name in sorted(siblings) for file in data.parent.glob(f"{name}/*/{DATA_FILE}")]
    # Another opener may have created all of it since the directory was listed.
    if derived and not (data.exists() and data.stat().st_size):
        raise DamagedStore(
            f"{data} is missing or empty, but {derived[0].parent}, which was filled from it, exists: the "
            f"history is lost; restore {data.name} from a backup, or delete {data.parent} to begin a new one"
        )


def open_environment(
    path: str | os.PathLike[str],
    *,
    map_size: int | None = None,
    max_dbs: int = 64,
    readonly: bool = False,
    sync: bool = True,
    create: bool = True,
    siblings: Collection[str] = (),
) -> lmdb.Environment:
    """Open the LMDB environment in the directory `path`; create both if they are missing.

    `map_size` bounds the store, in bytes. None chooses one by the size of the file and by the address space
    that is left, see `map_sizes`. One of over 1 GiB that does not fit is halved until it does, and is never
    smaller than the file. The map does not move while the environment is open. Without `sync` a commit does
    not wait for the disk: only for data that can be rebuilt. The slots of dead readers are cleared.

    Raises what `check_directory` and `translate` raise. After a failure to create a store, a later call can
    create it.
    """
    path = checked_path(path)
    checked_map_size(map_size)
    exists = check_directory(path, create=create and not readonly, siblings=siblings)
    if not exists:
        make_directory(path)
    if not readonly:
        _reserve_readers(path)
    environment: lmdb.Environment | None = None
    try:
        size = map_size_here(path / DATA_FILE) if map_size is None else map_size
        environment = _open(path, size, max_dbs, readonly, sync, exists)
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
            if map_size <= SMALLEST_MAP:
                if not exists:
                    (path / DATA_FILE).unlink(missing_ok=True)
                what = f"opening {path} with a map of {map_size:,} bytes"
                raise LimitReached(f"{what} failed: {what_is_used_up()}") from error
            map_size = max(map_size // 2, SMALLEST_MAP)
        except lmdb.Error as error:
            if not exists:
                # If only half of a new file's first two pages were written, the next opener would find a
                # damaged store.
                (path / DATA_FILE).unlink(missing_ok=True)
            raise translate(error, f"opening {path}", path) from error


def make_directory(path: Path, *, durable: bool = True) -> None:
    """Create the directory of a store, for its owner alone; one that exists stays as it is.

    On return every new directory, parents included, is on disk, unless `durable` is false.
    """
    try:
        missing = list(takewhile(lambda directory: not directory.exists(), (path, *path.parents)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        for new in missing if durable else ():
            sync_directory(new)
            sync_directory(new.parent)
    except OSError as error:
        raise from_system(error, f"the directory {path} cannot be made", path) from error


def _reserve_readers(path: Path) -> None:
    """Reserve the disk space that the table of readers needs.

    LMDB leaves a hole in the file and fills it through a map as readers arrive: on a full disk that would
    kill the process.
    """
    file = path / READERS_FILE
    try:
        with Descriptor(file, os.O_RDWR | os.O_CREAT) as number:
            # One byte into LMDB's last page. LMDB sets the file's size itself, and reads the number of slots
            # from it.
            os.posix_fallocate(number, 0, MAX_READERS * READER_SLOT + 1)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # the file system has no such call
            raise from_system(error, f"{file} cannot be written", path) from error
