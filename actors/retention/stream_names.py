"""Names of streams, as callers give them: one, or a collection. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from storage.log.records import name_key
from storage.value_text import short_repr

__all__ = ["checked_streams"]


def checked_streams(call: str, given: Any) -> list[str]:
    """The streams that a call was given, each once. Raises TypeError and InvalidKey for what is no name."""
    names = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    streams = list(names)
    for one in streams:
        if not isinstance(one, str):
            raise TypeError(f"{call} takes the names of streams, not {short_repr(one)}")
        name_key("stream", one)
    return list(dict.fromkeys(streams))
