"""Where users' code is, and how messages call it. Pure; any thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

__all__ = []


def caller_location(depth: int = 2) -> str:
    """File and line of the user's code, ``depth`` frames above the one that asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def location_of(fn: Callable[..., Any]) -> str:
    """File and line of a function's definition."""
    code = getattr(fn, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(fn)


def name_of(thing: Any) -> str:
    """How messages call a class or function."""
    return cast(str, getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or repr(thing))
