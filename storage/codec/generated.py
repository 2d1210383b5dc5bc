"""Functions that are written for one class, since they run for each of its messages. Any thread.

Each opening of a system makes them again, out of the same texts, so what a text was compiled to is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

__all__ = ["define"]

KEPT = 4096
"""Texts whose code is kept; a class has about five."""


def define(name: str, text: str, names: dict[str, Any]) -> Callable[..., Any]:
    """The function `name`, which is all that `text` defines, and which uses `names`."""
    # With code of its own: the interpreter adapts that to the classes that it meets there.
    return FunctionType(_compiled(text).replace(), names, name)


@lru_cache(KEPT)
def _compiled(text: str) -> CodeType:
    [code] = [one for one in compile(text, "<string>", "exec").co_consts if isinstance(one, CodeType)]
    return code
