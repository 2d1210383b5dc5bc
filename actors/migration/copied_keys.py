"""The key store of a copy: that of the original, or a new one. The caller's thread."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import msgpack

from actors.domain.specs import CompiledDomain
from actors.runtime.personal_keys import KEYS_FOLDER, KEYS_NOTE
from storage.codec.stored_seals import StoredSeals
from storage.crypto.key_store import KeyStore
from storage.crypto.keyring import Keyring
from storage.crypto.master_key import MasterKey
from storage.files.error_translation import from_system
from storage.log.notes import Note

__all__ = ["CopiedKeys"]


class CopiedKeys:
    """The keys with which personal fields of a copy are sealed."""

    def __init__(self, domain: CompiledDomain, master: MasterKey, keys_path: str | None = None) -> None:
        """`domain` says which fields are personal; `keys_path` is the original's key store, if elsewhere."""
        self._domain = domain
        self._master = master
        self._keys_path = keys_path
        self._id = ""

    def open(self, source: str, target: Path, stack: ExitStack) -> StoredSeals:
        """Copy the original's key store to the copy in `target`, or make one there, and open it.

        One that an earlier attempt left goes on. `stack` closes it. Raises KeysUnavailable, StorageError.
        """
        original = Path(self._keys_path or os.path.join(source, KEYS_FOLDER))
        folder = target / KEYS_FOLDER
        if original.is_dir() and not folder.exists():
            unfinished = target / f"{KEYS_FOLDER}.copying"
            try:
                shutil.rmtree(unfinished, ignore_errors=True)
                shutil.copytree(original, unfinished, ignore=shutil.ignore_patterns("lock.mdb"))
                os.chmod(unfinished, 0o700)
                unfinished.rename(folder)
            except OSError as error:
                raise from_system(error, f"{original} can't be copied to {folder}", folder) from error
        store = KeyStore.open(folder, self._master, create=not original.is_dir())
        keyring = Keyring(store)
        stack.callback(keyring.close)
        self._id = store.id
        return StoredSeals(self._domain.codec, keyring)

    def note(self) -> Note:
        """The note with which the copy names its key store."""
        return KEYS_NOTE, self._id.encode()

    @staticmethod
    def described(note: Note) -> Note:
        """A note, in which the description of a class does not say that plain values may be stored."""
        key, value = note
        if key.split(b"/")[:2] != [b"schema", b"type"] or value is None:
            return note
        plain = msgpack.unpackb(value)
        for field in plain.get("fields", {}).values():
            field.pop("was_plain", None)
        return key, msgpack.packb(plain)
