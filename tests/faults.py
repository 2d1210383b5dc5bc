"""Faults put where a test wants them: a method that raises, before or after it has done what it does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["Fault", "put_fault"]


class Fault(Exception):
    """What a test puts in; nothing in the product knows it."""


def put_fault(
    patch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    error: Callable[[], BaseException] = Fault,
    *,
    after: bool = False,
    times: int = 1,
    only: Callable[..., bool] = lambda *_args, **_named: True,
) -> Callable[[], int]:
    """The next `times` calls of a method raise, before or `after` doing what they do; returns how
    many did.
    """
    original = getattr(owner, name)
    raised = itertools.count()
    done = [0]

    def faulty(*args: Any, **named: Any) -> Any:
        if not only(*args, **named) or next(raised) >= times:
            return original(*args, **named)
        done[0] += 1
        if after:
            original(*args, **named)
        raise error()

    patch.setattr(owner, name, faulty)
    return lambda: done[0]
