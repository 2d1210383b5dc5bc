"""The master key, which wraps the key of a key store: from a file, or of a key service. Any thread."""

from __future__ import annotations

import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from storage.crypto.ciphers import KEY_BYTES, cipher_of, opened, sealed
from storage.errors import KeysUnavailable
from storage.files.arguments import checked_path
from storage.files.error_translation import from_system
from storage.files.opening_resources import Descriptor, sync_directory

__all__ = ["MasterKey", "MasterKeyGiven", "Wrapper", "load_master_key", "new_key_file"]

TITLE = "onewriter-master-key-1"
_PLACE = b"onewriter key of a key store"
HOW_TO_MAKE = "`onewriter keys new FILE` makes one"

Wrapper = Callable[[Literal["wrap", "unwrap"], bytes], bytes]
"""Asks a key service to wrap 32 bytes, or to unwrap what it made of them."""

MasterKeyGiven = str | os.PathLike[str] | Wrapper


class MasterKey(Protocol):
    """Wraps and unwraps 32 bytes."""

    def wrap(self, key: bytes) -> bytes:
        """The wrapped key. Raises KeysUnavailable."""

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """The key; None if this master key did not wrap it. Raises KeysUnavailable."""

    @property
    def where(self) -> str:
        """What messages call it."""


class _KeyFile:
    def __init__(self, path: Path) -> None:
        self.where = f"the master key in {path}"
        try:
            words = path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise KeysUnavailable(f"{self.where} can't be read: {why}; {HOW_TO_MAKE}") from error
        try:
            title, text = words
            key = b64decode(text, validate=True)
        except ValueError:
            title, key = "", b""
        if title != TITLE or len(key) != KEY_BYTES:
            raise KeysUnavailable(f"{path} is not the file of a master key; {HOW_TO_MAKE}")
        self._cipher = cipher_of(key)

    def wrap(self, key: bytes) -> bytes:
        return sealed(self._cipher, key, _PLACE)

    def unwrap(self, wrapped: bytes) -> bytes | None:
        return opened(self._cipher, wrapped, _PLACE)


class _KeyService:
    def __init__(self, call: Wrapper) -> None:
        self.where = f"the key service {getattr(call, '__qualname__', None) or type(call).__name__}"
        self._call = call

    def wrap(self, key: bytes) -> bytes:
        wrapped = self._ask("wrap", key)
        if not wrapped or wrapped == key:
            raise KeysUnavailable(
                f"{self.where} returned the key as it is, or nothing, when asked to wrap it"
            )
        return wrapped

    def unwrap(self, wrapped: bytes) -> bytes | None:
        key = self._ask("unwrap", wrapped)
        return key if len(key) == KEY_BYTES else None

    def _ask(self, action: Literal["wrap", "unwrap"], data: bytes) -> bytes:
        try:
            given = self._call(action, data)
        except Exception as error:
            raise KeysUnavailable(
                f"{self.where} failed to {action} the key: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(given, bytes):
            raise KeysUnavailable(
                f"{self.where} returned a {type(given).__name__} when asked to {action}; it must return bytes"
            )
        return given


def load_master_key(given: MasterKeyGiven) -> MasterKey:
    """The master key in a file, or of a key service.

    Raises KeysUnavailable for a file that is none or can't be read; TypeError, ValueError for what can't be a
    path.
    """
    if callable(given):
        return _KeyService(given)
    return _KeyFile(checked_path(given))


def new_key_file(path: str | os.PathLike[str]) -> Path:
    """Make the file of a new, random master key, for its owner alone; on return it is on disk.

    Raises KeysUnavailable if something is at the path; StorageError.
    """
    path = Path(path)
    text = f"{TITLE}\n{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}\n"
    try:
        with Descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as number:
            os.write(number, text.encode())
            os.fsync(number)
        sync_directory(path.absolute().parent)
    except FileExistsError:
        raise KeysUnavailable(
            f"{path} exists, and a master key is never overwritten; choose another path"
        ) from None
    except OSError as error:
        raise from_system(error, f"the master key {path} can't be written", path) from error
    return path
