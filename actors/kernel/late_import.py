"""Imports of parts that a program may never use, made at their first use. The thread that uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.files.error_translation import LIMITS, limit_reached

__all__ = ["late_import"]


@contextmanager
def late_import(what: str) -> Iterator[None]:
    """Around imports: a process that can't open their files any more gets `LimitReached`, as for a store's.

    The next use tries again.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in LIMITS:
            raise
        raise limit_reached(error.errno, f"{what} cannot be loaded") from error
