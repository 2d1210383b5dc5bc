"""Checks of what commands and queries are called with. Callers' threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from actors.domain.lookup import METHODS
from actors.domain.middleware import Call
from actors.errors import InvalidMessage
from actors.timeouts import checked_timeout
from storage.value_text import short_repr

__all__ = ["checked", "checked_call", "several"]


def checked(options: Mapping[str, Any], kind: type, method: str) -> None:
    """Raise `TypeError` for an option that `method` does not have, `ValueError` for a bad `timeout`.

    `InvalidMessage` for `metadata` of another shape; whether its values can be stored turns out with the
    event.
    """
    for name in options:
        if name not in kind.__annotations__:
            known = ", ".join(sorted(kind.__annotations__))
            raise TypeError(f"{method}() has no option {name!r}; its options are {known}")
    checked_timeout(options.get("timeout", 0), method)
    _checked_metadata(options.get("metadata"), method)


def checked_call(call: Call, kind: type, method: str) -> None:
    """As `checked`, for a call that middleware has changed; `TypeError` where its options are no dict any
    more.
    """
    if not isinstance(call.options, dict):
        raise TypeError(
            f"call.options are those of {method}(), a dict, not {short_repr(call.options)}; leave it, or "
            "give an empty one"
        )
    checked(call.options, kind, method)
    _checked_metadata(call.metadata, method)


def _checked_metadata(metadata: Any, method: str) -> None:
    if metadata is not None and not (
        isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata)
    ):
        raise InvalidMessage(f"{method}(metadata=) is a dict with str keys, not {short_repr(metadata)}")


def several(messages: Any, method: str, kind: str) -> Iterable[Any]:
    """The messages. Raises `TypeError` for one message, or what else is no list."""
    if isinstance(messages, Iterable) and not isinstance(messages, str | bytes | Mapping | type):
        return messages
    raise TypeError(
        f"{method}() takes a list, not {short_repr(messages)}; write {method}([{kind}, ...]), "
        f"or {METHODS[kind]}({kind}) for a single one"
    )
