"""A value as an error message shows it: in bounded length, whatever its `repr` does. Pure; any thread."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["short_repr"]

DIGITS = 640
"""Python always shows ints of so many digits; longer ones it may refuse (`sys.set_int_max_str_digits`)."""
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
}


def short_repr(value: Any, limit: int = 80) -> str:
    """The value's `repr`, or as much of it as fits into `limit` characters.

    A part that cannot be shown is replaced by a text that says so.

    Containers, texts and numbers are read only as far as they are shown. Never raises an `Exception`.
    """
    try:
        text = _inner(value, limit)
    except RecursionError as error:
        text = _failed(value, error)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _text(value: Any, room: int) -> str:
    kind = type(value)
    if kind is str or kind is bytes:
        # One character more than fits, so that the result is cut and marked.
        return repr(value[: room + 1])
    if kind is int:
        return (
            repr(value) if value.bit_length() < 3 * DIGITS else f"<an int of about {_digits(value):,} digits>"
        )
    if kind in _BRACKETS:
        first, last = _BRACKETS[kind]
        if not value:
            return repr(value)
        text = first
        for item in value:
            if len(text) > room:
                return text
            text += (", " if text != first else "") + _inner(item, room)
        return f"{text}{',' if kind is tuple and len(value) == 1 else ''}{last}"
    if kind is dict:
        text = "{"
        for key, item in value.items():
            if len(text) > room:
                return text
            text += (", " if text != "{" else "") + f"{_inner(key, room)}: {_inner(item, room)}"
        return text + "}"
    try:
        return repr(value)
    except Exception:
        if not dataclasses.is_dataclass(value):
            raise
    # One of its fields fails; the others show which message it is.
    text = f"{kind.__qualname__}("
    for field in dataclasses.fields(value):
        if len(text) > room:
            return text
        text += (", " if text[-1] != "(" else "") + f"{field.name}={_inner(getattr(value, field.name), room)}"
    return text + ")"


def _inner(value: Any, room: int) -> str:
    try:
        return _text(value, room)
    except RecursionError:
        raise
    except Exception as error:
        return _failed(value, error)


def _failed(value: Any, error: Exception) -> str:
    return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}>"


def _digits(value: int) -> int:
    return int(value.bit_length() * 0.30103) + 1
