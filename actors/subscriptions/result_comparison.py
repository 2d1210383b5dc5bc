"""Whether a result differs from the one before: by what it is, where `==` takes 1, True and 1.0 for the same.

Pure; the reader's thread.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from storage import CodecError

__all__ = ["trace_of"]

_CONTAINERS = (list, tuple, dict)


def trace_of(result: Any, encode: Callable[[Any], bytes]) -> Any:
    """What a result is compared by: two are the same if their traces are equal. It shares nothing with the
    result.

    What can be encoded is compared by its bytes: type, the order of a dict, the digits of a Decimal and an
    offset from UTC count, and NaN is the same as NaN. Of what can't be, lists, tuples, dicts and dataclasses
    are gone through, and the rest is compared by `==`.
    """
    try:
        return _trace(result, encode)
    except RecursionError:  # It contains itself.
        return _Leaf(_copied(result))


def _trace(value: Any, encode: Callable[[Any], bytes]) -> Any:
    try:
        return encode(value)
    except CodecError:
        pass
    kind = type(value)
    if isinstance(value, _CONTAINERS):
        items = value.items() if isinstance(value, dict) else value
        return kind, [_trace(item, encode) for item in items]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return kind, [_trace(getattr(value, field.name), encode) for field in dataclasses.fields(value)]
    return _Leaf(_copied(value))


class _Leaf:
    """A value that is compared by its own `==`; one that can't be compared counts as different."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Leaf:
            return NotImplemented
        try:
            return type(self.value) is type(other.value) and bool(self.value == other.value)
        except Exception:
            return False

    def __hash__(self) -> int:
        return 0


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # What can't be copied is compared as the reader leaves it.
        return value
