"""The keys of a manager's instances as bytes, and how they are shown where they are no valid keys. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from actors.errors import InvalidMessage
from storage.limits import MAX_NAME_BYTES
from storage.value_text import short_repr

__all__ = ["checked_key", "shown_key", "utf8"]

SHOWN = 200
"""Bytes that are kept of a key that is too long to be valid."""


def utf8(key: str) -> bytes:
    """The bytes of a key, whatever it holds."""
    return key.encode("utf-8", "surrogatepass")


def shown_key(key: str) -> str:
    """The key under which an instance is set aside: its own, shortened with a digest where it is too long."""
    data = utf8(key)
    if len(data) <= MAX_NAME_BYTES:
        return key
    digest = blake2b(data, digest_size=16).hexdigest()
    return f"{data[:SHOWN].decode(errors='ignore')}...{digest}"


def checked_key(key: Any) -> str:
    """The result of a `key`. Raises `InvalidMessage` where that is no text, so that it identifies no
    instance.
    """
    if not isinstance(key, str):
        raise InvalidMessage(f"an instance is told by a text, or by None for none, not by {short_repr(key)}")
    return key
