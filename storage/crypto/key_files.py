"""The files of a key store: made, opened, locked and rewritten. One thread at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from storage.crypto.ciphers import KEY_BYTES
from storage.crypto.halves import HALF_BYTES, HALVES_FILE, Halves
from storage.crypto.master_key import MasterKey
from storage.errors import (
    DamagedKeys,
    DamagedStore,
    KeysUnavailable,
    NewerFormat,
    StorageError,
    StoreLocked,
)
from storage.files.environment import DATA_FILE, make_directory, open_environment, translate
from storage.files.opening_resources import OpeningResources
from storage.files.rewriting import others_reading, rewrite_environment

__all__ = ["DATABASES", "OpenKeyFiles", "compact_keys", "open_key_files"]

MAP_SIZE = 1 << 32
"""Bytes of address space, which take no disk: enough for over ten million people."""
DATABASES = ("meta", "keys", "subjects", "destroyed", "destroying")
_FORMAT = b"1"


class OpenKeyFiles(NamedTuple):
    """The open files of a key store, the key that wraps its keys, and its id."""

    folder: Path
    environment: lmdb.Environment
    halves: Halves
    store_key: bytes
    id: str


def open_key_files(
    path: str | os.PathLike[str], master: MasterKey | bytes, *, readonly: bool, create: bool
) -> OpenKeyFiles:
    """Open the files of the key store in a folder; see `KeyStore.open`."""
    folder = Path(os.path.abspath(path))
    exists = (folder / DATA_FILE).exists()
    halves_file = folder / HALVES_FILE
    # A creation makes the file of halves first; one that was interrupted has left none in it.
    unused = halves_file.stat().st_size <= HALF_BYTES if halves_file.exists() else not exists
    if not exists and not (create and unused):
        raise KeysUnavailable(
            f"there is no key store at {folder}, or a part of it is missing; restore the folder from "
            "where you keep a copy, or say where it is with keys_path="
        )
    new = None if isinstance(master, bytes) or not (create and unused) else NewStoreKey.of(master)
    resources = OpeningResources()
    try:
        opened_halves = resources.slot(Halves.close)
        opened_environment = resources.slot(lmdb.Environment.close)
        if new is not None:
            make_directory(folder)
        opened_halves.resource = halves = Halves(halves_file, create=new is not None, readonly=readonly)
        if not readonly:
            _lock(halves, folder)
        opened_environment.resource = environment = open_environment(
            folder, map_size=MAP_SIZE, max_dbs=len(DATABASES), readonly=readonly, siblings=[HALVES_FILE]
        )
        if new is not None:
            _make(environment, new)
        store_key, id = _read_meta(environment, folder, master)
        return OpenKeyFiles(folder, environment, halves, store_key, id)
    except lmdb.Error as error:
        resources.roll_back()
        raise _unreadable(folder, error) from error
    except DamagedKeys:
        resources.roll_back()
        raise
    except DamagedStore as error:
        resources.roll_back()
        raise DamagedKeys(f"{error}; it is of the key store {folder}: restore the folder") from error
    except BaseException:
        resources.roll_back()
        raise


def _lock(halves: Halves, folder: Path) -> None:
    try:
        fcntl.flock(halves.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreLocked(
            f"another opener writes to the key store {folder}; give each store a keys_path= of its own"
        ) from None


def compact_keys(path: str | os.PathLike[str]) -> None:
    """Rewrite a closed key store, without what was deleted or replaced in it; needs no master key.

    Raises StoreLocked if a process has it open, StorageError.
    """
    folder = Path(os.path.abspath(path))
    halves = Halves(folder / HALVES_FILE, create=False, readonly=False)
    try:
        _lock(halves, folder)
        environment = open_environment(
            folder, map_size=MAP_SIZE, max_dbs=len(DATABASES), create=False, siblings=[HALVES_FILE]
        )
        try:
            if others_reading(environment):
                raise StoreLocked(
                    f"the key store {folder} is open for reading in another process; close it there"
                )
            rewrite_environment(folder, environment)
        finally:
            environment.close()
    finally:
        halves.close()


class NewStoreKey(NamedTuple):
    """The key of a key store that is to be made, as it is stored."""

    wrapped: bytes

    @classmethod
    def of(cls, master: MasterKey) -> Self:
        """A random one. Raises KeysUnavailable."""
        return cls(master.wrap(os.urandom(KEY_BYTES)))


def _make(environment: lmdb.Environment, new: NewStoreKey) -> None:
    """Have the databases there, and the key of the key store, unless they are."""
    id = os.urandom(8).hex().encode()
    with environment.begin(write=True) as transaction:
        databases = {name: environment.open_db(name.encode(), txn=transaction) for name in DATABASES}
        for name, value in ((b"format", _FORMAT), (b"id", id), (b"store key", new.wrapped)):
            transaction.put(name, value, db=databases["meta"], overwrite=False)


def _read_meta(environment: lmdb.Environment, folder: Path, master: MasterKey | bytes) -> tuple[bytes, str]:
    """The key of the key store, and the id. Raises KeysUnavailable, DamagedKeys, NewerFormat."""
    meta = environment.open_db(b"meta", create=False)
    with environment.begin() as transaction:
        format, id, stored = (transaction.get(one, db=meta) for one in (b"format", b"id", b"store key"))
    if format is None or id is None or stored is None:
        raise DamagedKeys(f"{folder} is not, or not all of, a key store; restore the folder")
    if format != _FORMAT:
        raise NewerFormat(
            f"the key store {folder} has format {format.decode()}; open it with a newer version"
        )
    key = master if isinstance(master, bytes) else master.unwrap(stored)
    if key is None:
        assert not isinstance(master, bytes)
        raise KeysUnavailable(
            f"{master.where} does not open the key store {folder}: it is another one than that which wrapped "
            "its keys"
        )
    return key, id.decode()


def _unreadable(folder: Path, error: lmdb.Error) -> StorageError:
    if isinstance(error, lmdb.NotFoundError):
        return DamagedKeys(f"{folder} is not, or not all of, a key store ({error}); restore the folder")
    return translate(error, f"opening the key store {folder}")
