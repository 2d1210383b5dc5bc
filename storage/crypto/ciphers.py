"""AES-256-GCM of the package `cryptography`, which is imported when a key is first used. Any thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from storage.errors import KeysUnavailable

__all__ = ["KEY_BYTES", "NONCE_BYTES", "cipher_of", "opened", "sealed"]

KEY_BYTES = 32
NONCE_BYTES = 12


@cache
def _imported() -> tuple[Callable[[bytes], Any], type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise KeysUnavailable(
            f"personal fields need the package cryptography, which can't be imported ({error}): "
            "pip install 'onewriter[crypto]'"
        ) from error
    return AESGCM, InvalidTag


def cipher_of(key: bytes) -> Any:
    """The cipher of a key of 32 bytes. Raises KeysUnavailable if the package is missing."""
    aesgcm, _ = _imported()
    return aesgcm(key)


def sealed(cipher: Any, plain: bytes, place: bytes) -> bytes:
    """A new nonce, and the encrypted bytes; `place` is authenticated with them."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + bytes(cipher.encrypt(nonce, plain, place))


def opened(cipher: Any, body: bytes, place: bytes, at: int = 0) -> bytes | None:
    """What `sealed` was given, from this index of `body` on; None if bytes, place or key are others."""
    end = at + NONCE_BYTES
    try:
        plain: bytes = cipher.decrypt(body[at:end], body[end:], place)
        return plain
    except Exception as error:
        _, invalid = _imported()
        if isinstance(error, (invalid, ValueError)):
            return None
        raise
