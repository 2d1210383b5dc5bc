"""The keys that a process uses, over its key store: seals and unseals personal fields. Any thread.

A key that is made for a new subject is in memory until `flush`, which the log calls before each commit: no
event is on disk whose key is not.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Collection
from hashlib import blake2b

from storage.crypto.ciphers import NONCE_BYTES, cipher_of, opened
from storage.crypto.key_store import ID_BYTES, KeyStore, NewKey, subject_digest
from storage.errors import KeysUnavailable, UnreadableSeal

__all__ = ["Keyring"]

KEPT = 20_000
"""Keys that are kept in memory; when there are more, all that are on disk are read again as needed."""

_MASK = (1 << 8 * NONCE_BYTES) - 1
_DIGEST = b"onewriter digest"
_DIGEST_BYTES = 16


class _Key:
    """A key in use."""

    __slots__ = ("cipher", "digest_key", "encrypt", "id")

    def __init__(self, id: bytes, key: bytes) -> None:
        self.id = id
        self.cipher = cipher_of(key)
        self.encrypt = self.cipher.encrypt
        self.digest_key = blake2b(key, digest_size=32, person=_DIGEST).digest()


class Keyring:
    """A `Sealer` of one process. The key store is its own, and is closed with it."""

    def __init__(self, store: KeyStore, *, readonly: bool = False) -> None:
        """`readonly` makes no keys, and follows what another process does to the key store."""
        self.store = store
        self._readonly = readonly
        self._lock = threading.RLock()
        self._by_subject: dict[str, _Key] = {}
        self._by_id: dict[bytes, _Key | None] = {}
        self._pending: dict[str, tuple[NewKey, _Key]] = {}
        self._version = store.version()
        # Each opening counts from a random number of 96 bits on, so that no nonce comes twice. Asking the
        # system for each would release the GIL, for which all threads contend then.
        self._nonces = itertools.count(int.from_bytes(os.urandom(NONCE_BYTES)))

    # -- as a Sealer -------------------------------------------------------------------------
    def seal(self, subject: str, place: bytes, plain: bytes) -> bytes:
        """The key's id, a nonce, and the encrypted bytes. Raises StorageError if a key can't be made."""
        key = self._by_subject.get(subject) or self._key_for(subject)
        nonce = (next(self._nonces) & _MASK).to_bytes(NONCE_BYTES, "big")
        sealed: bytes = key.id + nonce + key.encrypt(nonce, plain, place)
        return sealed

    def unseal(self, place: bytes, body: bytes) -> bytes | None:
        """What was sealed; None if the key was destroyed.

        Raises UnreadableSeal for a key that is missing, and for bytes that are damaged or of another place.
        """
        if self._readonly:
            self._follow()
        id = body[:ID_BYTES]
        try:
            key = self._by_id[id]
        except KeyError:
            key = self._key_of(id)
        if key is None:
            return None
        plain = opened(key.cipher, body, place, ID_BYTES)
        if plain is None:
            raise UnreadableSeal(
                "an encrypted value is not what was written there: it is damaged, or was moved from another "
                "place"
            )
        return plain

    def digest(self, subject: str, data: bytes) -> bytes:
        """A digest that only who has the subject's key can compute."""
        key = self._by_subject.get(subject) or self._key_for(subject)
        return blake2b(data, key=key.digest_key, digest_size=_DIGEST_BYTES).digest()

    def flush(self) -> None:
        """Have the keys that were made since on disk. Raises StorageError; they are tried again next time."""
        if not self._pending:
            return
        with self._lock:
            pending = dict(self._pending)
            self.store.put(new for new, _ in pending.values())
            for subject in pending:
                del self._pending[subject]

    # -- forgetting --------------------------------------------------------------------------
    def destroy(self, subjects: Collection[str]) -> list[bytes]:
        """Destroy the keys of subjects, on disk and here; the ids of the keys.

        Raises StorageError: then it can be called again.

        What is sealed for one of them afterwards has a new key.
        """
        with self._lock:
            self.flush()
            ids = self.store.destroy(subjects)
            self._by_subject.clear()
            self._by_id.clear()
            return ids

    def destroying(self) -> list[str]:
        """The subjects whose destruction has begun, and is not recorded yet."""
        return self.store.destroying()

    def recorded(self, subjects: Collection[str]) -> None:
        """Note that the log says that these subjects were forgotten. Raises StorageError."""
        with self._lock:
            self.store.recorded(subjects)

    def close(self) -> None:
        """Close the key store; a second call does nothing."""
        with self._lock:
            self._by_subject.clear()
            self._by_id.clear()
            self.store.close()

    # -- inside ------------------------------------------------------------------------------
    def _key_for(self, subject: str) -> _Key:
        """The key to seal with, which is made if the subject has none."""
        if self._readonly:
            raise KeysUnavailable(
                f"the key store {self.store.path} is open for reading: nothing can be sealed with its keys"
            )
        with self._lock:
            found = self._by_subject.get(subject)
            if found is not None:
                return found
            self._make_room()
            digest = subject_digest(subject)
            id = self.store.id_of(digest)
            stored = None if id is None else self.store.key(id)
            if id is not None and stored is not None:
                key = _Key(id, stored)
            else:
                new, plain = self.store.new_key(digest)
                key = _Key(new.id, plain)
                self._pending[subject] = new, key
            self._by_id[key.id] = key
            self._by_subject[subject] = key
            return key

    def _key_of(self, id: bytes) -> _Key | None:
        with self._lock:
            if id in self._by_id:
                return self._by_id[id]
            self._make_room()
            try:
                stored = self.store.key(id)
            except KeysUnavailable as error:
                raise UnreadableSeal(str(error)) from None
            key = self._by_id[id] = None if stored is None else _Key(id, stored)
            return key

    def _make_room(self) -> None:
        if len(self._by_subject) >= KEPT or len(self._by_id) >= KEPT:
            self._by_subject.clear()
            self._by_id.clear()
            for subject, (_, key) in self._pending.items():
                self._by_subject[subject] = key
                self._by_id[key.id] = key

    def _follow(self) -> None:
        version = self.store.version()
        if version != self._version:
            with self._lock:
                self._version = version
                self._by_id.clear()
