"""The key store: a folder with an LMDB environment of its own and a file of halves. One thread at a time.

A key has an id, under which sealed values find it, and belongs to a subject, under whose digest it is found
to seal. Databases: `meta` has the format, the store's id, and the key of the key store, wrapped by the master
key; `keys` has for each id the subject's digest, the slot of the second half, and the first half, encrypted
with the key of the key store; `subjects` has the id of each subject's present key; `destroyed` the ids of
keys that are gone, and when; `destroying` the subjects whose destruction has begun and is not recorded yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any, NamedTuple, Self

import lmdb

from storage.crypto.ciphers import KEY_BYTES, cipher_of, opened, sealed
from storage.crypto.halves import Halves
from storage.crypto.key_files import DATABASES, open_key_files
from storage.crypto.master_key import MasterKey
from storage.errors import DamagedKeys, KeysUnavailable
from storage.files.environment import translate

__all__ = ["KeyStore", "NewKey", "subject_digest"]

ID_BYTES = 8
NO_KEY = bytes(ID_BYTES)
"""In the place of the id of a subject that has no key."""
_ENTRY_HEAD = 16 + 8  # digest of the subject, slot


class NewKey(NamedTuple):
    """A key that is in no file yet."""

    id: bytes
    digest: bytes
    slot: int
    half: bytes


def subject_digest(subject: str) -> bytes:
    """What the key store knows a subject by."""
    return blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def whole_key(first: bytes, second: bytes) -> bytes:
    """The key that two halves make."""
    return sha256(first + second).digest()


class KeyStore:
    """An open key store. Make one with `open`."""

    def __init__(
        self, path: Path, environment: lmdb.Environment, halves: Halves, store_key: bytes, id: str
    ) -> None:
        """For `open`."""
        self.path = path
        self.id = id
        """What the log knows it by."""
        self.store_key = store_key
        """The key that wraps all others; a worker process is given it."""
        self._environment = environment
        self._halves = halves
        self._cipher = cipher_of(store_key)
        self._databases = _open_databases(environment)
        with self._reading() as transaction:
            used = transaction.get(b"slots", db=self._databases["meta"])
        self._next = 1 + (0 if used is None else int.from_bytes(used, "big"))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        master: MasterKey | bytes,
        *,
        readonly: bool = False,
        create: bool = False,
    ) -> Self:
        """Open the key store in a folder; make it there if `create` is true and there is none.

        `master` is the master key, or the key of the key store. Raises KeysUnavailable if there is none, or
        for another master key; DamagedKeys, StoreLocked if another process writes to it, StorageError.
        """
        return cls(*open_key_files(path, master, readonly=readonly, create=create))

    # -- reading -----------------------------------------------------------------------------
    def id_of(self, digest: bytes) -> bytes | None:
        """The id of a subject's present key."""
        with self._reading() as transaction:
            found: bytes | None = transaction.get(digest, db=self._databases["subjects"])
            return found

    def key(self, id: bytes) -> bytes | None:
        """A key by its id; None if it was destroyed. Raises KeysUnavailable if there never was one."""
        with self._reading() as transaction:
            entry = transaction.get(id, db=self._databases["keys"])
            if entry is None:
                if transaction.get(id, db=self._databases["destroyed"]) is not None:
                    return None
                raise KeysUnavailable(
                    f"the key {id.hex()} is not in the key store {self.path}, and was not destroyed there; "
                    "is this folder older than the log? restore the newest copy of it"
                )
        second = self._halves.read(int.from_bytes(entry[16:_ENTRY_HEAD], "big"))
        if second is None:
            return None
        first = opened(self._cipher, entry[_ENTRY_HEAD:], id + entry[:_ENTRY_HEAD])
        if first is None:
            raise DamagedKeys(f"the key {id.hex()} in {self.path} is damaged; restore the folder")
        return whole_key(first, second)

    def check(self) -> None:
        """Read every key. Raises DamagedKeys."""
        with self._reading() as transaction, transaction.cursor(self._databases["subjects"]) as cursor:
            ids = [id for _, id in cursor]
        for id in ids:
            self.key(id)

    def version(self) -> int:
        """Changes with each change of the key store, by any process."""
        number: int = self._environment.info()["last_txnid"]
        return number

    def counts(self) -> dict[str, int]:
        """How many keys there are, and how many were destroyed."""
        with self._reading() as transaction:
            return {
                name: transaction.stat(self._databases[name])["entries"] for name in ("keys", "destroyed")
            }

    def destroying(self) -> list[str]:
        """The subjects whose keys are, or are to be, destroyed, while that is not recorded in the log yet."""
        with self._reading() as transaction, transaction.cursor(self._databases["destroying"]) as cursor:
            return list(dict.fromkeys(value.decode("utf-8", "surrogatepass") for _, value in cursor))

    # -- writing -----------------------------------------------------------------------------
    def new_key(self, digest: bytes) -> tuple[NewKey, bytes]:
        """Make a key for a subject, which is in no file before `put`. Raises StorageError."""
        slot = self._next
        self._halves.reserve(slot)
        second = self._halves.read(slot)
        if second is None:
            raise DamagedKeys(
                f"{self._halves.path} has an erased half where none was used; restore the folder"
            )
        self._next += 1
        new = NewKey(os.urandom(ID_BYTES), digest, slot, os.urandom(KEY_BYTES))
        return new, whole_key(new.half, second)

    def put(self, keys: Iterable[NewKey]) -> None:
        """Have new keys on disk. Raises StorageError, with none of them written."""

        def write(transaction: lmdb.Transaction[bytes]) -> None:
            for key in keys:
                head = key.digest + key.slot.to_bytes(8, "big")
                entry = head + sealed(self._cipher, key.half, key.id + head)
                transaction.put(key.id, entry, db=self._databases["keys"], overwrite=False)
                transaction.put(key.digest, key.id, db=self._databases["subjects"])
            transaction.put(b"slots", (self._next - 1).to_bytes(8, "big"), db=self._databases["meta"])

        self._write(write, "writing new keys")

    def destroy(self, subjects: Collection[str]) -> list[bytes]:
        """Destroy the keys of subjects; on return they can't be had from these files any more.

        Returns the ids of the keys, with those of an earlier call that was not `recorded`. Until it is,
        `destroying` names the subjects; one without a key is among them, too. Raises StorageError: then it
        can be called again.
        """
        digests = {subject_digest(one): one for one in subjects}
        databases = self._databases

        def begin(transaction: lmdb.Transaction[bytes]) -> None:
            for digest, subject in digests.items():
                id = transaction.get(digest, NO_KEY, db=databases["subjects"])
                value = subject.encode("utf-8", "surrogatepass")
                transaction.put(digest + id, value, db=databases["destroying"])

        self._write(begin, "beginning to destroy keys")
        with self._reading() as transaction, transaction.cursor(databases["destroying"]) as cursor:
            ids = [key[16:] for key, _ in cursor if key[:16] in digests and key[16:] != NO_KEY]
        self.destroy_ids(ids)
        return ids

    def destroy_ids(self, ids: Collection[bytes]) -> int:
        """Destroy keys by their ids, but for those that are; returns how many there were.

        Raises StorageError: then it can be called again.
        """
        databases = self._databases
        with self._reading() as transaction:
            found = {
                id: entry for id in ids if (entry := transaction.get(id, db=databases["keys"])) is not None
            }
        if not found:
            return 0
        self._halves.erase(int.from_bytes(entry[16:_ENTRY_HEAD], "big") for entry in found.values())

        def end(transaction: lmdb.Transaction[bytes]) -> None:
            now = (time.time_ns() // 1000).to_bytes(8, "big")
            for id, entry in found.items():
                transaction.delete(entry[:16], id, db=databases["subjects"])
                transaction.delete(id, db=databases["keys"])
                transaction.put(id, now, db=databases["destroyed"])

        self._write(end, "destroying keys")
        return len(found)

    def recorded(self, subjects: Collection[str]) -> None:
        """Note that the log says of these subjects that they were forgotten. Raises StorageError."""
        digests = {subject_digest(subject) for subject in subjects}

        def write(transaction: lmdb.Transaction[bytes]) -> None:
            with transaction.cursor(self._databases["destroying"]) as cursor:
                keys = [key for key, _ in cursor if key[:16] in digests]
            for key in keys:
                transaction.delete(key, db=self._databases["destroying"])

        self._write(write, "noting what was destroyed")

    def rotate(self, master: MasterKey) -> int:
        """Wrap all keys again, with a new key of the key store that this master key wraps.

        Returns the number of keys. All or nothing. Raises StorageError.
        """
        new = os.urandom(KEY_BYTES)
        cipher, count = cipher_of(new), 0
        wrapped = master.wrap(new)
        keys = self._databases["keys"]

        def write(transaction: lmdb.Transaction[bytes]) -> None:
            nonlocal count
            count = 0
            with transaction.cursor(keys) as cursor:
                for id, entry in cursor:
                    head = entry[:_ENTRY_HEAD]
                    half = opened(self._cipher, entry[_ENTRY_HEAD:], id + head)
                    if half is None:
                        raise DamagedKeys(
                            f"the key {id.hex()} in {self.path} is damaged, and nothing was changed; restore "
                            "the folder"
                        )
                    cursor.put(id, head + sealed(cipher, half, id + head))
                    count += 1
            transaction.put(b"store key", wrapped, db=self._databases["meta"])

        self._write(write, "wrapping keys again")
        self.store_key, self._cipher = new, cipher
        return count

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        self._environment.close()
        self._halves.close()

    # -- inside ------------------------------------------------------------------------------
    def _reading(self) -> lmdb.Transaction[bytes]:
        try:
            return self._environment.begin()
        except lmdb.Error as error:
            raise translate(error, f"reading the key store {self.path}") from error

    def _write(self, write: Any, what: str) -> None:
        try:
            with self._environment.begin(write=True) as transaction:
                write(transaction)
        except lmdb.Error as error:
            raise translate(error, f"{what} in {self.path}", self.path) from error


def _open_databases(environment: lmdb.Environment) -> Mapping[str, lmdb._Database]:
    return {name: environment.open_db(name.encode(), create=False) for name in DATABASES}
