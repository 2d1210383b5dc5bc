"""Opens a store under its lock: checks it, then locks it, then writes. Any thread, the opener's."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

import lmdb

from storage.errors import DamagedStore
from storage.files.arguments import checked_map_size, resolved_path
from storage.files.environment import (
    DATA_FILE,
    ENGINE,
    check_directory,
    make_directory,
    open_environment,
    translate,
)
from storage.files.error_translation import from_system
from storage.files.header import FORMAT_VERSION, META_DB, Header, read_header, write_header
from storage.files.opening_resources import OpeningResources
from storage.files.page_check import DEFAULT_VERIFY_BYTES, find_problems
from storage.files.store_lock import LOCK_FILE, StoreLock, is_signed


def open_store(
    path: str | os.PathLike[str],
    new_header: Header,
    *,
    take_over: Callable[[Path, Header], None],
    map_size: int | None,
    create: bool = True,
    sync: bool = True,
    siblings: Collection[str] = (),
    max_dbs: int = 64,
    verify_bytes: int = DEFAULT_VERIFY_BYTES,
) -> tuple[StoreLock, lmdb.Environment, Header]:
    """Lock and open the store of `new_header.kind` in the directory `path`; a new one gets `new_header`.

    Returns the lock, the environment and the header of the store. A path that holds anything else is left
    unchanged. `take_over` is called with a store of an older format, while no environment is open, and makes
    it one of this format.

    Raises StoreLocked if another opener has it; NotAStore, NewerFormat, DamagedStore, StoreReadOnly or
    StoreFull; TypeError or ValueError for a path or a map_size that is not possible.
    """
    path = resolved_path(path)
    checked_map_size(map_size)
    exists = check_directory(path, create=create, siblings=siblings)
    resources = OpeningResources()
    try:
        if exists and not (path / LOCK_FILE).exists():
            check_pages(path, "it was moved or copied there", verify_bytes)
            # Without our lock file this may be another program's directory: even an empty LOCK in it would be
            # a change.
            peek_header(path, new_header.kind, resources)
        lock = resources.slot(StoreLock.release)
        opened = resources.slot(lmdb.Environment.close)
        make_directory(path)
        lock.resource = held = StoreLock(path)
        if exists:
            # If the lock file is empty, it was created just now, and the pages were checked above.
            if held.before and (doubt := held.doubt()) is not None:
                check_pages(path, doubt, verify_bytes)
            if is_signed(path):
                held.sign()  # before the file is mapped
            found = peek_header(path, new_header.kind, resources)
            if found is not None and found.format < FORMAT_VERSION:
                held.sign()
                take_over(path, found)
        held.sign()
        opened.resource = environment = open_environment(
            path, map_size=map_size, sync=sync, siblings=siblings, max_dbs=max_dbs
        )
        header = read_header(environment, new_header.kind)
        if header is None:
            header = new_header
            _write_new_header(environment, header)
        held.opened()
        return held, environment, header
    except BaseException:
        resources.roll_back()
        raise


def check_pages(path: Path, doubt: str, limit: int) -> None:
    """Raise DamagedStore for pages that could make LMDB end the process; `doubt` is why they are checked."""
    data = path / DATA_FILE
    try:
        found = find_problems(data, limit)
    except OSError as error:
        raise from_system(error, f"{data} cannot be read", path) from error
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise DamagedStore(
            f"{data} is damaged ({found[0]}{more}); it was checked because {doubt}, and it was not opened, "
            f"since that could end the process: copy {path} away, then restore a backup; `python -m actors "
            f"verify {path}` lists all its damage, and verify_bytes=0 opens the store without a check, to "
            "save what can be read"
        )


def peek_header(path: Path, kind: str, resources: OpeningResources) -> Header | None:
    """Return the header of the store in `path`, or None if it is empty; writes nothing to the directory.

    Call it only while nobody writes to the store: it takes no reader slot. `resources` releases the
    environment if an interrupt leaves it open.
    """
    opened = resources.slot(lmdb.Environment.close)
    try:
        opened.resource = environment = lmdb.open(
            os.fspath(path), readonly=True, lock=False, create=False, max_dbs=1, lib_version=ENGINE
        )
        return read_header(environment, kind)
    except lmdb.Error as error:
        raise translate(error, f"opening {path}") from error
    finally:
        opened.release()


def _write_new_header(environment: lmdb.Environment, header: Header) -> None:
    try:
        with environment.begin(write=True) as transaction:
            meta = environment.open_db(META_DB, txn=transaction)
            write_header(transaction, meta, header)
    except lmdb.Error as error:
        path = environment.path()
        raise translate(error, f"making a store in {path}", path) from error
