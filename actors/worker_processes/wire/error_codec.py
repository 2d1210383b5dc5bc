"""Errors as bytes, on their way to the parent: of the same class, with the same text and attributes, and
without pickle.

Pure; any thread of either process.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from storage import CodecError
from storage.codec.codec import Codec
from storage.value_text import short_repr

__all__ = ["pack_error", "unpack_error"]

DEEPEST = 5
"""Causes of causes that are sent."""


def pack_error(error: BaseException, codec: Codec) -> bytes:
    """The error with its causes, for `unpack_error`. A value that the codec can't encode is sent as text."""
    return codec.pack(_described(error, codec, DEEPEST))


def unpack_error(data: bytes, codec: Codec) -> Exception:
    """The error again. A class that this process does not have becomes a `RuntimeError` that names it."""
    error = _made(codec.unpack(data))
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def _described(error: BaseException, codec: Codec, depth: int) -> list[Any]:
    cls = type(error)
    cause = error.__cause__
    state = {name: _plain(value, codec) for name, value in vars(error).items() if name != "__notes__"}
    return [
        cls.__module__,
        cls.__qualname__,
        _text(error),
        [_plain(one, codec) for one in _arguments(error)],
        state,
        None if cause is None or not depth else _described(cause, codec, depth - 1),
        # The traceback is in the other process, and lost otherwise.
        ""
        if error.__traceback__ is None or depth == DEEPEST
        else "".join(traceback.format_tb(error.__traceback__)),
    ]


def _arguments(error: BaseException) -> tuple[Any, ...]:
    """What it is made from: an `OSError` keeps only a part of that in its `args`."""
    if isinstance(error, OSError):
        return tuple(error.__reduce__()[1])
    return error.args


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        return "(its message could not be rendered)"
    return text.encode(errors="replace").decode()


def _plain(value: Any, codec: Codec) -> Any:
    try:
        codec.pack(value)
    except CodecError:
        if type(value) is dict:
            return {str(name): _plain(one, codec) for name, one in value.items()}
        return f"{short_repr(value, 1000)}".encode(errors="replace").decode()
    return value


def _made(described: Any) -> BaseException:
    module, name, text, args, state, cause, trace = described
    error = _rebuilt(module, name, args, state)
    if error is None or _text(error) != text:
        error = RuntimeError(f"{name}: {text}")
    if cause is not None:
        error.__cause__ = _made(cause)
    if trace:
        error.add_note(f"Traceback in the worker process (most recent call last):\n{trace.rstrip()}")
    return error


def _rebuilt(module: str, name: str, args: list[Any], state: dict[str, Any]) -> BaseException | None:
    """An error of the class of this name, where it is loaded; its `__init__` is not called."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, BaseException):
        return None
    try:
        error = found.__new__(found, *args)
        if not isinstance(error, OSError):
            error.args = tuple(args)
        for key, value in state.items():
            setattr(error, key, value)
    except Exception:
        return None
    return error
