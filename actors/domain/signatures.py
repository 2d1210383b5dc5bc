"""Whether the runtime can call a function that a user wrote.

Pure; runs on the thread that compiles a domain.
"""

from __future__ import annotations

import inspect
from typing import Any

from storage.codec.annotations import signature_of


def signature_problem(fn: Any, least: int, most: int, *, generator: bool = False) -> str | None:
    """Why the runtime can't call this function with ``least`` to ``most`` positional arguments, or None."""
    plain = inspect.unwrap(fn) if callable(fn) else fn
    if isinstance(fn, type) or not callable(fn):
        return "must be a function"
    if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
        return "must not be async: no event loop runs there"
    if inspect.isgeneratorfunction(plain) and not generator:
        return "must not yield: its body would never run"
    signature = signature_of(fn)
    parameters = signature.parameters.values()
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(positional) != len(parameters) or not least <= len(positional) <= most:
        count = str(least) if least == most else f"{least} or {most}"
        return f"must take {count} positional parameter{'' if count == '1' else 's'}, has {signature}"
    return None
